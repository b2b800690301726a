"""Weights to and from PyTorch state_dicts (as arrays) and Flax nnx cells. Gate orders agree: i, f, g, o and r, z, n."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from lstm_jax.cells.base import LinearParams
from lstm_jax.cells.gru import GRU, GRUParams
from lstm_jax.cells.lstm import LSTM
from lstm_jax.cells.rnn import RNN

Params = LinearParams | GRUParams
Convertible = RNN | GRU | LSTM


def from_torch(cell: Convertible, state_dict: Mapping[str, Any], layer: int = 0, reverse: bool = False) -> Params:
    """Our parameters from `nn.RNN`, `nn.GRU` or `nn.LSTM`: `weight_ih_l0 [G*H, D]`, `weight_hh_l0`, `bias_ih_l0`, ...

    PyTorch's two biases add up to ours, but for the GRU's candidate, whose b_hn stands inside the reset. Biases that
    are missing (`bias=False`) are zero. Raises ValueError for a cell that PyTorch does not have (GRU with
    reset="before") and for arrays of another shape.
    """
    _check_torch_has(cell)
    suffix = _suffix(layer, reverse)
    names = [f"weight_ih{suffix}", f"weight_hh{suffix}"]
    missing = [name for name in names if name not in state_dict]
    if missing:
        raise ValueError(f"state_dict: expected {' and '.join(names)}, got {sorted(state_dict)}")
    w_ih, w_hh = (_from_tensor(state_dict[name]).T for name in names)
    width = cell.num_gates * cell.hidden_dim
    if w_ih.shape[1:] != (width,) or w_hh.shape != (cell.hidden_dim, width):
        raise ValueError(
            f"state_dict: expected [{width}, D] and [{width}, {cell.hidden_dim}] for {cell}, "
            f"got {w_ih.T.shape} and {w_hh.T.shape}"
        )
    names = [f"bias_ih{suffix}", f"bias_hh{suffix}"]
    biases = [_from_tensor(state_dict.get(name, jnp.zeros(width, w_ih.dtype))) for name in names]
    for name, bias in zip(names, biases, strict=True):
        if bias.shape != (width,):
            raise ValueError(f"state_dict: {name}: expected [{width}] for {cell}, got {bias.shape}")
    bias_ih, bias_hh = biases
    if isinstance(cell, GRU):
        bias = bias_ih.at[: 2 * cell.hidden_dim].add(bias_hh[: 2 * cell.hidden_dim])
        return GRUParams(w_ih, w_hh, bias, bias_hh[2 * cell.hidden_dim :])
    return LinearParams(w_ih, w_hh, bias_ih + bias_hh)


def to_torch(cell: Convertible, params: Params, layer: int = 0, reverse: bool = False) -> dict[str, np.ndarray]:
    """What `load_state_dict` takes once each array is a tensor; our bias becomes `bias_ih`, b_hn goes to `bias_hh`.

    NumPy, and with it PyTorch, knows no bfloat16: such parameters are float32, which a module makes its own dtype
    again. An RNN with relu is PyTorch's with `nonlinearity="relu"`, under the same names. Raises ValueError for a cell
    that PyTorch does not have, and for parameters of another size than the cell's.
    """
    _check_torch_has(cell)
    _check_sizes(cell, params)
    if params.w_ih.dtype == jnp.bfloat16:
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
    suffix = _suffix(layer, reverse)
    bias_hh = np.zeros_like(params.bias)
    if isinstance(params, GRUParams):
        bias_hh[2 * cell.hidden_dim :] = params.bias_hn
    return {
        f"weight_ih{suffix}": np.array(params.w_ih.T),
        f"weight_hh{suffix}": np.array(params.w_hh.T),
        f"bias_ih{suffix}": np.array(params.bias),
        f"bias_hh{suffix}": bias_hh,
    }


def from_flax(module: nnx.RNNCellBase) -> tuple[Convertible, Params]:
    """Our cell and its parameters from an `nnx.LSTMCell`, `OptimizedLSTMCell`, `GRUCell` or `SimpleCell`.

    Raises ValueError for other cells, for other activations than sigmoid and tanh (a `SimpleCell` may have relu),
    and for a residual `SimpleCell`.
    """
    kind: Any = module
    activation = getattr(kind, "activation_fn", nnx.tanh)
    has_relu = isinstance(module, nnx.SimpleCell) and activation is nnx.relu
    if getattr(kind, "gate_fn", nnx.sigmoid) is not nnx.sigmoid or not (activation is nnx.tanh or has_relu):
        raise ValueError(f"{type(module).__name__}: expected sigmoid gates and tanh activations")
    if isinstance(module, nnx.LSTMCell):
        inputs, hiddens = _lstm_linears(module)
        return LSTM(module.hidden_features), LinearParams(
            jnp.concatenate([_value(linear.kernel) for linear in inputs], axis=1),
            jnp.concatenate([_value(linear.kernel) for linear in hiddens], axis=1),
            jnp.concatenate([_value(linear.bias) for linear in hiddens]),
        )
    if isinstance(module, nnx.OptimizedLSTMCell):
        dense_i, dense_h = module.dense_i, module.dense_h
        return LSTM(module.hidden_features), LinearParams(
            _value(dense_i.kernel), _value(dense_h.kernel), _value(dense_h.bias)
        )
    if isinstance(module, nnx.GRUCell):
        params = LinearParams(_value(module.dense_i.kernel), _value(module.dense_h.kernel), _value(module.dense_i.bias))
        return GRU(module.hidden_features), GRUParams(*params, jnp.zeros(module.hidden_features, params.bias.dtype))
    if isinstance(module, nnx.SimpleCell) and not module.residual:
        return RNN(module.hidden_features, activation="relu" if has_relu else "tanh"), LinearParams(
            _value(module.dense_i.kernel), _value(module.dense_h.kernel), _value(module.dense_i.bias)
        )
    raise ValueError(
        f"{type(module).__name__}: expected nnx.LSTMCell, OptimizedLSTMCell, GRUCell or SimpleCell without residual"
    )


def to_flax(cell: Convertible, params: Params) -> nnx.RNNCellBase:
    """An `nnx.LSTMCell`, `GRUCell` or `SimpleCell` with our weights.

    Raises ValueError where Flax has no such cell, a GRU with reset="before" or with a b_hn that is not zero, and for
    parameters of another size than the cell's.
    """
    _check_sizes(cell, params)
    input_dim, hidden_dim = params.w_ih.shape[0], cell.hidden_dim
    options: dict[str, Any] = {"dtype": params.w_ih.dtype, "param_dtype": params.w_ih.dtype, "rngs": nnx.Rngs(0)}
    if isinstance(cell, LSTM):
        lstm = nnx.LSTMCell(input_dim, hidden_dim, **options)
        inputs, hiddens = _lstm_linears(lstm)
        for gate, (linear_i, linear_h) in enumerate(zip(inputs, hiddens, strict=True)):
            block = slice(gate * hidden_dim, (gate + 1) * hidden_dim)
            _assign(linear_i.kernel, params.w_ih[:, block])
            _assign(linear_h.kernel, params.w_hh[:, block])
            _assign(linear_h.bias, params.bias[block])
        return lstm
    if isinstance(cell, GRU):
        if not isinstance(params, GRUParams):
            raise ValueError('nnx.GRUCell resets after the matmul: expected a GRU with reset="after"')
        if bool(jnp.any(params.bias_hn != 0)):
            raise ValueError("nnx.GRUCell has no b_hn: expected bias_hn to be zero")
        module: Any = nnx.GRUCell(input_dim, hidden_dim, **options)
    else:
        activation = nnx.tanh if cell.activation == "tanh" else nnx.relu
        module = nnx.SimpleCell(input_dim, hidden_dim, activation_fn=activation, **options)
    _assign(module.dense_i.kernel, params.w_ih)
    _assign(module.dense_h.kernel, params.w_hh)
    _assign(module.dense_i.bias, params.bias)
    return module  # type: ignore[no-any-return]


def _check_torch_has(cell: Convertible) -> None:
    if isinstance(cell, GRU) and cell.reset != "after":
        raise ValueError('nn.GRU resets after the matmul: expected a GRU with reset="after"')


def _check_sizes(cell: Convertible, params: Params) -> None:
    width = cell.num_gates * cell.hidden_dim
    expected = {"w_hh": (cell.hidden_dim, width), "bias": (width,), "bias_hn": (cell.hidden_dim,)}
    shapes = {name: jnp.shape(leaf) for name, leaf in params._asdict().items()}
    w_ih = shapes.pop("w_ih")
    if len(w_ih) != 2 or w_ih[1] != width or any(expected[name] != shape for name, shape in shapes.items()):
        raise ValueError(
            f"params: expected w_ih [D, {width}], w_hh [{cell.hidden_dim}, {width}] and bias [{width}] for {cell}, "
            f"got {', '.join(f'{name} {list(shape)}' for name, shape in {'w_ih': w_ih, **shapes}.items())}"
        )


def _from_tensor(value: Any) -> Array:
    """An array, or a tensor of PyTorch; one in bfloat16 it can't hand to NumPy itself."""
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":
        return jnp.asarray(value.detach().float().numpy()).astype(jnp.bfloat16)
    return jnp.asarray(value)


def _suffix(layer: int, reverse: bool) -> str:
    return f"_l{layer}{'_reverse' if reverse else ''}"


def _lstm_linears(module: nnx.LSTMCell) -> tuple[list[nnx.Linear], list[nnx.Linear]]:
    return [module.ii, module.if_, module.ig, module.io], [module.hi, module.hf, module.hg, module.ho]


def _value(variable: Any) -> Array:
    value: Array = variable.get_value()
    return value


def _assign(variable: Any, value: jax.Array) -> None:
    variable.set_value(value)
