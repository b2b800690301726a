"""Modules around cells: one layer, a stack of them, and our cells inside Flax's own RNN."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import FLAX, INPUT_DIM, OURS, OWN, add_noise, call, cell_of, inputs_of, jit_scan, state_of
from flax import nnx

from lstm_jax.cells.base import Cell, HiddenState
from lstm_jax.layers import CellAsFlax, Recurrent, Stack
from lstm_jax.scan import scan, scan_last

NUM_STEPS = 5
LENGTHS = jnp.array([0, 3, NUM_STEPS])


def assert_close(actual, expected, atol=0.0):
    """Leaf by leaf, absolute; exact unless told otherwise."""
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=atol), actual, expected)


def noisy(module, seed=1):
    """The module with noise on its parameters, biases too."""
    graphdef, state = nnx.split(module)
    return nnx.merge(graphdef, add_noise(state, seed, 0.3))


def make_stack(names=(OWN[0], "lstm"), dropout=0.0, **options):
    return noisy(Stack([cell_of(name) for name in names], INPUT_DIM, dropout=dropout, rngs=nnx.Rngs(0), **options))


# One layer


@pytest.mark.parametrize("name", ["lstm", "flax.nnx:LSTMCell"])
def test_recurrent_is_scan(name):
    """With all arguments handed on."""
    cell = cell_of(name)
    layer = noisy(Recurrent(cell, INPUT_DIM, rngs=nnx.Rngs(0)))
    graphdef, module_state = nnx.split(layer)
    params, inputs, state = layer.params.get_value(), inputs_of(NUM_STEPS, (3,)), state_of(cell, (3,))

    @jax.jit
    def both(module_state, params, inputs, state):
        layer = nnx.merge(graphdef, module_state)
        options = {"lengths": LENGTHS, "reverse": True, "return_outputs": False}
        return (
            [
                layer(inputs),
                layer(inputs, state, **options),
                layer.last(inputs, state),
                layer.last(inputs, state, lengths=LENGTHS),
            ],
            [
                scan(cell, params, inputs),
                scan(cell, params, inputs, state, **options),
                scan_last(cell, params, inputs, state),
                scan_last(cell, params, inputs, state, lengths=LENGTHS),
            ],
        )

    assert_close(*both(module_state, params, inputs, state))


def test_layers_start_differently():
    """Each layer draws from the stream anew; the same stream gives the same layers."""
    first, second = (Stack([cell_of("rnn")] * 2, 5, rngs=nnx.Rngs(0)) for _ in range(2))
    weights = [layer.params.get_value().w_hh for layer in (*first.layers, *second.layers)]
    np.testing.assert_array_equal(weights[0], weights[2])
    np.testing.assert_array_equal(weights[1], weights[3])
    assert (np.asarray(weights[0]) != np.asarray(weights[1])).all()


# A stack


def by_hand(stack, inputs, initial_states=None, lengths=None):
    """The layers one after another, through `scan`."""
    states = []
    for index, layer in enumerate(stack.layers):
        initial_state = None if initial_states is None else initial_states[index]
        state, inputs = jit_scan(layer.cell, layer.params.get_value(), inputs, initial_state, lengths)
        states.append(state)
    return states, inputs


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_stack_is_its_layers_one_after_another(lengths, x64):
    """Of different cells, one with outputs twice as wide as its state."""
    stack = make_stack(dtype=jnp.float64)
    inputs = inputs_of(NUM_STEPS, (3,), dtype=jnp.float64)
    states = [state_of(layer.cell, (3,), jnp.float64) for layer in stack.layers]
    final, outputs = by_hand(stack, inputs, states, lengths)
    assert_close(call(stack, inputs, states, lengths=lengths), (final, outputs), 1e-15)
    assert outputs.dtype == jnp.float64

    last_final, last = call(stack, inputs, states, lengths=lengths, static=[("last_output", True)])
    assert_close(last_final, final, 1e-15)
    assert last.shape == (1, 3, outputs.shape[-1])
    steps = np.full(3, NUM_STEPS) if lengths is None else np.asarray(lengths)
    for b, length in enumerate(steps):
        assert_close(last[0, b], outputs[length - 1, b] if length else jnp.zeros(outputs.shape[-1]), 1e-15)


def test_stack_starts_from_the_cells_states():
    """Where no initial states are given."""
    stack, inputs = make_stack(), inputs_of(NUM_STEPS, (3,))
    zeros = [layer.cell.initial_state((3,)) for layer in stack.layers]
    assert_close(call(stack, inputs), call(stack, inputs, zeros))


def test_stack_refuses_what_is_no_stack():
    with pytest.raises(ValueError, match="cells: expected at least one, got none"):
        Stack([], INPUT_DIM, rngs=nnx.Rngs(0))
    for rate in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=rf"dropout: expected a rate in \[0, 1\), got {rate}"):
            Stack([cell_of("rnn")], INPUT_DIM, dropout=rate, rngs=nnx.Rngs(0))


# Dropout


def test_no_random_state():
    """So that a module can be split and merged inside grad, scan and vmap."""
    for module in (make_stack(dropout=0.5), Recurrent(cell_of("lstm"), 3, rngs=nnx.Rngs(0))):
        _, params, rest = nnx.split(module, nnx.Param, ...)
        assert jax.tree.leaves(params)
        assert not jax.tree.leaves(rest)


def test_dropout_is_off_without_a_key():
    inputs = inputs_of(NUM_STEPS)
    expected = call(make_stack(), inputs)
    assert_close(call(make_stack(dropout=0.5), inputs), expected)
    assert_close(call(make_stack(dropout=0.0), inputs, dropout_key=jax.random.key(0)), expected)


def test_dropout_is_a_function_of_the_key():
    stack, inputs = make_stack(dropout=0.5), inputs_of(NUM_STEPS)
    outputs = [call(stack, inputs, dropout_key=jax.random.key(seed))[1] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert (np.asarray(outputs[0]) != np.asarray(outputs[2])).any()


def test_dropout_is_between_layers_only():
    """Neither before the first layer nor after the last: one layer is not touched, nor is the first of two."""
    inputs, key = inputs_of(NUM_STEPS), jax.random.key(0)
    single = make_stack(("lstm",), dropout=0.9)
    assert_close(call(single, inputs, dropout_key=key), call(single, inputs))
    double = make_stack(("lstm", "rnn"), dropout=0.9)
    dropped, kept = call(double, inputs, dropout_key=key), call(double, inputs)
    assert_close(dropped[0][0], kept[0][0])  # the first layer's state
    assert (np.asarray(dropped[0][1].hidden) != np.asarray(kept[0][1].hidden)).any()
    assert (np.asarray(dropped[1]) != 0).all()  # nothing dropped after the last


def masks_of(rate, num_layers, key):
    """What multiplies each layer's input: layers that hand their input on, fed with ones."""
    identity = cell_of("rnn", hidden_dim=50)
    stack = Stack([identity] * num_layers, 50, dropout=rate, rngs=nnx.Rngs(0))
    seen = []
    for layer in stack.layers:
        layer.params.set_value(jax.tree.map(jnp.zeros_like, layer.params.get_value()))

    class Spy(nnx.Module):
        def __call__(self, inputs, initial_state=None, **options):
            seen.append(np.asarray(inputs))
            return None, jnp.ones_like(inputs)

    stack.layers = nnx.List([Spy() for _ in range(num_layers)])
    stack(jnp.ones((20, 4, 50)), dropout_key=key)
    return seen


