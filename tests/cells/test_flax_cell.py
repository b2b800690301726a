"""A Flax cell as one of ours: the same numbers as from Flax, and no more than parameters inside."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import own_cells
import pytest
from cell_cases import FLAX, HIDDEN_DIM, INPUT_DIM, call, cell_of, inputs_of, jit_scan
from flax import nnx

from lstm_jax.cells import flax_cell, make_cell


@pytest.mark.parametrize("name", FLAX)
def test_same_as_in_flax(name):
    """Parameters of the same key and outputs, against the module itself in nnx.RNN."""
    cell = cell_of(name)
    module = cell.cell_class(INPUT_DIM, HIDDEN_DIM, rngs=nnx.Rngs(jax.random.key(3)))
    params = cell.init(jax.random.key(3), INPUT_DIM)
    expected_params = nnx.state(module, nnx.Param)
    assert jax.tree.structure(params) == jax.tree.structure(expected_params)
    jax.tree.map(np.testing.assert_array_equal, params, expected_params)
    inputs = inputs_of(6)
    expected_carry, expected = call(nnx.RNN(module, time_major=True, return_carry=True), inputs)
    state, outputs = jit_scan(cell, params, inputs)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), state, expected_carry)


def test_lstm_carry_is_as_flax_has_it():
    """(cell, hidden): the output is the second."""
    cell = cell_of("flax.nnx:LSTMCell")
    params = cell.init(jax.random.key(0), INPUT_DIM)
    (memory, hidden), output = cell.step(params, cell.initial_state((2,)), inputs_of(1)[0])
    np.testing.assert_array_equal(hidden, output)
    assert (np.asarray(memory) != np.asarray(hidden)).any()


def test_first_use_inside_a_transformation():
    """The module's static half is cached: made while tracing, it must hold no tracer."""
    cell = make_cell("flax.nnx:SimpleCell", 11)  # a width that no other test has cached

    def step(key):
        params = cell.init(key, INPUT_DIM)
        return cell.step(params, cell.initial_state((2,)), inputs_of(1)[0])[1]

    key = jax.random.key(0)
    np.testing.assert_allclose(jax.jit(step)(key), step(key), rtol=0, atol=1e-6)


def test_more_than_parameters_is_refused():
    cell = make_cell("own_cells:Counting", 5)
    assert cell.cell_class is own_cells.Counting
    with pytest.raises(ValueError, match=r"Counting: expected parameters only, got \['calls'\]"):
        cell.init(jax.random.key(0), INPUT_DIM)


def test_settings_are_refused():
    with pytest.raises(ValueError, match="a Flax cell takes no settings here; wrap it in a Cell of your own"):
        make_cell("flax.nnx:GRUCell@init=orthogonal", 5)


def test_which_classes_are_flax_cells():
    assert flax_cell.is_flax_cell(nnx.LSTMCell)
    assert not flax_cell.is_flax_cell(nnx.Linear)
    assert not flax_cell.is_flax_cell(nnx.LSTMCell(1, 1, rngs=nnx.Rngs(0)))
    assert not flax_cell.is_flax_cell(jnp.tanh)
