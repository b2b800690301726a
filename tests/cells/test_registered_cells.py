"""What holds for every cell that can be named: ours with their settings, a user's own, and Flax's."""

from __future__ import annotations

import copy
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import (
    ALL,
    FLAX,
    HIDDEN_DIM,
    INPUT_DIM,
    KINDS,
    OURS,
    OWN,
    add_noise,
    cell_of,
    inputs_of,
    params_of,
    state_of,
)
from numpy_cells import LOOPS

from lstm_jax.cells import CELLS, make_cell
from lstm_jax.cells.base import Cell, PointwiseCell
from lstm_jax.cells.flax_cell import FlaxCell

every_cell = pytest.mark.parametrize("name", ALL)
every_kind = pytest.mark.parametrize("name", KINDS)  # for what depends on the step, not on how parameters start
POINTWISE = [name for name in OURS + OWN if cell_of(name).is_pointwise]
pointwise = pytest.mark.parametrize("name", POINTWISE)


@functools.cache
def jit_step(name):
    """The step, compiled; one cache for all tests here."""
    return jax.jit(cell_of(name).step)


def one_step(name):
    """Arguments of a step in float64 for a batch of six, and what it gives."""
    cell = cell_of(name)
    arguments = (
        params_of(cell, dtype=jnp.float64),
        state_of(cell, (6,), jnp.float64),
        inputs_of(1, (6,), dtype=jnp.float64)[0],
    )
    return cell, arguments, jit_step(name)(*arguments)


def assert_same(actual, expected, atol=0.0):
    """Leaf by leaf, absolute; exact unless told otherwise."""
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=atol), actual, expected)


