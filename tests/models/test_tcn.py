"""A temporal convolutional network, against loops over time and taps in NumPy, and against PyTorch."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import call, model_with_noise
from flax import nnx

from lstm_jax.models import Sizes, count_params, make_model
from lstm_jax.models.tcn import TCNConfig, receptive_field
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.tasks import make_task

NUM_TOKENS, WIDTH, DIM, NUM_OUTPUTS, KERNEL, LEVELS, NUM_STEPS, BATCH = 7, 3, 4, 5, 3, 2, 16, 2
RNG = np.random.default_rng(0)
TOKENS = jnp.asarray(RNG.integers(0, NUM_TOKENS, (NUM_STEPS, BATCH)), jnp.int32)


@pytest.fixture(autouse=True)
def _float64(x64):
    """All of this file is in float64."""


def config_of(**options):
    sizes = {"hidden_dim": DIM, "input_dim": WIDTH, "num_tokens": NUM_TOKENS, "num_outputs": NUM_OUTPUTS}
    return TCNConfig(**{**sizes, "kernel": KERNEL, "levels": LEVELS, **options})


def make(dtype=jnp.float64, **options):
    """The model with noise on all parameters: biases and scales would not show at their start."""
    return model_with_noise(lambda: config_of(**options).build(rngs=nnx.Rngs(0), dtype=dtype))


def vectors(width=WIDTH):
    return jnp.asarray(np.random.default_rng(3).normal(size=(NUM_STEPS, BATCH, width)))


def numbers(variable):
    return np.asarray(variable.get_value())


def loop(module, x):
    """One output, step and tap after another, of one sequence `[T, D]`."""
    direction, scale = numbers(module.direction), numbers(module.scale)
    num_taps, _, num_outputs = direction.shape
    found = np.zeros((len(x), num_outputs))
    for o in range(num_outputs):
        weights = scale[o] * direction[:, :, o] / np.linalg.norm(direction[:, :, o])
        for t in range(len(x)):
            total = numbers(module.bias)[o]
            for j in range(num_taps):
                before = t - (num_taps - 1 - j) * module.dilation
                total += weights[j] @ x[before] if before >= 0 else 0.0
            found[t, o] = total
    return found


def affine(module, x):
    return x @ numbers(module.kernel) + numbers(module.bias)


def oracle(model, inputs):
    """Logits `[T, B, C]`, one sequence after another."""
    columns = []
    for b in range(inputs.shape[1]):
        x = np.asarray(inputs[:, b])
        x = x if model.config.num_tokens is None else numbers(model.embedding.embedding)[x]
        for level in model.levels:
            inner = np.maximum(loop(level.convolutions[0], x), 0.0)
            outer = np.maximum(loop(level.convolutions[1], inner), 0.0)
            x = np.maximum(outer + (x if level.past is None else affine(level.past, x)), 0.0)
        columns.append(affine(model.readout, x))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("width", [None, WIDTH, DIM])
def test_logits_are_those_of_loops(width):
    """Of tokens, and of vectors that are as wide as a level, which go past it as they are, or not."""
    options = {} if width is None else {"num_tokens": None, "input_dim": width}
    model, inputs = make(**options), TOKENS if width is None else vectors(width)
    logits, expected = call(model, inputs), oracle(model, inputs)
    assert logits.dtype == jnp.float64 and (model.levels[0].past is None) == (width == DIM)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-12)
    last = call(make(readout="last", **options), inputs)
    np.testing.assert_allclose(last, expected[-1:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dilation", [1, 4])
def test_a_convolution_is_that_of_pytorch(dilation):
    torch = pytest.importorskip("torch")
    module = make().levels[0].convolutions[0]
    module.dilation = dilation
    padding = (KERNEL - 1) * dilation
    theirs = torch.nn.utils.parametrizations.weight_norm(
        torch.nn.Conv1d(WIDTH, DIM, KERNEL, dilation=dilation, padding=padding).double()
    )
    values = {
        "parametrizations.weight.original0": numbers(module.scale)[:, None, None],
        "parametrizations.weight.original1": numbers(module.direction).transpose(2, 1, 0),
        "bias": numbers(module.bias),
    }
    theirs.load_state_dict({name: torch.tensor(np.ascontiguousarray(value)) for name, value in values.items()})
    inputs = vectors()
    with torch.no_grad():
        expected = theirs(torch.tensor(np.asarray(inputs).transpose(1, 2, 0).copy()))[:, :, :NUM_STEPS]
    np.testing.assert_allclose(call(module, inputs), expected.numpy().transpose(2, 0, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "levels"), [(2, 1), (2, 3), (3, 2), (5, 1)])
def test_the_receptive_field_is_exact(kernel, levels):
    """A gradient of the last output reaches that many steps, and not one more."""
    num_steps = receptive_field(kernel, levels) + 3
    model = make(kernel=kernel, levels=levels, num_tokens=None, hidden_dim=24)
    # All positive: no relu stops what goes through it.
    graphdef, params = nnx.split(model)
    params = jax.tree.map(lambda leaf: jnp.asarray(np.abs(leaf)), params)
    inputs = jnp.asarray(np.ones((num_steps, 1, WIDTH)))
    gradient = jax.jit(jax.grad(lambda inputs: nnx.merge(graphdef, params)(inputs)[-1].sum()))(inputs)
    seen = np.abs(gradient).sum(axis=(1, 2)) > 0
    np.testing.assert_array_equal(seen, np.arange(num_steps) >= 3)


def test_it_never_looks_ahead():
    """Other inputs from step t on leave the logits before t as they are, and change those at t."""
    model = make(num_tokens=None)
    for t in (1, 5, NUM_STEPS - 1):
        changed = np.array(vectors())
        changed[t:] += 1.0
        before, after = (np.asarray(call(model, each)) for each in (vectors(), changed))
        np.testing.assert_array_equal(before[:t], after[:t])
        assert (np.abs(before[t] - after[t]).max(axis=-1) > 1e-6).all()


@pytest.mark.parametrize("num_steps", [1, 2, 13, 14, 37, 38, 1000])
def test_levels_are_as_few_as_cover_the_task(num_steps):
    config = make_model("tcn", Sizes(8, 3), form="sequence", num_tokens=9, num_outputs=9, num_steps=num_steps)
    assert receptive_field(7, config.levels) >= num_steps
    assert config.levels == 1 or receptive_field(7, config.levels - 1) < num_steps
    alike = make_model("tcn", Sizes(8, 3), form="sequence", num_tokens=9, num_outputs=9, num_steps=100)
    assert (config == alike) == (config.levels == alike.levels == 4), "equal programs are equal configs"


def test_starts():
    """Weights are directions at their start; normal or uniform; biases are zero."""
    for init, deviation in (("normal", 0.01), ("uniform", (KERNEL * 50) ** -0.5 / 3**0.5)):
        conv = config_of(input_dim=50, hidden_dim=50, init=init).build(rngs=nnx.Rngs(0)).levels[0].convolutions[0]
        direction = numbers(conv.direction)
        assert direction.std() == pytest.approx(deviation, rel=0.03)
        np.testing.assert_allclose(numbers(conv.scale), np.linalg.norm(direction, axis=(0, 1)), rtol=1e-5)
        assert not numbers(conv.bias).any()


def test_what_goes_past_starts_small_and_convolutions_as_theirs_do():
    """The numbers that the authors' code writes over PyTorch's are gone at the next call: `uniform` is what it has."""
    level = config_of(input_dim=50, hidden_dim=60).build(rngs=nnx.Rngs(0)).levels[0]
    assert numbers(level.past.kernel).std() == pytest.approx(0.01, rel=0.05)
    torch = pytest.importorskip("torch")
    theirs = torch.nn.utils.weight_norm(torch.nn.Conv1d(50, 60, KERNEL))
    theirs.weight.data.normal_(0.0, 0.01)
    theirs(torch.zeros(1, 50, 9))
    ours = numbers(level.convolutions[0].direction)
    assert float(theirs.weight.std()) == pytest.approx(ours.std(), rel=0.03)
    assert float(theirs.weight.abs().max()) == pytest.approx(np.abs(ours).max(), rel=0.03)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dtype(dtype):
    """Parameters and logits are of the type that was asked for, of vectors of another too."""
    model = config_of(num_tokens=None).build(rngs=nnx.Rngs(0), dtype=dtype)
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {jnp.dtype(dtype)}
    assert call(model, np.asarray(vectors()).astype(dtype)).dtype == dtype


def test_dropout():
    """From the key alone; of nothing without one, nor after `eval`. With all dropped the inputs go past alone."""
    model = make(dropout=0.5)
    calm = np.asarray(call(model, TOKENS))
    np.testing.assert_array_equal(calm, call(make(), TOKENS))
    drawn = [np.asarray(call(model, TOKENS, dropout_key=jax.random.key(seed))) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).max() > 0.1 < np.abs(drawn[0] - calm).max()
    model.eval()
    np.testing.assert_array_equal(call(model, TOKENS, dropout_key=jax.random.key(0)), calm)
    model = make(dropout=1 - 1e-9)
    x = numbers(model.embedding.embedding)[np.asarray(TOKENS)]
    expected = affine(model.readout, np.maximum(affine(model.levels[0].past, x), 0.0))
    np.testing.assert_allclose(call(model, TOKENS, dropout_key=jax.random.key(0)), expected, rtol=0, atol=1e-12)


def test_parameters_are_as_many_as_the_equations_say():
    """Directions, scales and biases of two convolutions a level, the first level's map, the table, the readout."""
    first = KERNEL * WIDTH * DIM + KERNEL * DIM**2 + 4 * DIM + (WIDTH + 1) * DIM
    others = (LEVELS - 1) * (2 * KERNEL * DIM**2 + 4 * DIM)
    assert count_params(config_of()) == first + others + NUM_TOKENS * WIDTH + (DIM + 1) * NUM_OUTPUTS


