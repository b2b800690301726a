"""Diagnostics against closed forms: linear recurrences, a quadratic, labels that are or are not in the features."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lstm_jax.cells import make_cell
from lstm_jax.cells.base import Cell, HiddenState
from lstm_jax.diagnostics.gates import gates_of, lyapunov_exponents, retained, time_constants
from lstm_jax.diagnostics.memory import memory
from lstm_jax.diagnostics.rollout import flat, rollout
from lstm_jax.diagnostics.sharpness import sharpness
from lstm_jax.diagnostics.signal import fact_signal
from lstm_jax.diagnostics.transport import transport
from lstm_jax.models import Sizes, make_model
from lstm_jax.models.sequence import ModelConfig
from lstm_jax.tasks.base import Batch
from lstm_jax.tasks.gap import Gap
from lstm_jax.tasks.kinds import Classes


class LinearWeights(NamedTuple):
    """h' = x W + h R."""

    w_ih: Any
    w_hh: Any


@dataclasses.dataclass(frozen=True)
class Linear(Cell):
    """A linear recurrence whose R starts at `keep` times the identity."""

    keep: float = 0.9

    def init(self, key, input_dim, dtype=jnp.float32):
        w_ih = jax.random.normal(key, (input_dim, self.hidden_dim), dtype)
        return LinearWeights(w_ih, self.keep * jnp.eye(self.hidden_dim, dtype=dtype))

    def initial_state(self, batch_shape, dtype=jnp.float32):
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_dim), dtype))

    def step(self, params, state, x):
        hidden = x @ params.w_ih + state.hidden @ params.w_hh
        return HiddenState(hidden), hidden


def built(config, dtype=jnp.float32, seed=0):
    """A model, in one program: without, each step to each of its weights is one."""
    return nnx.jit(lambda: config.build(rngs=nnx.Rngs(seed), dtype=dtype))()


def sampled(task, seed, number):
    return jax.jit(lambda: task.sample(jax.random.key(seed), number))()


def model_of(cell, task):
    config = ModelConfig((cell,), 5, task.num_classes, num_tokens=task.num_tokens, readout="last")
    return built(config)


def transported(cell, task):
    """The shares of the gradient by distance, and where it has vanished; in one program, model and batch included."""

    @jax.jit
    def measured():
        batch = task.sample(jax.random.key(1), 16)
        found = transport(model_of(cell, task), batch, task.outputs)
        return found.relative, found.vanished

    return map(np.asarray, measured())


@pytest.mark.parametrize("keep", [1.0, 0.9, 0.5])
def test_transport_through_a_leaky_memory_is_its_power(keep):
    task = Gap(12)
    relative, vanished = transported(Linear(4, keep=keep), task)
    np.testing.assert_allclose(relative, keep ** np.arange(task.num_steps), rtol=2e-5)
    assert not vanished.any()


def test_what_is_below_float32s_rounding_has_vanished():
    _, vanished = transported(Linear(4, keep=0.5), Gap(38))
    # norms are halved by each step, and their sum is twice the first: 2^-d <= 2^-24 * 2.
    np.testing.assert_array_equal(vanished, np.arange(40) >= 23)


def test_transport_is_that_of_finite_differences_in_float64(x64):
    task = Gap(4)
    batch = sampled(task, 2, 3)
    config = make_model(
        "lstm", Sizes(3, 5, 1, 0.0, "autodiff", None), form="sequence",
        num_tokens=task.num_tokens, num_outputs=task.num_classes, readout="last", gap=4,
    )  # fmt: skip
    model = built(config, jnp.float64)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape), jax.eval_shape(lambda: rollout(model, batch.inputs).states))
    norms = jax.jit(lambda: transport(model, batch, task.outputs).norms)()

    @jax.jit
    def loss(perturbation):
        return task.outputs.losses(rollout(model, batch.inputs, perturbation).logits, batch.targets)[0]

    size = 1e-6
    for distance in (0, 2, 4):
        place, slopes = task.num_steps - 1 - distance, []
        for field in zeros._fields:
            for unit in range(3):
                plus, minus = (jax.tree.map(np.copy, zeros) for _ in range(2))
                getattr(plus, field)[place, :, unit] += size
                getattr(minus, field)[place, :, unit] -= size
                slopes.append((np.asarray(loss(plus)) - np.asarray(loss(minus))) / (2 * size))
        expected = np.sqrt(np.square(slopes).sum(axis=0)).mean()
        assert float(np.asarray(norms)[distance]) == pytest.approx(expected, rel=1e-7)


