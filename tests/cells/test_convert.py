"""Weights to and from PyTorch and Flax: round trips are exact, and what has no counterpart is refused in words.

That converted weights compute the same is asserted in test_numerics.py.
"""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import cell_of, params_of
from flax import nnx

from lstm_jax.cells.base import LinearParams
from lstm_jax.cells.convert import from_flax, from_torch, to_flax, to_torch
from lstm_jax.cells.gru import GRU
from lstm_jax.cells.lstm import LSTM
from lstm_jax.cells.rnn import RNN

NAMES = ["rnn", "gru", "lstm"]


def assert_same(actual, expected):
    """Type, dtype and every bit."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("layer", "reverse"), [(0, False), (2, True)])
@pytest.mark.parametrize("name", NAMES)
def test_torch_round_trip(name, layer, reverse):
    cell = cell_of(name)
    params = params_of(cell)
    state_dict = to_torch(cell, params, layer, reverse)
    suffix = f"_l{layer}{'_reverse' * reverse}"
    assert list(state_dict) == [f"{part}{suffix}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    assert all(type(array) is np.ndarray for array in state_dict.values())
    assert_same(from_torch(cell, state_dict, layer, reverse), params)


@pytest.mark.parametrize("name", NAMES)
def test_torch_round_trip_from_theirs(name):
    """From a PyTorch module and back: weights exactly; biases as far as they are one bias in our form."""
    torch = pytest.importorskip("torch")
    cell = cell_of(name)
    torch.manual_seed(1)
    module = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[name](3, cell.hidden_dim)
    before = {key: tensor.numpy().copy() for key, tensor in module.state_dict().items()}
    after = to_torch(cell, from_torch(cell, before))
    module.load_state_dict({key: torch.tensor(array) for key, array in after.items()})  # names and shapes fit
    assert_same(after["weight_ih_l0"], before["weight_ih_l0"])
    assert_same(after["weight_hh_l0"], before["weight_hh_l0"])
    kept_apart = slice(2 * cell.hidden_dim, None) if name == "gru" else slice(0, 0)
    added = before["bias_ih_l0"] + before["bias_hh_l0"]
    added[kept_apart] = before["bias_ih_l0"][kept_apart]
    assert_same(after["bias_ih_l0"], added)
    assert_same(after["bias_hh_l0"][kept_apart], before["bias_hh_l0"][kept_apart])


def test_torch_arrays_are_copies():
    """Writing into a state_dict does not reach our parameters."""
    cell = cell_of("lstm")
    params = params_of(cell)
    kept = np.array(params.bias)
    to_torch(cell, params)["bias_ih_l0"][:] = 7.0
    np.testing.assert_array_equal(params.bias, kept)


@pytest.mark.parametrize("name", NAMES)
def test_flax_round_trip(name):
    cell = cell_of(name)
    params = params_of(cell)
    if name == "gru":
        params = params._replace(bias_hn=jnp.zeros_like(params.bias_hn))
    cell_back, params_back = from_flax(to_flax(cell, params))
    assert type(cell_back) is type(cell)
    assert cell_back.hidden_dim == cell.hidden_dim
    assert_same(params_back, params)


@pytest.mark.parametrize("cell_class", [nnx.LSTMCell, nnx.GRUCell, nnx.SimpleCell])
def test_flax_round_trip_from_theirs(cell_class):
    module = cell_class(3, 5, rngs=nnx.Rngs(0))
    back = to_flax(*from_flax(module))
    assert type(back) is cell_class
    assert_same(nnx.to_pure_dict(nnx.state(back, nnx.Param)), nnx.to_pure_dict(nnx.state(module, nnx.Param)))


def test_optimized_lstm_becomes_an_lstm():
    module = nnx.OptimizedLSTMCell(3, 5, rngs=nnx.Rngs(0))
    cell, params = from_flax(module)
    assert cell == LSTM(5)
    np.testing.assert_array_equal(params.w_hh, module.dense_h.kernel.get_value())
    assert_same(from_flax(to_flax(cell, params))[1], params)


def test_torch_has_no_reset_before():
    cell = GRU(5, reset="before")
    with pytest.raises(ValueError, match=r'nn\.GRU resets after the matmul: expected a GRU with reset="after"'):
        to_torch(cell, params_of(cell))
    with pytest.raises(ValueError, match=r'nn\.GRU resets after the matmul: expected a GRU with reset="after"'):
        from_torch(cell, {})


def test_flax_has_no_reset_before_and_no_b_hn():
    cell = GRU(5, reset="before")
    with pytest.raises(ValueError, match=r'nnx\.GRUCell resets after the matmul: expected a GRU with reset="after"'):
        to_flax(cell, params_of(cell))
    cell = GRU(5)
    with pytest.raises(ValueError, match=r"nnx\.GRUCell has no b_hn: expected bias_hn to be zero"):
        to_flax(cell, params_of(cell))


def test_missing_weights_are_named():
    cell = RNN(5)
    state_dict = to_torch(cell, params_of(cell))
    with pytest.raises(ValueError, match=r"expected weight_ih_l1 and weight_hh_l1, got \['bias_hh_l0', 'bias_ih_l0', "):
        from_torch(cell, state_dict, layer=1)
    with pytest.raises(ValueError, match=r"expected weight_ih_l0_reverse and weight_hh_l0_reverse, got"):
        from_torch(cell, state_dict, reverse=True)


def test_weights_of_another_cell_are_refused():
    lstm_weights = to_torch(LSTM(5), params_of(LSTM(5)))
    with pytest.raises(ValueError, match=r"expected \[15, D\] and \[15, 5\] for GRU\(hidden_dim=5.*got \(20, 3\)"):
        from_torch(GRU(5), lstm_weights)
    with pytest.raises(ValueError, match=r"expected \[24, D\] and \[24, 6\] for LSTM\(hidden_dim=6.*and \(20, 5\)"):
        from_torch(LSTM(6), lstm_weights)
    with pytest.raises(ValueError, match=r"expected \[20, D\] and \[20, 5\].*got \(20,\) and \(20, 5\)"):
        from_torch(LSTM(5), {**lstm_weights, "weight_ih_l0": np.zeros(20, np.float32)})


@pytest.mark.parametrize("shape", [(), (1,), (5,), (20, 1)])
@pytest.mark.parametrize("bias", ["bias_ih_l0", "bias_hh_l0"])
def test_biases_of_another_shape_are_refused(bias, shape):
    """Also those that would silently broadcast."""
    cell = LSTM(5)
    state_dict = {**to_torch(cell, params_of(cell)), bias: np.zeros(shape, np.float32)}
    with pytest.raises(ValueError, match=rf"{bias}: expected \[20\] for LSTM\(.*got {re.escape(str(shape))}"):
        from_torch(cell, state_dict)


def test_other_flax_cells_are_refused():
    rngs = nnx.Rngs(0)
    with pytest.raises(ValueError, match="LSTMCell: expected sigmoid gates and tanh activations"):
        from_flax(nnx.LSTMCell(3, 5, activation_fn=nnx.relu, rngs=rngs))
    with pytest.raises(ValueError, match="GRUCell: expected sigmoid gates and tanh activations"):
        from_flax(nnx.GRUCell(3, 5, gate_fn=nnx.hard_sigmoid, rngs=rngs))
    with pytest.raises(ValueError, match=r"SimpleCell: expected .* SimpleCell without residual"):
        from_flax(nnx.SimpleCell(5, 5, residual=True, rngs=rngs))

    class Other(nnx.RNNCellBase):
        pass

    with pytest.raises(ValueError, match=r"Other: expected nnx\.LSTMCell, OptimizedLSTMCell, GRUCell or SimpleCell"):
        from_flax(Other())


def test_linear_params_are_what_from_flax_gives():
    assert type(from_flax(nnx.SimpleCell(3, 5, rngs=nnx.Rngs(0)))[1]) is LinearParams


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_goes_to_torch_and_back(name):
    """NumPy has no such type: as float32 there, and as a tensor of PyTorch back."""
    torch = pytest.importorskip("torch")
    cell = cell_of(name)
    params = params_of(cell, dtype=jnp.bfloat16)
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[name]
    module = kind(params.w_ih.shape[0], cell.hidden_dim).to(torch.bfloat16)
    module.load_state_dict({key: torch.tensor(array) for key, array in to_torch(cell, params).items()})
    assert_same(from_torch(cell, module.state_dict()), params)
    assert_same(from_torch(cell, dict(module.named_parameters())), params)


@pytest.mark.parametrize("convert", [to_flax, to_torch])
@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_another_size_are_refused(name, convert):
    cell = cell_of(name)
    with pytest.raises(ValueError, match=r"params: expected w_ih \[D, \d+\], w_hh .* and bias .*, got w_ih \["):
        convert(cell_of(name, cell.hidden_dim + 1), params_of(cell))
    with pytest.raises(ValueError, match=r"bias \[3\]"):
        convert(cell, params_of(cell)._replace(bias=jnp.zeros(3)))
