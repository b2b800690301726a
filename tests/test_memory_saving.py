"""The scans that keep less than autodiff does: the same gradients as the reference path, in the memory they promise."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import OWN, add_noise, cell_of, costly, inputs_of, params_of, python_loop, state_of, weighted_sum
from flax import nnx

from lstm_jax.cells import CELLS, make_cell
from lstm_jax.layers import Stack
from lstm_jax.memory_saving import chunk_of
from lstm_jax.pointwise import adds_projections
from lstm_jax.scan import scan, scan_last

MODES = ["activations", "states", "checkpoint"]
NAMES = [*CELLS, "gru@reset=before", *OWN, "flax.nnx:LSTMCell"]
every_mode = pytest.mark.parametrize("backward", MODES)


@functools.partial(jax.jit, static_argnums=(0, 1))
def gradients(cell, options, params, state, inputs, lengths=None):
    """The value and the gradients, with respect to everything, of a loss on the last state and the outputs."""

    def loss(params, state, inputs):
        final, outputs = scan(cell, params, inputs, state, lengths=lengths, **dict(options))
        return weighted_sum(final) + (0.0 if outputs is None else weighted_sum(outputs, seed=3))

    return jax.value_and_grad(loss, argnums=(0, 1, 2))(params, state, inputs)


def assert_near(actual, expected, tolerance):
    """Leaf by leaf, relative in the norm of the leaf."""

    def near(actual, expected):
        actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
        assert np.linalg.norm(actual - expected) <= tolerance * np.linalg.norm(expected)

    jax.tree.map(near, actual, expected)


def case(name, num_steps, dtype=jnp.float64):
    """Arguments of `gradients`: a batch of four."""
    cell = cell_of(name)
    return cell, params_of(cell, dtype=dtype), state_of(cell, (4,), dtype), inputs_of(num_steps, (4,), dtype=dtype)


def options_of(**options):
    return tuple(sorted(options.items()))


# Gradients


# 37 is no multiple of any chunk; one step there is of a cell whose derivatives we have, and of others.
@pytest.mark.parametrize(
    ("name", "backward", "num_steps"),
    [*costly(NAMES, MODES, [37]), *itertools.product(["lstm", "gru", OWN[0]], MODES, [1])],
)
def test_gradients_are_those_of_autodiff(name, backward, num_steps, x64):
    assert 37 % chunk_of(37)
    cell, *arguments = case(name, num_steps)
    expected = gradients(cell, (), *arguments)
    assert_near(gradients(cell, options_of(backward=backward), *arguments), expected, 1e-12)


@pytest.mark.parametrize(
    "options",
    [{"truncation": 3, "reverse": True}, {"return_outputs": False}],
    ids=" ".join,
)
@every_mode
@pytest.mark.parametrize("name", ["gru", "lstm", OWN[0]])
def test_with_lengths_and_options(name, backward, options, x64):
    cell, *arguments = case(name, 11)
    lengths = jnp.array([0, 1, 7, 11])
    expected = gradients(cell, options_of(**options), *arguments, lengths)
    assert_near(gradients(cell, options_of(backward=backward, **options), *arguments, lengths), expected, 1e-12)


@functools.cache
def gradient_of_a_thousand_steps(name, backward, dtype=np.float32):
    cell = make_cell(name, 24, gap=40)
    arrays = (params_of(cell, 8), inputs_of(1000, (4,), 8), inputs_of(1000, (4,), 24, seed=3))

    def loss(params, inputs, targets):
        return jnp.mean((scan(cell, params, inputs, backward=backward)[1] - targets) ** 2)

    with jax.enable_x64(dtype == np.float64):
        arguments = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), dtype), arrays)
        return jax.tree.map(np.asarray, jax.jit(jax.grad(loss, argnums=(0, 1)))(*arguments))


@every_mode
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "coupled_lstm"])
def test_a_thousand_steps_in_float32(name, backward):
    """Within 1e-6 of autodiff, and as near as that to the gradient in float64."""
    ours, reference = (gradient_of_a_thousand_steps(name, each) for each in (backward, "autodiff"))
    exact = gradient_of_a_thousand_steps(name, "autodiff", np.float64)
    assert_near(ours, reference, 1e-6)

    def error(actual):
        pairs = zip(jax.tree.leaves(actual), jax.tree.leaves(exact), strict=True)
        return max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs)

    assert error(ours) <= 1.1 * error(reference)


@every_mode
def test_bfloat16(backward):
    """Sums over steps are kept in float32, so the gradients of the weights are at least as good as autodiff's."""
    arguments = case("lstm", 200, jnp.float32)
    exact = gradients(*arguments[:1], (), *arguments[1:])[1][0]
    cell, *rest = case("lstm", 200, jnp.bfloat16)

    def errors(backward):
        params = gradients(cell, options_of(backward=backward), *rest)[1][0]
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.bfloat16)}
        return [
            np.linalg.norm(np.asarray(a, np.float32) - b) / np.linalg.norm(b)
            for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(exact), strict=True)
        ]

    assert max(errors(backward)) < 0.05
    assert sum(errors(backward)) < 1.1 * sum(errors("autodiff"))


