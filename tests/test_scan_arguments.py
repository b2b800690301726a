"""What a scan is given in another form than it expects: dtypes, lengths, sizes."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import own_cells
import pytest
from cell_cases import cell_of, inputs_of, params_of, weighted_sum

from lstm_jax.cells import make_cell
from lstm_jax.scan import scan, scan_last

MODES = ["autodiff", "activations", "states", "checkpoint"]
every_mode = pytest.mark.parametrize("backward", MODES)


@functools.partial(jax.jit, static_argnums=(0, 1))
def gradients(cell, backward, params, inputs, state=None):
    def loss(params):
        results = scan(cell, params, inputs, state, backward=backward)
        return weighted_sum(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), results)), results

    return jax.value_and_grad(loss, has_aux=True)(params)


# dtypes


CASES = [("own_cells:Leaky", jnp.bfloat16), ("lstm", jnp.int32), ("own_cells:Normalised", jnp.float16)]
CASES += [("flax.nnx:SimpleCell", jnp.bfloat16), ("flax.nnx:SimpleCell", jnp.int32)]


@pytest.mark.standard_promotion  # mixing is what is tested
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_inputs_of_another_type(name, dtype):
    """They are promoted to the parameters', as `x @ w_ih` would; so is the state, be it given or not."""
    cell = cell_of(name)
    params = params_of(cell)
    inputs = (3 * inputs_of(3)).astype(dtype)
    (_, (final, outputs)), _ = expected = gradients(cell, "autodiff", params, inputs.astype(jnp.float32))
    assert {leaf.dtype for leaf in jax.tree.leaves((final, outputs))} == {jnp.dtype(jnp.float32)}
    given = cell.initial_state((2,), jnp.bfloat16)
    for backward, state in (("autodiff", None), ("activations", None), ("states", given)):
        actual = gradients(cell, backward, params, inputs, state)
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), actual, expected)
        dtypes = [[leaf.dtype for leaf in jax.tree.leaves(each)] for each in (actual, expected)]
        assert dtypes[0] == dtypes[1]


@pytest.mark.standard_promotion  # mixing is what is tested
@every_mode
@pytest.mark.parametrize(("name", "inputs_dtype"), [("gru", jnp.float32), ("lstm", jnp.bfloat16)])
def test_bfloat16_parameters_with_a_float32_state(name, inputs_dtype, backward):
    cell = cell_of(name)
    params, state = params_of(cell, dtype=jnp.bfloat16), cell.initial_state((2,))
    inputs = inputs_of(3).astype(inputs_dtype)
    (_, results), grads = gradients(cell, backward, params, inputs, state)
    assert {leaf.dtype for leaf in jax.tree.leaves(results[0])} == {jnp.dtype(jnp.float32)}
    assert {leaf.dtype for leaf in jax.tree.leaves(grads)} == {jnp.dtype(jnp.bfloat16)}
    full = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (params, inputs))
    (_, exact), exact_grads = gradients(cell, "autodiff", *full, state)

    def near(actual, expected):
        # one bfloat16 rounding is 2^-8 of a number
        assert np.linalg.norm(np.asarray(actual, np.float32) - expected) <= 0.02 * np.linalg.norm(expected)

    jax.tree.map(near, (results, grads), (exact, exact_grads))


def test_a_state_that_a_step_would_change_the_form_of():
    class Wider(own_cells.Normalised):
        def step(self, params, state, x):
            state, output = super().step(params, state, x)
            return state._replace(hidden=output), output

    cell = Wider(4)
    with pytest.raises(ValueError, match=r"Wider.step: expected a state of the form .*float32\[2, 4\].*\[2, 8\]"):
        scan(cell, cell.init(jax.random.key(0), 3), inputs_of(3))


# lengths


@pytest.mark.parametrize("make", [list, tuple, np.array, jnp.array])
def test_lengths_of_any_kind(make):
    cell = cell_of("rnn")
    params, inputs = params_of(cell), inputs_of(4)
    for function in (scan, scan_last):
        expected = function(cell, params, inputs, lengths=jnp.array([1, 4]))
        jax.tree.map(np.testing.assert_array_equal, function(cell, params, inputs, lengths=make([1, 4])), expected)


@pytest.mark.parametrize("function", [scan, scan_last])
@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([1, 2, 3], r"lengths: expected the shape of the batch, \[2\], got \[3\]"),
        ([1], r"expected the shape of the batch, \[2\], got \[1\]"),
        (3, r"expected the shape of the batch, \[2\], got \[\]"),
        (np.array([[1, 2]]), r"expected the shape of the batch, \[2\], got \[1, 2\]"),
        (np.array([1.0, 2.0]), "lengths: expected integers, got float"),
        ([True, False], "lengths: expected integers, got bool"),
        ([1, 5], "lengths: expected 0 to T = 4, got 5"),
        ([-1, 4], "lengths: expected 0 to T = 4, got -1"),
    ],
)
def test_lengths_that_do_not_fit(function, lengths, message):
    cell = cell_of("rnn")
    with pytest.raises(ValueError, match=message) as raised:
        function(cell, params_of(cell), inputs_of(4), lengths=lengths)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int8])
def test_traced_lengths_out_of_bounds_count_as_the_nearest(dtype):
    cell = cell_of("rnn")
    params, inputs = params_of(cell), inputs_of(4)
    lengths = np.array([0 if dtype == np.uint8 else -3, 100], dtype)
    for function in (scan, scan_last):
        actual = jax.jit(lambda lengths, f=function: f(cell, params, inputs, lengths=lengths))(lengths)
        expected = jax.jit(lambda lengths, f=function: f(cell, params, inputs, lengths=lengths))(jnp.array([0, 4]))
        jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_lengths_of_no_sequences():
    cell = cell_of("rnn")
    assert scan(cell, params_of(cell), inputs_of(4, (0,)), lengths=[])[1].shape == (4, 0, cell.output_dim)


# Sizes


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm@init=orthogonal", "flax.nnx:LSTMCell", "own_cells:Leaky"])
def test_sizes_below_one(name):
    for function in (make_cell(name, 4, gap=9).init,):
        with pytest.raises(ValueError, match="input_dim: expected at least 1, got 0"):
            function(jax.random.key(0), 0)
    with pytest.raises(ValueError, match="hidden_dim: expected at least 1, got 0"):
        make_cell(name, 0, gap=9)


def test_inputs_without_features():
    cell = cell_of("rnn")
    params = params_of(cell)._replace(w_ih=jnp.zeros((0, cell.hidden_dim)))
    with pytest.raises(
        ValueError, match=r"inputs: expected \[T, \*B, D\] with at least one feature, D, got \[4, 2, 0\]"
    ):
        scan(cell, params, inputs_of(4, input_dim=0))