def test_a_rollout_has_the_models_own_logits():
    task = Gap(6)
    model = model_of(Linear(4), task)
    batch = sampled(task, 3, 7)
    found, logits = jax.jit(lambda: (rollout(model, batch.inputs), model(batch.inputs)))()
    np.testing.assert_allclose(found.logits, logits, rtol=1e-6, atol=1e-6)
    assert found.states.hidden.shape == (8, 7, 4) and (np.asarray(found.states.hidden[0]) == 0).all()


def test_a_model_of_several_layers_is_refused():
    config = ModelConfig((Linear(4), Linear(4)), 5, 8, num_tokens=17, readout="last")
    with pytest.raises(ValueError, match="expected a sequence model of one recurrent layer"):
        rollout(built(config), jnp.zeros((3, 2), jnp.int32))


def test_a_linear_recurrence_keeps_its_diagonal_and_has_its_eigenvalues_as_exponents(x64):
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    eigenvalues = np.array([1.1, 0.9, -0.7, 0.4, 0.2])
    w_hh = basis @ np.diag(eigenvalues) @ basis.T
    params = LinearWeights(jnp.array(rng.normal(size=(2, 5))), jnp.array(w_hh))
    vectors = jnp.array(rng.normal(size=(400, 3, 2)))
    states = HiddenState(jnp.array(rng.normal(size=(400, 3, 5))))
    found = jax.jit(lambda *of: lyapunov_exponents(Linear(5), *of))(params, states, vectors)
    np.testing.assert_allclose(found, np.log(np.abs(eigenvalues)), atol=0.01)  # off by the turn of the basis, over T
    shares = np.asarray(jax.jit(lambda *of: retained(Linear(5), *of))(params, states, vectors))
    np.testing.assert_allclose(shares, np.broadcast_to(np.diag(w_hh), shares.shape), rtol=1e-12)


@pytest.mark.parametrize(("cell", "gate"), [("lstm", slice(3, 6)), ("gru", slice(3, 6))])
def test_of_an_lstm_what_is_kept_of_the_cell_state_is_the_forget_gate(cell, gate, x64):
    config = make_model(
        cell, Sizes(3, 4, 1, 0.0, "autodiff", None), form="sequence", num_tokens=9, num_outputs=2, readout="last", gap=3
    )
    layer = built(config, jnp.float64, seed=1).stack.layers[0]
    params = layer.params.get_value()
    vectors = np.random.default_rng(0).normal(size=(6, 2, 4))
    start = jax.eval_shape(lambda: layer.cell.initial_state((2,), jnp.float64))
    states = jax.tree.map(lambda leaf: jnp.zeros((6, *leaf.shape)), start)  # where neither h nor its weights matter
    shares = np.asarray(jax.jit(lambda *of: retained(layer.cell, *of))(params, states, jnp.array(vectors)))
    opened = (1.0 / (1.0 + np.exp(-(vectors @ np.asarray(params.w_ih) + np.asarray(params.bias)))))[..., gate]
    if cell == "lstm":
        np.testing.assert_allclose(shares[..., 3:], opened, rtol=1e-12)  # hidden state first, then cell state
    else:
        assert shares.shape == (6, 2, 3) and (np.abs(shares - opened) < 0.6).all()


def test_time_constants():
    shares = jnp.array([0.5, -0.5, np.exp(-1 / 7.0), 1.0, 1.2, 0.0], jnp.float32)
    expected = [1 / np.log(2), 1 / np.log(2), 7.0, np.inf, np.inf, 0.0]
    np.testing.assert_allclose(jax.jit(time_constants)(shares), expected, rtol=1e-5)


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_sharpness_of_a_quadratic_is_its_largest_scaled_eigenvalue(x64, flip):
    rng = np.random.default_rng(0)
    half = rng.normal(size=(6, 6))
    hessian, scales = flip * half @ half.T, rng.uniform(0.5, 3.0, 6)
    matrix = jnp.array(hessian)

    def loss(params):
        x = jnp.concatenate([params["a"], params["b"].reshape(-1)])
        return 0.5 * x @ matrix @ x + x.sum()

    params = {"a": jnp.ones(2), "b": jnp.ones((2, 2))}
    given = {"a": jnp.array(scales[:2]), "b": jnp.array(scales[2:].reshape(2, 2))}
    found = jax.jit(lambda: sharpness(loss, params, given, jax.random.key(0), num_iterations=300))()
    values = np.linalg.eigvalsh(hessian / np.sqrt(np.outer(scales, scales)))
    assert float(found) == pytest.approx(values[np.abs(values).argmax()], rel=1e-8)