@pytest.mark.parametrize("task", ["gap", "copy", "adding"])
def test_it_stands_beside_cells_in_a_sweep(task):
    """With as many parameters, of tokens and vectors, asked at the last step or at several; its levels see all.

    A unit more of a TCN is up to a tenth more parameters, so the nearest number is within 6%.
    """
    cells = ("lstm", "tcn", "tcn@kernel=8", "transformer@heads=2")
    with jax.enable_x64(False):
        for gap in (5, 60):
            config = SweepConfig.of(task=task, cells=cells, gaps=(gap,), num_params=20_000, learning_rates=(0.01,))
            jobs = make_jobs(config)[0]
            assert [job.settings.num_params for job in jobs] == pytest.approx([20_000] * 4, rel=0.06)
            models = [model for job in jobs if isinstance(model := job.training().model, TCNConfig)]
            assert [model.kernel for model in models] == [7, 8]
            for model in models:
                assert receptive_field(model.kernel, model.num_levels) >= make_task(task, gap).num_steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": 1}, "kernel: expected at least 2 taps, got 1"),
        ({"levels": 0}, "levels: expected at least 1, got 0"),
        ({"levels": None}, "levels: expected a number where a task has no num_steps"),
        ({"dropout": 1.0}, r"dropout: expected a rate in \[0, 1\), got 1.0"),
    ],
)
def test_configs_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        config_of(**options)


def test_a_config_keys_a_program():
    assert hash(config_of()) == hash(config_of()) and config_of() == dataclasses.replace(config_of())
    assert config_of().initial_states(3) == () and config_of().initial_forget_bias is None