def test_dropout_scale():
    """Elements are zero with the given rate, others scaled to keep the mean; each layer, step and sequence anew."""
    first, second, third = masks_of(0.25, 3, jax.random.key(0))
    assert (first == 1).all()
    for mask in (second, third):
        assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.75)}
        # 4,000 draws: the standard deviation of the fraction is 0.007
        assert abs((mask == 0).mean() - 0.25) < 0.03
        assert len({step.tobytes() for step in mask}) == len(mask)
        assert len({mask[:, b].tobytes() for b in range(4)}) == 4
    assert (second != third).any()


# Transformations


def test_split_and_merge_under_transformations(x64):
    """jit and grad over the parameters of a module, as training has them (vmap: test_models.py)."""
    stack = make_stack(("rnn", "rnn"), dropout=0.5, dtype=jnp.float64)
    graphdef, params = nnx.split(stack)
    inputs, key = inputs_of(NUM_STEPS, dtype=jnp.float64), jax.random.key(3)

    def loss(params, inputs, key):
        states, outputs = nnx.merge(graphdef, params)(inputs, dropout_key=key)
        return (outputs**2).sum() + sum((state.hidden**2).sum() for state in states)

    value, grads = jax.jit(jax.value_and_grad(loss))(params, inputs, key)
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    assert all((np.asarray(leaf) != 0).any() for leaf in jax.tree.leaves(grads))

    states, outputs = call(stack, inputs, dropout_key=key)
    by_numpy = sum((np.asarray(leaf) ** 2).sum() for leaf in (outputs, *(state.hidden for state in states)))
    assert_close(value, by_numpy, 1e-12)