def test_the_second_derivatives_of_a_scan_are_those_of_finite_differences(x64):
    task = Gap(3)
    config = make_model(
        "gru", Sizes(2, 2, 1, 0.0, "autodiff", None), form="sequence",
        num_tokens=task.num_tokens, num_outputs=task.num_classes, readout="last", gap=3,
    )  # fmt: skip
    graph, params = nnx.split(built(config, jnp.float64))
    batch = sampled(task, 0, 8)

    def loss(params):
        return task.outputs.losses(nnx.merge(graph, params)(batch.inputs), batch.targets).mean()

    start, restored = jax.flatten_util.ravel_pytree(params)
    slope = jax.jit(lambda numbers: jax.grad(lambda x: loss(restored(x)))(numbers))
    start, size = np.asarray(start), 1e-5
    places = [(start + size * unit, start - size * unit) for unit in np.eye(len(start))]
    columns = [(np.asarray(slope(plus)) - np.asarray(slope(minus))) / (2 * size) for plus, minus in places]
    values = np.linalg.eigvalsh((np.array(columns) + np.array(columns).T) / 2)
    ones = jax.tree.map(jnp.ones_like, params)
    found = jax.jit(lambda: sharpness(loss, params, ones, jax.random.key(1), num_iterations=200))()
    assert float(found) == pytest.approx(values[np.abs(values).argmax()], rel=1e-4)


def remembered(states, labels, num_classes, **options):
    """In one program, with its numbers in NumPy."""
    return jax.device_get(jax.jit(lambda *of: memory(*of, num_classes, **options))(states, labels))


def features_with(labels, spread, rng, num_features=6):
    centres = rng.normal(size=(8, num_features))
    return centres[labels] + spread * rng.normal(size=(len(labels), num_features))


def test_memory_finds_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    labels = rng.integers(8, size=2000)
    states = np.stack(
        [features_with(labels, spread, rng, 16) for spread in (0.01, 0.5)] + [rng.normal(size=(2000, 16))]
    )
    found = remembered(jnp.array(states, jnp.float32), jnp.array(labels), 8)
    assert float(found.accuracy[0]) == 1.0 and 0.5 < float(found.accuracy[1]) < 1.0
    assert float(found.accuracy[2]) == pytest.approx(1 / 8, abs=5 * (7 / 64 / 2000) ** 0.5)
    assert float(found.separation[0]) > 100 * float(found.separation[1]) > 100 * float(found.separation[2])


def test_memory_of_a_shift_register_ends_at_its_length():
    """Features that are the last k inputs: the label is there for k steps, then not at all."""
    rng = np.random.default_rng(1)
    labels = rng.integers(8, size=1000)
    tokens = rng.integers(8, size=(9, 1000))
    tokens[0] = labels
    window = np.eye(8)[np.stack([tokens[step : step + 3] for step in range(6)])]  # [steps, k, N, 8], the fact at step 0
    after = np.stack([window[0]] + [window[step] for step in range(1, 6)])
    states = after.transpose(0, 2, 1, 3).reshape(6, 1000, 24)
    found = remembered(jnp.array(states, jnp.float32), jnp.array(labels), 8).accuracy
    assert float(found[0]) == 1.0 and (np.asarray(found[1:]) < 0.2).all()


def test_separation_is_the_ratio_of_variances_of_one_feature(x64):
    """Two classes at -1 and +1, variance within s^2: S_b = 1, S_w = s^2."""
    rng = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    noise = rng.normal(size=4000)
    for label in (0, 1):
        noise[labels == label] -= noise[labels == label].mean()
        noise[labels == label] /= noise[labels == label].std()
    features = (2.0 * labels - 1.0 + 0.5 * noise)[None, :, None]
    found = remembered(jnp.array(features), jnp.array(labels), 2, ridge=0.0)
    assert float(found.separation[0]) == pytest.approx(1.0 / 0.25, rel=1e-9)