def take(tree, index):
    """`leaf[index]` of each leaf, by NumPy, which compiles nothing."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], tree)


# Of every cell


@every_cell
def test_equal_by_value_and_hashable(name):
    """So that a cell can key a compiled program, here and in another process."""
    cell = cell_of(name)
    assert isinstance(cell, Cell)
    assert cell == cell_of(name) == copy.deepcopy(cell) == pickle.loads(pickle.dumps(cell))
    assert hash(cell) == hash(cell_of(name)) == hash(pickle.loads(pickle.dumps(cell)))
    assert cell != cell_of(name, HIDDEN_DIM + 1)
    assert repr(cell).startswith(type(cell).__name__)


def test_all_names_are_different_cells():
    assert len({cell_of(name) for name in ALL}) == len(ALL)


@every_cell
def test_step(name, x64):
    """Pure and deterministic: equal results, arguments left as they are; structure, shapes and dtypes kept."""
    cell, arguments, (state, output) = one_step(name)
    before = jax.tree.map(np.array, arguments)
    assert_same(jit_step(name)(*arguments), (state, output))
    eager = cell.step(*arguments)
    assert_same(cell.step(*arguments), eager)
    assert_same(eager, (state, output), atol=1e-15)
    assert_same(arguments, before)
    assert jax.tree.structure(state) == jax.tree.structure(arguments[1]) == jax.tree.structure(cell.initial_state((6,)))
    assert output.shape == (6, cell.output_dim)
    assert [leaf.shape for leaf in jax.tree.leaves(state)] == [leaf.shape for leaf in jax.tree.leaves(arguments[1])]
    assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves((state, output)))


@every_cell
def test_init_is_a_function_of_the_key(name):
    cell = cell_of(name)
    params = cell.init(jax.random.key(3), INPUT_DIM)
    assert_same(cell.init(jax.random.key(3), INPUT_DIM), params)
    weights = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    others = [leaf for leaf in jax.tree.leaves(cell.init(jax.random.key(4), INPUT_DIM)) if leaf.ndim == 2]
    assert weights
    assert all((np.asarray(a) != np.asarray(b)).any() for a, b in zip(weights, others, strict=True))
    flat = np.sort(np.concatenate([np.ravel(leaf) for leaf in weights]))
    assert (np.diff(flat) != 0).all(), "two weights are equal: a key was used twice"


@pytest.mark.parametrize("name", ["lstm@init=orthogonal,forget_bias=0", "flax.nnx:LSTMCell"])
def test_init_under_vmap(name):
    """Runs that differ in their seed start together as they start alone."""
    cell = cell_of(name)
    keys = jax.random.split(jax.random.key(5), 2)
    together = jax.vmap(lambda key: cell.init(key, INPUT_DIM))(keys)
    for lane in range(2):
        # 1e-6: the QR decomposition of `orthogonal` and of Flax is another program for a batch
        assert_same(take(together, lane), cell.init(keys[lane], INPUT_DIM), 1e-6)


@every_kind
def test_batch_shapes(name, x64):
    """No batch axis, mapped by vmap, and two batch axes give what one axis gives."""
    cell, (params, state, x), expected = one_step(name)
    step = jit_step(name)
    mapped = jax.jit(jax.vmap(cell.step, in_axes=(None, 0, 0)))(params, state, x)
    assert_same(mapped, expected, atol=1e-15)
    grid = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf).reshape(2, 3, *leaf.shape[1:])), (state, x))
    expected = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(2, 3, *leaf.shape[1:]), expected)
    assert_same(step(params, *grid), expected, atol=1e-15)
    for batch_shape in ((), (2, 3)):
        state = cell.initial_state(batch_shape, jnp.float64)
        assert {leaf.shape[: len(batch_shape)] for leaf in jax.tree.leaves(state)} == {batch_shape}


@every_kind
def test_sequences_do_not_mix(name, x64):
    """A permuted batch gives permuted results."""
    _, (params, state, x), expected = one_step(name)
    order = np.array([3, 0, 5, 1, 4, 2])
    permuted = jax.tree.map(jnp.asarray, take((state, x), order))
    assert_same(jit_step(name)(params, *permuted), take(expected, order), atol=1e-15)


# Flax's own initialisation (a QR decomposition) has no half precision, but for its LSTMCell.
NO_BFLOAT16 = {"flax.nnx:GRUCell", "flax.nnx:SimpleCell", "flax.nnx:OptimizedLSTMCell"}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.bfloat16])
@every_cell
def test_dtypes_are_kept(name, dtype, x64):
    """In 64-bit mode too, where a literal of the wrong kind turns everything into float64."""
    cell = cell_of(name)
    if dtype == jnp.bfloat16 and name in NO_BFLOAT16:
        with pytest.raises(NotImplementedError, match="bfloat16"):
            cell.init(jax.random.key(0), INPUT_DIM, dtype)
        return

    def run(key):
        params, state = cell.init(key, INPUT_DIM, dtype), cell.initial_state((2,), dtype)
        return params, state, cell.step(params, state, jnp.ones((2, INPUT_DIM), dtype))

    results = jax.eval_shape(run, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {jnp.dtype(dtype)}


@every_kind
def test_causality(name):
    """The output at t depends on inputs up to t, on that at t too, and on none after."""
    cell = cell_of(name)
    params, inputs = params_of(cell), inputs_of(5, (), dtype=jnp.float32)

    @jax.jit
    def outputs_of(inputs):
        return jax.lax.scan(functools.partial(cell.step, params), cell.initial_state(()), inputs)[1]

    outputs = outputs_of(inputs)
    for t in range(5):
        changed = outputs_of(inputs.at[t].add(1.0))
        assert_same(changed[:t], outputs[:t])
        assert all((np.asarray(changed[later]) != np.asarray(outputs[later])).any() for later in range(t, 5))


@every_kind
def test_gradients_reach_every_parameter(name, x64):
    """A parameter that nothing depends on would be counted but never learned."""
    cell, arguments, _ = one_step(name)

    def loss(params, state, x):
        # some steps, so that the recurrent part counts, and that no unit with relu rests in all of them
        scales = enumerate((1.0, -2.0, 3.0, -1.0, 2.0, -3.0))
        inputs = jnp.stack([jnp.roll(scale * x, step, axis=0) for step, scale in scales])
        _, outputs = jax.lax.scan(functools.partial(cell.step, params), state, inputs)
        weights = jnp.arange(1.0, 1.0 + outputs.size, dtype=outputs.dtype)
        return jnp.vdot(weights, outputs.reshape(-1))

    grads = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*arguments)
    of_params, *others = jax.tree.leaves(grads[0]), grads[1][0], grads[2]  # a state may also count steps
    assert all((np.asarray(leaf) != 0).all() for leaf in of_params)
    assert all((np.asarray(leaf) != 0).any(axis=0).all() for leaf in jax.tree.leaves(others))  # relu may rest


# Of ours


def dense(num_gates, further=0):
    """G gates with two linear maps and a bias, and further numbers a unit."""
    return lambda d, h: num_gates * (d * h + h * h + h) + further * h


# Of inputs and units.
COUNTS = {
    "rnn": dense(1),
    "gru": dense(3, 1),  # b_hn
    "lstm": dense(4),
    "coupled_lstm": dense(3),
    "peephole_lstm": dense(4, 3),
    "layer_norm_lstm": dense(4, 4 + 4 + 2),  # gains of two projections, gain and bias of the cell state
    "janet": dense(2),
    "ugrnn": dense(2),
    "indrnn": lambda d, h: d * h + h + h,
    "clockwork": lambda d, h: d * h + h * (h + 1) // 2 + h,  # of H modules with one unit each
    "lem": lambda d, h: 4 * (d * h + h * h + h),
    "cornn": lambda d, h: d * h + 2 * h * h + h,
    "slstm": dense(4),
    "min_gru": lambda d, h: 2 * (d * h + h),
    "min_lstm": lambda d, h: 3 * (d * h + h),
    "lru": lambda d, h: 3 * h + 2 * d * h + 2 * h * h + d * h,
    "rglru": lambda d, h: 3 * (d * h + h) + h,
}


@pytest.mark.parametrize("input_dim", [1, 3])
@pytest.mark.parametrize("name", OURS)
def test_number_of_parameters(name, input_dim):
    cell = cell_of(name)
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), input_dim))
    expected = COUNTS[name.partition("@")[0]](input_dim, cell.hidden_dim)
    if name == "gru@reset=before":
        expected -= cell.hidden_dim
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected


@pytest.mark.parametrize("name", OURS)
def test_initial_state_is_zero(name):
    """The hidden state first, of as many numbers as units or a multiple of that; others may have one a sequence."""
    state = cell_of(name).initial_state((2, 3))
    assert all(leaf.shape[:2] == (2, 3) and not np.any(leaf) for leaf in jax.tree.leaves(state))
    assert state._fields[0] == "hidden"
    assert state.hidden.ndim == 3 and state.hidden.shape[-1] % HIDDEN_DIM == 0


def test_a_registered_cell_is_tested():
    """The formulas above need a line for each, and so do the loops of the oracle."""
    assert COUNTS.keys() == CELLS.keys() == {name.partition("@")[0] for name in LOOPS}


# Of pointwise cells


def test_which_cells_are_pointwise():
    others = {name for name in ALL if name not in POINTWISE}
    linear = {"min_gru", "min_lstm", "lru", "rglru"}
    assert others == {"gru@reset=before", "layer_norm_lstm", "indrnn", "clockwork", "lem", *linear, OWN[0], *FLAX}
    assert all(isinstance(cell_of(name), PointwiseCell) for name in POINTWISE)


@pointwise
def test_step_is_update_of_the_linear_maps(name, x64):
    cell, (params, state, x), expected = one_step(name)
    x_proj = np.asarray(x) @ np.asarray(params.w_ih) + np.asarray(params.bias)
    h_proj = np.asarray(state.hidden) @ np.asarray(params.w_hh)
    width = cell.num_gates * cell.hidden_dim
    assert x_proj.shape == h_proj.shape == (6, width)
    assert_same(cell.update(params, state, jnp.asarray(x_proj), jnp.asarray(h_proj)), expected, atol=1e-14)


def update_case(name):
    """The arguments of update, arrays `[..., units]` for one of each: pointwise parameters, state, projections."""
    cell = cell_of(name)
    params, state = params_of(cell, dtype=jnp.float64), state_of(cell, (4,), jnp.float64)
    width = cell.num_gates * cell.hidden_dim
    x_proj, h_proj = (add_noise(jnp.zeros((4, width), jnp.float64), seed) for seed in (1, 2))
    return cell, params, state, x_proj, h_proj


def select_units(cell, params, state, x_proj, h_proj, units):
    """The same arguments for the given units alone, in the given order."""

    def of_gates(array):
        return array.reshape(*array.shape[:-1], -1, cell.hidden_dim)[..., units].reshape(*array.shape[:-1], -1)

    further = {
        field: getattr(params, field)[units] for field in params._fields if field not in ("w_ih", "w_hh", "bias")
    }
    return (
        params._replace(**further),
        jax.tree.map(of_gates, state),
        of_gates(x_proj),
        of_gates(h_proj),
    )


@pointwise
def test_update_treats_units_alike(name, x64):
    """Permuted units give permuted results."""
    cell, *arguments = update_case(name)
    order = np.array([2, 4, 0, 3, 1])
    update = jax.jit(cell.update)
    params, _, *projections = arguments
    new_state, output = update(*arguments)
    _, *expected = select_units(cell, params, (new_state, output), *projections, order)
    assert_same(update(*select_units(cell, *arguments, order)), expected[0], atol=1e-15)


@pointwise
def test_update_mixes_no_units(name, x64):
    """A change of one unit's projections and state changes that unit alone, in that sequence alone."""
    cell, params, state, x_proj, h_proj = update_case(name)
    update = jax.jit(cell.update)
    expected = update(params, state, x_proj, h_proj)
    unit, row = 1, 2

    def columns(leaf):
        return np.arange(unit, leaf.shape[-1], cell.hidden_dim)

    def changed_at(leaf):
        return leaf.at[row, columns(leaf)].add(3.0)

    for argument in range(3):
        changed = [state, x_proj, h_proj]
        changed[argument] = jax.tree.map(changed_at, changed[argument])
        results = update(params, *changed)
        for leaf, before in zip(jax.tree.leaves(results), jax.tree.leaves(expected), strict=True):
            different = np.asarray(leaf != before)
            assert not np.delete(different, row, axis=0).any()
            assert not np.delete(different[row], columns(leaf)).any()
        if not (argument == 0 and name.startswith("rnn")):  # whose update reads no state: it is in h_proj already
            assert results[1][row, unit] != expected[1][row, unit]


# A user's own and Flax's


def test_own_cell_by_name():
    cell = make_cell("own_cells:Normalised@gain=2", 7)
    assert (type(cell).__name__, cell.hidden_dim, cell.gain, cell.output_dim) == ("Normalised", 7, 2.0, 14)
    leaky = make_cell("own_cells:Leaky@init=orthogonal", 7, gap=9)
    assert (leaky.initialization, leaky.gap) == ("orthogonal", 9)  # a field called gap is told the gap


def test_flax_cell_by_name():
    cell = make_cell("flax.nnx:GRUCell", 7, gap=9)
    assert isinstance(cell, FlaxCell)
    assert (cell.cell_class.__name__, cell.hidden_dim, cell.output_dim, cell.is_pointwise) == ("GRUCell", 7, 7, False)