# Our cells inside Flax's RNN. In float64; lengths are at least 1, for Flax takes the last carry at index length - 1.

FLAX_LENGTHS = np.array([1, 3, NUM_STEPS])
AS_FLAX = ["gru", "gru@reset=before", "lstm", OWN[0]]


def as_flax(name, seed=0):
    return noisy(CellAsFlax(cell_of(name), INPUT_DIM, rngs=nnx.Rngs(seed), dtype=jnp.float64), seed + 1)


@pytest.mark.parametrize("name", AS_FLAX)
def test_inside_nnx_rnn(name, x64):
    """nnx.RNN as it comes: its carry is our final state, its outputs are ours."""
    module = as_flax(name)
    inputs = inputs_of(NUM_STEPS, (3,), dtype=jnp.float64)
    expected = jit_scan(module.cell, module.params.get_value(), inputs)
    assert_close(call(nnx.RNN(module, time_major=True, return_carry=True), inputs), expected, 1e-15)


@pytest.mark.parametrize(
    ("name", "reverse", "time_major"),
    [("lstm", False, False), ("lstm", True, False), ("lstm", False, True), ("lstm", True, True), (OWN[0], True, True)],
)
def test_options_of_nnx_rnn(name, reverse, time_major, x64):
    """Initial carry, lengths, direction and layout; outputs where they are valid (Flax does not mask the others)."""
    module = as_flax(name)
    inputs = inputs_of(NUM_STEPS, (3,), dtype=jnp.float64)
    state = state_of(module.cell, (3,), jnp.float64)
    final, outputs = jit_scan(
        module.cell, module.params.get_value(), inputs, state, jnp.asarray(FLAX_LENGTHS), reverse=reverse
    )
    layer = nnx.RNN(module, time_major=time_major, return_carry=True, reverse=reverse, keep_order=True)
    carry, theirs = call(
        layer,
        inputs if time_major else inputs.swapaxes(0, 1),
        initial_carry=state,
        seq_lengths=jnp.asarray(FLAX_LENGTHS),
    )
    theirs = theirs if time_major else theirs.swapaxes(0, 1)
    assert_close(carry, final, 1e-15)
    valid = np.arange(NUM_STEPS)[:, None] < FLAX_LENGTHS
    assert_close(np.asarray(theirs)[valid], np.asarray(outputs)[valid], 1e-15)


@pytest.mark.parametrize("name", ["lstm", "gru@reset=before"])
def test_inside_nnx_bidirectional(name, x64):
    forward, backward = as_flax(name, 0), as_flax(name, 5)
    inputs = inputs_of(NUM_STEPS, (3,), dtype=jnp.float64)
    layer = nnx.Bidirectional(nnx.RNN(forward), nnx.RNN(backward), time_major=True, return_carry=True)
    carries, outputs = call(layer, inputs)
    ours = [
        jit_scan(module.cell, module.params.get_value(), inputs, reverse=reverse)
        for module, reverse in ((forward, False), (backward, True))
    ]
    assert_close(carries, (ours[0][0], ours[1][0]), 1e-15)
    assert_close(outputs, jnp.concatenate([ours[0][1], ours[1][1]], axis=-1), 1e-15)