def test_a_unit_that_does_not_vary_says_nothing():
    labels = jnp.array(np.arange(40, dtype=np.int32) % 2)
    states = jnp.array(np.stack([np.ones(40), np.arange(40) % 2], axis=1)[None], jnp.float32)
    assert float(remembered(states, labels, 2).accuracy[0]) == 1.0
    assert np.isfinite(remembered(jnp.ones((1, 40, 3)), labels, 2).separation).all()
    with pytest.raises(ValueError, match="expected at least 4 sequences"):
        memory(jnp.ones((1, 3, 3)), jnp.arange(3), 3)


@pytest.mark.parametrize(("mean", "deviation", "expected"), [(1.0, 0.0, 1.0), (0.5, 1.0, 0.2), (0.0, 1.0, 0.0)])
def test_the_facts_share_of_the_second_moment(mean, deviation, expected):
    """A gradient of N(mean, deviation^2) with true labels and 0 with others: m^2 / (m^2 + s^2)."""
    number, units = 64, 4000

    def sample(key):
        labels = jnp.arange(64)[None]
        noise = deviation * jax.random.normal(key, (units,))
        return Batch(jnp.broadcast_to(noise[:, None], (units, 64)), labels, jnp.ones((1, 64)), jnp.ones((1, 64)))

    def gradient(batch):
        is_true = (batch.targets[0] == jnp.arange(64)).all()
        return {"w": jnp.where(is_true, mean + batch.inputs[:, 0], 0.0)}

    found = jax.jit(lambda: fact_signal(gradient, sample, jax.random.key(0), num_batches=number))()
    assert float(found["w"]) == pytest.approx(expected, abs=0.01)


def test_a_gradient_below_adams_eps_is_no_signal():
    batch = Batch(jnp.zeros((2, 64), jnp.int32), jnp.arange(64)[None], jnp.ones((1, 64)), jnp.ones((1, 64)))

    def gradient(batch):
        return jnp.where((batch.targets[0] == jnp.arange(64)).all(), 1e-12, 0.0)

    assert float(jax.jit(lambda: fact_signal(gradient, lambda key: batch, jax.random.key(0), num_batches=8))()) < 1e-6
    with pytest.raises(ValueError, match="num_batches: expected at least 2, got 1"):
        fact_signal(gradient, lambda key: batch, jax.random.key(0), num_batches=1)


def test_numbers_of_a_state_stand_side_by_side():
    state = HiddenState(jnp.array(np.arange(12.0, dtype=np.float32).reshape(2, 3, 2)))
    assert flat(state).shape == (2, 3, 2) and flat(HiddenState(jnp.ones(4)), batch_axes=0).shape == (4,)
    assert Classes(3).width == 3


@pytest.mark.parametrize("name", ["lstm", "coupled_lstm", "gru"])
def test_gates_with_names_are_those_of_the_step(name):
    """The states that they make, from their definition in NumPy, are the step's."""
    cell, rng = make_cell(name, 5), np.random.default_rng(0)

    @jax.jit
    def seen(state, x):
        params = cell.init(jax.random.key(0), 3)
        return params, gates_of(cell, params, state, x), cell.step(params, state, x)[0]

    shapes = jax.eval_shape(lambda: cell.initial_state((4,)))
    state = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape, scale=0.5).astype(np.float32), shapes)
    x = rng.normal(size=(4, 3)).astype(np.float32)
    params, gates, new = jax.device_get(seen(state, x))
    kinds = {"lstm": 2, "coupled_lstm": 1, "gru": 2}
    if name == "gru":
        x_n = (x @ params.w_ih + params.bias)[:, 10:]
        h_n = (state.hidden @ params.w_hh)[:, 10:] + params.bias_hn
        n, z = np.tanh(x_n + gates["reset"] * h_n), gates["update"]
        np.testing.assert_allclose(new.hidden, (1.0 - z) * n + z * state.hidden, atol=1e-6)
    else:
        place = slice(5 * kinds[name], 5 * kinds[name] + 5)
        g = np.tanh((x @ params.w_ih + params.bias + state.hidden @ params.w_hh)[:, place])
        held = gates["forget"] * state.cell + gates["input"] * g
        np.testing.assert_allclose(new.cell, held, atol=1e-6)
        np.testing.assert_allclose(new.hidden, gates["output"] * np.tanh(held), atol=1e-6)


def test_a_cell_whose_gates_have_no_names_says_so():
    cell = make_cell("rnn", 5)
    with pytest.raises(ValueError, match="RNN has no gates with names"):
        gates_of(cell, cell.init(jax.random.key(0), 3), cell.initial_state((2,)), jnp.ones((2, 3)))
