"""The scan over time against a Python loop, and what padding must not change: a single bit."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import beartype.roar
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import (
    KINDS,
    OWN,
    add_noise,
    cell_of,
    inputs_of,
    jit_scan,
    params_of,
    python_loop,
    state_of,
    weighted_sum,
)

import lstm_jax
from lstm_jax.scan import scan, scan_last

NUM_STEPS = 6
STATES = ["lstm", OWN[0], "flax.nnx:LSTMCell"]  # one of each kind of state: ours, a user's, a bare tuple
LENGTHS = jnp.array([0, 1, 4, NUM_STEPS])


jit_scan_last = jax.jit(scan_last, static_argnums=0)


def assert_close(actual, expected, atol=1e-13):
    """Leaf by leaf, absolute; float64."""
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=atol), actual, expected)


def assert_bitwise(actual, expected):
    """Leaf by leaf, every bit but the sign of zero."""
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize("name", KINDS)
def test_python_loop(name, x64):
    """Every kind of cell, forward without lengths and in reverse with them, from a given initial state."""
    cell = cell_of(name)
    params, state = params_of(cell, dtype=jnp.float64), state_of(cell, (4,), jnp.float64)
    inputs = inputs_of(NUM_STEPS, (4,), dtype=jnp.float64)
    for lengths, reverse in ((None, False), (LENGTHS, True)):
        expected = python_loop(cell, params, inputs, state, lengths=lengths, reverse=reverse)
        assert_close(jit_scan(cell, params, inputs, state, lengths, reverse=reverse), expected)


@pytest.mark.parametrize("name", STATES)
def test_options(name, x64):
    """The other combinations: reverse without lengths, forward with them, and each without outputs."""
    cell = cell_of(name)
    params, state = params_of(cell, dtype=jnp.float64), state_of(cell, (4,), jnp.float64)
    inputs = inputs_of(NUM_STEPS, (4,), dtype=jnp.float64)
    final, outputs = python_loop(cell, params, inputs[::-1], state)
    assert_close(jit_scan(cell, params, inputs, state, reverse=True), (final, outputs[::-1]))
    expected = python_loop(cell, params, inputs, state, lengths=LENGTHS)
    assert_close(jit_scan(cell, params, inputs, state, LENGTHS), expected)
    final, no_outputs = jit_scan(cell, params, inputs, state, LENGTHS, return_outputs=False)
    assert no_outputs is None
    assert_close(final, expected[0])
    final, no_outputs = jit_scan(cell, params, inputs, state, return_outputs=False)
    assert no_outputs is None
    assert_close(final, python_loop(cell, params, inputs, state)[0])


@pytest.mark.parametrize("name", STATES)
def test_initial_state_defaults_to_the_cells(name):
    cell = cell_of(name)
    params, inputs = params_of(cell), inputs_of(NUM_STEPS, (4,))
    assert_bitwise(jit_scan(cell, params, inputs), jit_scan(cell, params, inputs, cell.initial_state((4,))))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, (0, 0)])
@pytest.mark.parametrize("name", STATES)
def test_no_steps(name, lengths, reverse):
    """T = 0: the state as it came, outputs `[0, B, O]`, and gradients that are zero and one."""
    cell = cell_of(name)
    params, state = params_of(cell), state_of(cell)
    lengths = None if lengths is None else jnp.array(lengths)
    final, outputs = scan(cell, params, inputs_of(0), state, lengths=lengths, reverse=reverse)
    assert_bitwise(final, state)
    assert outputs.shape == (0, 2, cell.output_dim)
    assert outputs.dtype == jnp.float32

    def total(params, state):
        results = scan(cell, params, inputs_of(0), state, lengths=lengths, reverse=reverse)
        return sum(leaf.sum() for leaf in jax.tree.leaves(results))

    param_grads, state_grads = jax.grad(total, argnums=(0, 1))(params, state)
    assert_bitwise(param_grads, jax.tree.map(jnp.zeros_like, params))
    assert_bitwise(state_grads, jax.tree.map(jnp.ones_like, state))


@pytest.mark.parametrize("name", STATES)
def test_one_step_is_step(name, x64):
    cell = cell_of(name)
    params, state = params_of(cell, dtype=jnp.float64), state_of(cell, dtype=jnp.float64)
    inputs = inputs_of(1, dtype=jnp.float64)
    final, output = cell.step(params, state, inputs[0])
    assert_close(jit_scan(cell, params, inputs, state), (final, output[None]), atol=1e-15)


@pytest.mark.parametrize("batch_shape", [(), (2, 3)])
@pytest.mark.parametrize("name", ["lstm", "flax.nnx:LSTMCell"])
def test_batch_shapes(name, batch_shape, x64):
    """Any number of batch axes gives what a flat batch gives, with lengths of the same shape."""
    cell = cell_of(name)
    params, inputs = params_of(cell, dtype=jnp.float64), inputs_of(NUM_STEPS, batch_shape, dtype=jnp.float64)
    lengths = jnp.arange(np.prod(batch_shape, dtype=int)).reshape(batch_shape) + 1
    state, outputs = jit_scan(cell, params, inputs, None, lengths)
    flat_inputs = inputs.reshape(NUM_STEPS, -1, inputs.shape[-1])
    flat_state, flat_outputs = jit_scan(cell, params, flat_inputs, None, lengths.ravel())
    assert outputs.shape == (NUM_STEPS, *batch_shape, cell.output_dim)
    assert_close(outputs.reshape(flat_outputs.shape), flat_outputs, atol=1e-15)
    assert_close(jax.tree.map(lambda leaf, flat: leaf.reshape(flat.shape), state, flat_state), flat_state, atol=1e-15)


@pytest.mark.parametrize(
    ("enable", "dtype"), [(False, jnp.int8), (False, jnp.uint8), (True, jnp.uint8), (True, jnp.int32)]
)
def test_any_integer_lengths(dtype, enable):
    """Also those whose type can't count to T, and 64-bit mode, where arange gives int64."""
    with jax.enable_x64(enable):
        cell = cell_of("rnn")
        params, inputs = params_of(cell), inputs_of(300, (3,))
        lengths = np.array([0, 5, 100])
        expected = jit_scan(cell, params, inputs, None, jnp.asarray(lengths, jnp.int32))
        assert_bitwise(jit_scan(cell, params, inputs, None, jnp.asarray(lengths, dtype)), expected)
        state, last = jit_scan_last(cell, params, inputs, lengths=jnp.asarray(lengths, dtype))
        assert_bitwise(state, expected[0])
        assert_bitwise(last, expected[1][np.maximum(lengths - 1, 0), np.arange(3)])