def test_gradients_inside_nnx_rnn(x64):
    """nnx.grad through nnx.RNN and our cell gives our gradients."""
    module = as_flax("lstm")
    inputs = inputs_of(NUM_STEPS, (3,), dtype=jnp.float64)
    grads = nnx.jit(nnx.grad(lambda layer: (layer(inputs) ** 2).sum()))(nnx.RNN(module, time_major=True, rngs=False))

    def loss(params):
        return (scan(module.cell, params, inputs)[1] ** 2).sum()

    found = nnx.to_pure_dict(grads["cell"]["weights"])
    assert_close(found, jax.jit(jax.grad(loss))(module.params.get_value())._asdict(), 1e-13)


def test_cell_as_flax_is_a_flax_cell():
    module = CellAsFlax(cell_of("lstm"), INPUT_DIM, rngs=nnx.Rngs(0))
    assert isinstance(module, nnx.RNNCellBase)
    assert module.num_feature_axes == 1
    carry = module.initialize_carry((2, 4, INPUT_DIM))
    assert carry._fields == ("hidden", "cell")
    assert {leaf.shape for leaf in carry} == {(2, 4, 5)}
    np.testing.assert_array_equal(carry, np.zeros((2, 2, 4, 5)))


@pytest.mark.parametrize("name", [*OURS[:3], *OWN, *FLAX[:2]])
def test_carry_init(name):
    """A drawn carry: each leaf anew, whatever kind of state the cell has; from an Rngs or a stream of it."""
    module = CellAsFlax(cell_of(name), INPUT_DIM, rngs=nnx.Rngs(0))
    normal = nnx.initializers.normal(1.0)
    carry = module.initialize_carry((4, INPUT_DIM), nnx.Rngs(carry=3), normal)
    assert jax.tree.structure(carry) == jax.tree.structure(module.cell.initial_state((4,)))
    leaves = jax.tree.leaves(carry)
    assert len({np.asarray(leaf).tobytes() for leaf in leaves}) == len(leaves)
    assert all((np.asarray(leaf) != 0).all() for leaf in leaves)
    assert_close(module.initialize_carry((4, INPUT_DIM), nnx.Rngs(carry=3).carry, normal), carry)
    with pytest.raises(ValueError, match="initialize_carry: carry_init needs rngs, got None"):
        module.initialize_carry((4, INPUT_DIM), carry_init=normal)


@dataclasses.dataclass(frozen=True)
class Passing(Cell):
    """Gives what it gets."""

    def init(self, key, input_dim, dtype=jnp.float32):
        return {"unused": jnp.zeros(1, dtype)}

    def initial_state(self, batch_shape, dtype=jnp.float32):
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_dim), dtype))

    def step(self, params, state, x):
        return state, x


def test_each_layer_has_a_mask_of_its_own():
    """What three layers let through, two masks did: a quarter and not a half."""
    stack = Stack([Passing(50)] * 3, 50, dropout=0.5, rngs=nnx.Rngs(0))
    _, outputs = call(stack, jnp.ones((20, 10, 50)), dropout_key=jax.random.key(0))
    share = (np.asarray(outputs) != 0).mean()
    assert abs(share - 0.25) < 5 * (0.25 * 0.75 / outputs.size) ** 0.5
    assert set(np.unique(outputs)) == {0.0, 4.0}


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_a_bidirectional_stack_is_two_scans_side_by_side(lengths, x64):
    """This way first, then the other; each sequence backwards from its own last step."""
    stack, inputs = make_stack(bidirectional=True, dtype=jnp.float64), inputs_of(NUM_STEPS, (3,), dtype=jnp.float64)
    states, outputs, expected = *call(stack, inputs, lengths=lengths), inputs
    for state, one, other in zip(states, stack.layers, stack.other_way, strict=True):
        (end, there), (begin, back) = (
            scan(layer.cell, layer.params.get_value(), expected, lengths=lengths, reverse=reverse)
            for layer, reverse in ((one, False), (other, True))
        )
        assert_close(state, (end, begin), 1e-12)
        expected = jnp.concatenate([there, back], axis=-1)
    assert_close(outputs, expected, 1e-12)