@dataclasses.dataclass(frozen=True)
class Adding(type(cell_of("rnn"))):
    """Gives what its linear maps give: with weights of zero, the bias at each step."""

    def update(self, params, state, x_proj, h_proj):
        return state._replace(hidden=x_proj + h_proj), x_proj + h_proj


@every_mode
def test_sums_over_many_steps_are_exact_in_bfloat16(backward):
    """Of 5000 ones, which bfloat16 rounds to 4992: summed up in that type, they would be something else."""
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.bfloat16), cell_of("rnn").init(jax.random.key(0), 3))
    inputs = jnp.ones((5000, 1, 3), jnp.bfloat16)
    gradient = jax.jit(
        jax.grad(lambda params: scan(Adding(5), params, inputs, backward=backward)[1].astype(jnp.float32).sum())
    )(params)
    assert set(np.asarray(gradient.bias, np.float32)) == set(np.ravel(gradient.w_ih).astype(np.float32)) == {4992.0}


@every_mode
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_vmap_over_runs(name, backward, x64):
    cell, params, state, _ = case(name, 13)
    lanes = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(add_noise(params, seed) for seed in range(3)))
    xs = jnp.stack([inputs_of(13, (4,), dtype=jnp.float64, seed=seed) for seed in range(3)])
    of_all = jax.jit(jax.vmap(functools.partial(gradients, cell, options_of(backward=backward)), in_axes=(0, None, 0)))
    actual = of_all(lanes, state, xs)
    for lane in range(3):
        expected = gradients(cell, (), jax.tree.map(lambda leaf: leaf[lane], lanes), state, xs[lane])  # noqa: B023
        assert_near(jax.tree.map(lambda leaf: leaf[lane], actual), expected, 1e-12)  # noqa: B023


@functools.cache
def gradients_of_a_stack(backward):
    """With all outputs, and with the last alone."""
    cells = (make_cell("lstm", 5, gap=40), make_cell("rnn", 3, gap=40))
    inputs = inputs_of(9, (2,), dtype=jnp.float64)

    def loss(stack, inputs, last_output):
        states, outputs = stack(inputs, last_output=last_output, lengths=None)
        return weighted_sum(outputs) + weighted_sum(states)

    stack = Stack(cells, 3, backward=backward, truncation=4, rngs=nnx.Rngs(0), dtype=jnp.float64)
    grad = nnx.jit(nnx.grad(loss), static_argnames="last_output")
    return [grad(stack, inputs, last_output=last_output) for last_output in (False, True)]


@every_mode
def test_stacked_layers_and_the_last_output(backward, x64):
    assert_near(gradients_of_a_stack(backward), gradients_of_a_stack("autodiff"), 1e-12)


@every_mode
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_garbage_in_the_padding_reaches_no_gradient(name, backward):
    cell, params, state, inputs = case(name, 11, jnp.float32)
    lengths = jnp.array([0, 1, 7, 11])
    padding = np.arange(11)[:, None] >= np.asarray(lengths)
    spoiled = jnp.asarray(np.where(padding[..., None], np.nan, inputs), jnp.float32)
    options = options_of(backward=backward)
    expected = gradients(cell, options, params, state, inputs, lengths)
    jax.tree.map(np.testing.assert_array_equal, gradients(cell, options, params, state, spoiled, lengths), expected)


@pytest.mark.parametrize("batch_shape", [(), (2, 3)])
@every_mode
def test_batch_shapes(backward, batch_shape, x64):
    cell = cell_of("gru")
    arguments = (
        params_of(cell, dtype=jnp.float64),
        state_of(cell, batch_shape, jnp.float64),
        inputs_of(11, batch_shape, dtype=jnp.float64),
    )
    lengths = jnp.arange(np.prod(batch_shape, dtype=int)).reshape(batch_shape) + 3
    options = {"truncation": 4}
    expected = gradients(cell, options_of(**options), *arguments, lengths)
    assert_near(gradients(cell, options_of(backward=backward, **options), *arguments, lengths), expected, 1e-12)


class Counted(NamedTuple):
    """A hidden state, and how many steps it has seen."""

    hidden: Any
    count: Any