@pytest.mark.parametrize("name", STATES)
def test_scan_last(name, x64):
    """State and last output of `scan`, at T = 1 too; with lengths each sequence's own, zero where it has none."""
    cell = cell_of(name)
    params, state = params_of(cell, dtype=jnp.float64), state_of(cell, (4,), jnp.float64)
    inputs = inputs_of(NUM_STEPS, (4,), dtype=jnp.float64)
    for num_steps in (1, NUM_STEPS):
        final, outputs = python_loop(cell, params, inputs[:num_steps], state)
        assert_close(jit_scan_last(cell, params, inputs[:num_steps], state), (final, outputs[-1]))
    final, outputs = python_loop(cell, params, inputs, state, lengths=LENGTHS)
    # unsigned: the step before that of length 0 is no step -1
    actual_final, last = jit_scan_last(cell, params, inputs, state, lengths=LENGTHS.astype(jnp.uint8))
    assert_close(actual_final, final)
    for b, length in enumerate(int(length) for length in LENGTHS):
        assert_close(last[b], outputs[length - 1, b] if length else jnp.zeros(cell.output_dim))


@pytest.mark.parametrize("lengths", [None, (0, 0)])
def test_scan_last_needs_a_step(lengths):
    cell = cell_of("lstm")
    lengths = None if lengths is None else jnp.array(lengths)
    with pytest.raises(ValueError, match="expected at least one step for a last output, got T = 0"):
        scan_last(cell, params_of(cell), inputs_of(0), lengths=lengths)


