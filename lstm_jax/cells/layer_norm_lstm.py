"""The LSTM with layer normalisation inside."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Real

from lstm_jax.cells.base import Cell, Init
from lstm_jax.cells.initializers import linear_params
from lstm_jax.cells.lstm import LSTMState

EPSILON = 1e-5
"""Added to a variance, as PyTorch's and Flax's layer norms may: the paper adds nothing."""


class LayerNormParams(NamedTuple):
    """Linear maps, the gains of their norms, and gain and bias of the norm of the cell state."""

    w_ih: Float[Array, "D GH"]
    w_hh: Float[Array, "H GH"]
    bias: Float[Array, " GH"]
    gain_ih: Float[Array, " GH"]
    gain_hh: Float[Array, " GH"]
    gain_cell: Float[Array, " H"]
    bias_cell: Float[Array, " H"]


@dataclasses.dataclass(frozen=True)
class LayerNormLSTM(Cell):
    """Long short-term memory with layer norm, gates side by side in the order i, f, g, o:

        a = gain_ih * norm(x W) + gain_hh * norm(h R) + b      norm(v) = (v - mean(v)) / sqrt(var(v) + 1e-5)
        c' = σ(a_f) * c + σ(a_i) * tanh(a_g)
        h' = σ(a_o) * tanh(gain_cell * norm(c') + bias_cell)

    Both projections are normalised over all gates at once. Gains start at 1, biases at 0 but for `forget_bias`. The
    norm mixes units, so the step is no pointwise update.

    Ba, Kiros & Hinton 2016, "Layer normalization", equations 20 to 22; the biases of the two norms of projections add
    to b, so there is one for all three. TensorFlow's `LayerNormBasicLSTMCell` normalises gate by gate.
    """

    forget_bias: float = dataclasses.field(default=1.0, kw_only=True)
    initialization: Init = dataclasses.field(default="uniform", kw_only=True, metadata={"setting": "init"})

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LayerNormParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        w_ih, w_hh, bias = linear_params(self.initialization, key, input_dim, self.hidden_dim, 4, dtype)
        bias = bias.at[self.hidden_dim : 2 * self.hidden_dim].set(self.forget_bias)
        gains, ones = jnp.ones_like(bias), jnp.ones(self.hidden_dim, dtype)
        return LayerNormParams(w_ih, w_hh, bias, gains, gains, ones, jnp.zeros_like(ones))

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> LSTMState:
        zeros = jnp.zeros((*batch_shape, self.hidden_dim), dtype)
        return LSTMState(zeros, zeros)

    def step(
        self, params: LayerNormParams, state: LSTMState, x: Real[Array, "*B D"]
    ) -> tuple[LSTMState, Float[Array, "*B H"]]:
        x_proj = params.gain_ih * _norm(x @ params.w_ih)
        h_proj = params.gain_hh * _norm(state.hidden @ params.w_hh)
        i, f, g, o = jnp.split(x_proj + h_proj + params.bias, 4, axis=-1)
        cell = jax.nn.sigmoid(f) * state.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(params.gain_cell * _norm(cell) + params.bias_cell)
        return LSTMState(hidden, cell), hidden


def _norm(values: Float[Array, "*B N"]) -> Float[Array, "*B N"]:
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