@dataclasses.dataclass(frozen=True)
class Counter(type(cell_of("rnn"))):
    """An RNN that counts its steps."""

    def initial_state(self, batch_shape, dtype=jnp.float32):
        return Counted(super().initial_state(batch_shape, dtype).hidden, jnp.zeros(batch_shape, jnp.int32))

    def update(self, params, state, x_proj, h_proj):
        hidden = jnp.tanh(x_proj + h_proj)
        return Counted(hidden, state.count + 1), hidden


@every_mode
def test_a_state_that_is_no_number_everywhere(backward):
    cell = Counter(5)
    params, inputs = params_of(cell_of("rnn")), inputs_of(11)

    def loss(params, backward):
        final, outputs = scan(cell, params, inputs, backward=backward)
        return weighted_sum(outputs), final.count

    gradient, count = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)(params, backward)
    assert count.tolist() == [11, 11]
    assert_near(gradient, jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)(params, "autodiff")[0], 1e-6)


@every_mode
def test_inputs_of_another_type(backward):
    """They are promoted, as `x @ w_ih` would."""
    cell, params, state, inputs = case("lstm", 11, jnp.float32)
    inputs = inputs.astype(jnp.bfloat16)

    def loss(params, backward):
        return weighted_sum(scan(cell, params, inputs, state, backward=backward)[1])

    with jax.numpy_dtype_promotion("standard"):
        actual, expected = (jax.jit(jax.grad(loss), static_argnums=1)(params, each) for each in (backward, "autodiff"))
    assert_near(actual, expected, 1e-6)


@every_mode
def test_no_steps(backward):
    cell, params, state, _ = case("lstm", 1, jnp.float32)
    final, outputs = scan(cell, params, inputs_of(0, (4,)), state, backward=backward)
    jax.tree.map(np.testing.assert_array_equal, final, state)
    assert outputs.shape == (0, 4, cell.output_dim)


@every_mode
@pytest.mark.parametrize("name", costly(NAMES))
def test_the_forward_pass_is_that_of_the_reference_path(name, backward):
    """Differentiated or not, and bitwise where the cell is ours."""
    cell, params, state, inputs = case(name, 37, jnp.float32)
    run = jax.jit(functools.partial(scan, cell), static_argnames="backward")
    expected = run(params, inputs, state)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-6),
        run(params, inputs, state, backward=backward),
        expected,
    )


# Truncation


@pytest.mark.parametrize(("name", "truncation"), [*(("lstm", t) for t in (1, 2, 3, 7, 8)), (OWN[0], 1), (OWN[0], 3)])
def test_truncation_against_a_python_loop(name, truncation, x64):
    """A loss at the last step sees as many steps as it says; each state before a cut is a constant."""
    cell, params, state, inputs = case(name, 7)

    def loop(inputs, last):
        carry = state
        for t in range(7):
            if (7 - t) % truncation == 0:
                carry = jax.lax.stop_gradient(carry)
            carry, output = cell.step(params, carry, inputs[t])
        return weighted_sum(output) + (0.0 if last else weighted_sum(carry))

    def ours(inputs, last):
        if last:
            return weighted_sum(scan_last(cell, params, inputs, state, truncation=truncation)[1])
        final, outputs = scan(cell, params, inputs, state, truncation=truncation)
        return weighted_sum(outputs[-1]) + weighted_sum(final)

    for last in (False, True):
        actual, expected = (jax.jit(jax.grad(f), static_argnums=1)(inputs, last) for f in (ours, loop))
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13)
        seen = np.asarray(actual != 0).any(axis=(1, 2))
        assert seen.tolist() == [t >= 7 - truncation for t in range(7)]


@pytest.mark.parametrize("reverse", [False, True])
def test_truncation_counts_from_the_end_of_each_sequence(reverse, x64):
    cell, params, state, inputs = case("lstm", 9)
    lengths = jnp.array([0, 2, 5, 9])

    def last_state(inputs):
        final, _ = scan(cell, params, inputs, state, lengths=lengths, reverse=reverse, truncation=3)
        return weighted_sum(final)

    seen = np.asarray(jax.jit(jax.grad(last_state))(inputs) != 0).any(axis=-1)
    for b, length in enumerate(lengths.tolist()):
        steps = range(min(3, length)) if reverse else range(max(0, length - 3), length)
        assert np.flatnonzero(seen[:, b]).tolist() == list(steps)


@pytest.mark.parametrize("truncation", [0, -1])
def test_a_truncation_that_cannot_be(truncation):
    cell, params, _, inputs = case("rnn", 3, jnp.float32)
    with pytest.raises(ValueError, match=f"truncation: expected at least 1 step, got {truncation}"):
        scan(cell, params, inputs, truncation=truncation)