# Padding, bitwise. One compiled function gives all that a training uses.

PADDED = [(name, False) for name in ["rnn", "gru", "lstm", "gru@reset=before", OWN[0], "flax.nnx:LSTMCell"]]
PADDED += [("lstm", True)]
padded = pytest.mark.parametrize(("name", "reverse"), PADDED)
SHORT_LENGTHS = jnp.array([0, 1, 3, 4])


@functools.partial(jax.jit, static_argnums=(0, 5))
def everything(cell, params, state, inputs, lengths, reverse):
    """(final state, outputs) and gradients w.r.t. (params, state, inputs) of a loss on the state and all outputs."""

    def loss(params, state, inputs):
        final, outputs = scan(cell, params, inputs, state, lengths=lengths, reverse=reverse)
        # as many weights as ever needed, so that a step's weight does not depend on how many steps there are
        weights = np.random.default_rng(1).normal(size=(20, *outputs.shape[1:]))[: len(outputs)]
        return weighted_sum(final) + jnp.sum(jnp.asarray(weights, outputs.dtype) * outputs), (final, outputs)

    (_, results), gradients = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(params, state, inputs)
    return results, gradients


def padding_case(name):
    cell = cell_of(name)
    return cell, params_of(cell), state_of(cell, (4,)), inputs_of(NUM_STEPS, (4,))


