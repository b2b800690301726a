"""The LSTM whose gates see the cell state."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from lstm_jax.cells.base import PointwiseCell
from lstm_jax.cells.initializers import linear_params
from lstm_jax.cells.lstm import LSTMState


class PeepholeParams(NamedTuple):
    """`LinearParams`, and a weight a unit from the cell state to each of its gates."""

    w_ih: Float[Array, "D GH"]
    w_hh: Float[Array, "H GH"]
    bias: Float[Array, " GH"]
    peep_i: Float[Array, " H"]
    peep_f: Float[Array, " H"]
    peep_o: Float[Array, " H"]


@dataclasses.dataclass(frozen=True)
class PeepholeLSTM(PointwiseCell):
    """Long short-term memory with peepholes p, gates side by side in the order i, f, g, o:

        i = σ(x W_i + b_i + h R_i + p_i * c)      f = σ(x W_f + b_f + h R_f + p_f * c)
        g = tanh(x W_g + b_g + h R_g)             c' = f * c + i * g
        o = σ(x W_o + b_o + h R_o + p_o * c')     h' = o * tanh(c')

    The output gate sees the new cell state, the others the old one. `forget_bias` is what b_f starts at; peepholes
    start at zero, so that it begins as the LSTM of the same weights.

    Gers & Schmidhuber 2000, "Recurrent nets that time and count"; their cell squashes input and output otherwise.
    """

    num_gates: ClassVar[int] = 4
    forget_bias: float = dataclasses.field(default=1.0, kw_only=True)

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> PeepholeParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        w_ih, w_hh, bias = linear_params(self.initialization, key, input_dim, self.hidden_dim, self.num_gates, dtype)
        bias = bias.at[self.hidden_dim : 2 * self.hidden_dim].set(self.forget_bias)
        zeros = jnp.zeros(self.hidden_dim, dtype)
        return PeepholeParams(w_ih, w_hh, bias, peep_i=zeros, peep_f=zeros, peep_o=zeros)

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> LSTMState:
        zeros = jnp.zeros((*batch_shape, self.hidden_dim), dtype)
        return LSTMState(zeros, zeros)

    def update(
        self, params: PeepholeParams, state: LSTMState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[LSTMState, Float[Array, "*B H"]]:
        i, f, g, o = jnp.split(x_proj + h_proj, self.num_gates, axis=-1)
        i = jax.nn.sigmoid(i + params.peep_i * state.cell)
        f = jax.nn.sigmoid(f + params.peep_f * state.cell)
        cell = f * state.cell + i * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o + params.peep_o * cell) * jnp.tanh(cell)
        return LSTMState(hidden, cell), hidden