def test_the_value_does_not_depend_on_truncation(x64):
    cell, params, state, inputs = case("gru", 9)
    final, outputs = scan(cell, params, inputs, state, truncation=2)
    expected = python_loop(cell, params, inputs, state)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-13), (final, outputs), expected)


# What can be told of a cell


@dataclasses.dataclass(frozen=True)
class Peeping(type(cell_of("rnn"))):
    """Adds the projections, and looks at one of them besides."""

    def update(self, params, state, x_proj, h_proj):
        state, output = super().update(params, state, x_proj, h_proj)
        return state, output * jnp.tanh(x_proj)


@pytest.mark.parametrize(
    ("cell", "adds"), [*((cell_of(n), n != "gru") for n in ("rnn", "lstm", "gru")), (Peeping(5), False)]
)
def test_cells_that_add_their_projections_are_found(cell, adds, x64):
    params, state, inputs = (
        cell.init(jax.random.key(0), 3, jnp.float64),
        cell.initial_state((2,), jnp.float64),
        inputs_of(5, dtype=jnp.float64),
    )
    assert adds_projections(cell, params, state, inputs[0]) == adds
    expected = gradients(cell, (), params, state, inputs)
    assert_near(gradients(cell, options_of(backward="states"), params, state, inputs), expected, 1e-12)


@pytest.mark.parametrize("num_steps", [1, 7, 8, 100, 509, 1000, 10**6])
def test_chunks(num_steps):
    assert 1 <= chunk_of(num_steps) <= min(num_steps, 32)


# Memory, by the compiler's own analysis

LIMITS = {
    "lstm": {"states": 5.5, "checkpoint": 3.2},
    "gru": {"states": 4.0, "checkpoint": 2.6},
    "rnn": {"states": 3.1, "checkpoint": 2.2},
}
AUTODIFF = {"lstm": 14.0, "gru": 11.0, "rnn": 5.0}


@functools.cache
def memory_units(name, backward, num_runs=None, shape=(200, 32, 64)):
    """Temporary memory of value and gradient, in units of one `[T, B, H]` float32 array (and run)."""
    cell = make_cell(name, shape[-1], gap=40)
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), shape[-1]))
    arrays = [jax.ShapeDtypeStruct((*shape[:-1], width), jnp.float32) for width in (shape[-1], cell.output_dim)]

    def loss(params, inputs, targets):
        return jnp.mean((scan(cell, params, inputs, backward=backward)[1] - targets) ** 2)

    function = jax.value_and_grad(loss)
    if num_runs:
        function = jax.vmap(function)
        params, *arrays = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((num_runs, *leaf.shape), leaf.dtype), (params, *arrays)
        )
    analysis = jax.jit(function).lower(params, *arrays).compile().memory_analysis()
    return analysis.temp_size_in_bytes / (4 * np.prod(shape) * (num_runs or 1))


@pytest.mark.parametrize("backward", ["states", "checkpoint"])
@pytest.mark.parametrize("name", LIMITS)
def test_memory(name, backward):
    one = memory_units(name, backward)
    assert 1 < one <= LIMITS[name][backward]
    assert memory_units(name, backward, num_runs=8) <= 1.05 * one
    assert one < AUTODIFF[name] - 1 < memory_units(name, "autodiff") < AUTODIFF[name] + 1  # the ruler itself


@pytest.mark.parametrize("name", LIMITS)
def test_activations_take_less_than_autodiff(name):
    assert memory_units(name, "activations") < memory_units(name, "autodiff")


@pytest.mark.parametrize("name", ["gru@reset=before", OWN[0], "flax.nnx:LSTMCell"])
def test_memory_of_other_cells_grows_with_the_root(name):
    """Rematerialised in chunks of √T steps: what is kept beside inputs and outputs hardly grows."""
    units = [memory_units(name, "checkpoint", shape=(num_steps, 8, 32)) for num_steps in (256, 4096)]
    assert units[1] < units[0] and units[1] < 5
    assert units[1] < 0.5 * memory_units(name, "autodiff", shape=(4096, 8, 32))


def test_a_loss_on_the_last_state_pays_for_no_outputs():
    """Outputs that nobody asks the gradient of cost neither a cotangent of zeros nor their own array."""
    cell = make_cell("lstm", 64)
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), 64))
    inputs = jax.ShapeDtypeStruct((200, 32, 64), jnp.float32)

    def loss(params, inputs, return_outputs):
        final, _ = scan(cell, params, inputs, backward="checkpoint", return_outputs=return_outputs)
        return jnp.sum(final.hidden)

    used = [
        jax.jit(jax.grad(loss), static_argnums=2).lower(params, inputs, each).compile().memory_analysis()
        for each in (True, False)
    ]
    assert used[0].temp_size_in_bytes == used[1].temp_size_in_bytes < 1.5 * 4 * 200 * 32 * 64