def sequence(tree, b):
    """Sequence b of a tree of `[B, ...]`."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[b], tree)


@padded
def test_what_is_in_the_padding_does_not_matter(name, reverse):
    """Final state, outputs and gradients, whatever garbage the padding holds; its own gradient is exactly zero."""
    cell, params, state, inputs = padding_case(name)
    padding = np.arange(NUM_STEPS)[:, None] >= np.asarray(SHORT_LENGTHS)
    expected = everything(cell, params, state, inputs, SHORT_LENGTHS, reverse)
    (final, outputs), (_, _, input_grads) = expected
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(expected))
    assert (np.asarray(outputs)[padding] == 0).all()
    assert (np.asarray(input_grads)[padding] == 0).all()
    assert (np.asarray(input_grads)[~padding] != 0).any(axis=-1).all()
    assert_bitwise(sequence(final, 0), sequence(state, 0))  # the sequence of length 0
    for garbage in (np.nan, np.inf, -np.inf, 1e30):
        spoiled = jnp.asarray(np.where(padding[..., None], np.float32(garbage), inputs))
        assert_bitwise(everything(cell, params, state, spoiled, SHORT_LENGTHS, reverse), expected)


@padded
def test_how_much_padding_does_not_matter(name, reverse):
    """The same batch, padded to T = 6 and to T = 4, its longest sequence."""
    cell, params, state, inputs = padding_case(name)
    (final, outputs), (*grads, input_grads) = everything(cell, params, state, inputs, SHORT_LENGTHS, reverse)
    (final_, outputs_), (*grads_, input_grads_) = everything(cell, params, state, inputs[:4], SHORT_LENGTHS, reverse)
    assert_bitwise((final_, outputs_, grads_, input_grads_), (final, outputs[:4], grads, input_grads[:4]))


@padded
def test_alone(name, reverse):
    """A sequence in a batch without any padding, at the same width: gradients too."""
    cell, params, state, inputs = padding_case(name)
    (final, outputs), (_, state_grads, input_grads) = everything(cell, params, state, inputs, SHORT_LENGTHS, reverse)
    results, (_, state_grads_, input_grads_) = everything(
        cell, params, state, inputs[:4], jnp.array([4, 4, 4, 4]), reverse
    )
    b = 3
    assert int(SHORT_LENGTHS[b]) == 4
    assert_bitwise(sequence(results[0], b), sequence(final, b))
    assert_bitwise(results[1][:, b], outputs[:4, b])
    assert_bitwise(sequence(state_grads_, b), sequence(state_grads, b))
    assert_bitwise(input_grads_[:, b], input_grads[:4, b])


@pytest.mark.parametrize(("name", "reverse"), [("gru", False), ("lstm", False), ("lstm", True), (OWN[0], False)])
def test_alone_without_lengths(name, reverse):
    """As above with lengths=None: bitwise operation by operation, and to rounding when compiled.

    Compiled, these are two programs, and LLVM contracts `f * c + i * g` into a fused multiply-add on one side or the
    other as it pleases; the LSTM's last bit differs by that. (XLA_FLAGS=--xla_cpu_max_isa=AVX has no such
    instruction, and there they agree bitwise.)
    """
    cell, params, state, inputs = padding_case(name)
    b = 3
    with jax.disable_jit():
        final, outputs = scan(cell, params, inputs, state, lengths=SHORT_LENGTHS, reverse=reverse)
        alone_final, alone_outputs = scan(cell, params, inputs[:4], state, reverse=reverse)
    assert_bitwise(sequence(alone_final, b), sequence(final, b))
    assert_bitwise(alone_outputs[:, b], outputs[:4, b])
    compiled = jit_scan(cell, params, inputs[:4], state, reverse=reverse)
    # States and outputs are of order one, so 1e-6 is 16 units in the last place of float32.
    assert_close(compiled, (alone_final, alone_outputs), atol=1e-6)


@pytest.mark.parametrize("name", STATES)
def test_split_in_two(name):
    """Bitwise: the first part, then the second from the first's state, is the whole."""
    cell, params, state, inputs = padding_case(name)
    for lengths in (None, LENGTHS):
        first_lengths = None if lengths is None else jnp.minimum(lengths, 3)
        rest_lengths = None if lengths is None else jnp.maximum(lengths - 3, 0)
        final, outputs = jit_scan(cell, params, inputs, state, lengths)
        middle, first = jit_scan(cell, params, inputs[:3], state, first_lengths)
        assert_bitwise(jit_scan(cell, params, inputs[3:], middle, rest_lengths), (final, outputs[3:]))
        assert_bitwise(first, outputs[:3])


# Transformations


@pytest.mark.parametrize("name", ["lstm", OWN[0]])
def test_vmap_over_parameters(name, x64):
    """Many runs at once, as training does: parameters, inputs and lengths mapped, under jit and grad."""
    cell = cell_of(name)
    lanes = [add_noise(params_of(cell, dtype=jnp.float64), seed) for seed in range(3)]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *lanes)
    inputs = jnp.stack([inputs_of(NUM_STEPS, (4,), dtype=jnp.float64, seed=seed) for seed in range(3)])
    lengths = jnp.stack([LENGTHS, LENGTHS[::-1], jnp.full(4, 3)])

    def loss(params, inputs, lengths):
        return weighted_sum(scan(cell, params, inputs, lengths=lengths))

    value_and_grad = jax.value_and_grad(loss)
    actual = jax.jit(jax.vmap(value_and_grad))(params, inputs, lengths)
    one = jax.jit(value_and_grad)
    for lane in range(3):
        assert_close(sequence(actual, lane), one(lanes[lane], inputs[lane], lengths[lane]))


def test_forward_mode_agrees_with_reverse_mode(x64):
    """jvp along a direction is the gradient's product with it, for first and second derivatives."""
    cell = cell_of("rnn")
    params, inputs = params_of(cell, dtype=jnp.float64), inputs_of(NUM_STEPS, (4,), dtype=jnp.float64)
    direction = add_noise(jax.tree.map(jnp.zeros_like, params), 5)

    def loss(params):
        return weighted_sum(scan(cell, params, inputs, lengths=LENGTHS))

    def inner(a, b):
        return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))

    @jax.jit
    def both_ways(params):
        _, slope = jax.jvp(loss, (params,), (direction,))
        _, curvature = jax.jvp(jax.grad(loss), (params,), (direction,))
        return (slope, curvature), (
            inner(jax.grad(loss)(params), direction),
            jax.grad(lambda params: inner(jax.grad(loss)(params), direction))(params),
        )

    forward, backward = both_ways(params)
    assert_close(forward, backward, atol=1e-11)  # of numbers up to about 100
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(forward)) > 1


# The source


def test_annotations_are_checked_here():
    """The hook of conftest.py is at work: inputs that are no numbers are refused."""
    cell = cell_of("rnn")
    with pytest.raises(beartype.roar.BeartypeCallHintParamViolation, match="inputs"):
        scan(cell, params_of(cell), jnp.zeros((3, 2, 3), bool))


LOOPS = {"scan", "associative_scan", "while_loop", "fori_loop", "RNN", "Bidirectional"}


def loops_of_libraries(source):
    """The loops of jax and Flax that a source names: `jax.lax.scan`, `nnx.RNN`, `from jax.lax import scan`, ..."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in LOOPS:
            owner = ast.unparse(node.value)
            if owner.split(".")[-1] in ("lax", "nnx", "control_flow"):
                found.append(f"{owner}.{node.attr}")
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("jax", "flax"):
            found += [f"{node.module}.{name.name}" for name in node.names if name.name in LOOPS]
    return found


def test_there_is_one_scan_over_time():
    """scan.py and its memory-saving path alone loop over time.

    Others may loop over what is longer than one call of it: updates, the words that a model writes (each of which it
    reads next), segments of a text; and over digits and symbols of tasks, where there is no cell.
    """
    package = Path(lstm_jax.__file__).parent
    found = {
        path.relative_to(package).as_posix(): loops
        for path in sorted(package.rglob("*.py"))
        if (loops := loops_of_libraries(path.read_text()))
    }
    assert set(found.pop("scan.py")) == {"jax.lax.scan"}
    assert found.pop("linear_scan.py") == ["jax.lax.associative_scan"]
    assert set(found.pop("memory_saving.py")) == {"jax.lax.scan", "jax.lax.fori_loop"}
    assert set(found.pop("training.py", [])) <= {"jax.lax.scan", "jax.lax.fori_loop", "jax.lax.while_loop"}
    assert set(found.pop("evaluation/decoding.py")) == {"jax.lax.scan", "jax.lax.while_loop"}
    assert found.pop("models/encoder_decoder.py") == ["jax.lax.scan"], "of scheduled sampling"
    assert found.pop("evaluation/language.py") == ["jax.lax.scan"], "over segments"
    assert found.pop("tasks/addition.py") == ["jax.lax.scan"], "over digits"
    assert set(found.pop("tasks/dyck.py")) == {"jax.lax.scan"}, "over brackets"
    assert set(found.pop("tasks/listops.py")) == {"jax.lax.scan"}, "over symbols of an expression"
    assert set(found.pop("tasks/walks.py")) == {"jax.lax.scan"}, "over symbols of a grammar"
    assert found.pop("tasks/products.py") == ["jax.lax.associative_scan"], "over elements of a group"
    assert found.pop("diagnostics/rollout.py") == ["jax.lax.scan"], "with states in view, which a scan does not return"
    assert found.pop("diagnostics/gates.py") == ["jax.lax.scan"], "over the Jacobians of steps"
    assert found.pop("diagnostics/trace.py") == ["jax.lax.scan"], "with gates in view"
    assert found.pop("diagnostics/signal.py") == ["jax.lax.scan"], "over batches"
    assert found.pop("diagnostics/sharpness.py") == ["jax.lax.fori_loop"], "over power iterations"
    assert found == {}
