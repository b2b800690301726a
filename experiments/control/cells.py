"""Cells that differ from registered ones in an output gate, to see whether it is that which makes the difference.

They begin as `CoupledLSTM` does: the gate that keeps comes first, and its bias starts at `forget_bias`.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lstm_jax.cells.base import LinearParams
from lstm_jax.cells.coupled_lstm import CoupledLSTM
from lstm_jax.cells.lstm import LSTMState


@dataclasses.dataclass(frozen=True)
class OpenLSTM(CoupledLSTM):
    """An LSTM without output gate, gates side by side in the order f, i, g:

    c' = f * c + i * g              h' = tanh(c')
    """

    num_gates: ClassVar[int] = 3

    def update(
        self, params: LinearParams, state: LSTMState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[LSTMState, Float[Array, "*B H"]]:
        """Gates, candidate, and what is held, which is the output."""
        f, i, g = jnp.split(x_proj + h_proj, self.num_gates, axis=-1)
        cell = jax.nn.sigmoid(f) * state.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jnp.tanh(cell)
        return LSTMState(hidden, cell), hidden


@dataclasses.dataclass(frozen=True)
class OpenCoupledLSTM(CoupledLSTM):
    """A coupled LSTM without output gate, gates side by side in the order f, g:

    c' = f * c + (1 - f) * g        h' = tanh(c')
    """

    num_gates: ClassVar[int] = 2

    def update(
        self, params: LinearParams, state: LSTMState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[LSTMState, Float[Array, "*B H"]]:
        """Gate, candidate, and what is held, which is the output."""
        f, g = jnp.split(x_proj + h_proj, self.num_gates, axis=-1)
        f = jax.nn.sigmoid(f)
        cell = f * state.cell + (1.0 - f) * jnp.tanh(g)
        hidden = jnp.tanh(cell)
        return LSTMState(hidden, cell), hidden


@dataclasses.dataclass(frozen=True)
class GatedGRU(CoupledLSTM):
    """A GRU with an output gate and no b_hn, gates side by side in the order z, r, n, o; c is what it holds:

    n = tanh(x W_n + b_n + r * h R_n)      c' = (1 - z) * n + z * c      h' = o * c'
    """

    num_gates: ClassVar[int] = 4
    forget_bias: float = dataclasses.field(default=0.0, kw_only=True)

    def update(
        self, params: LinearParams, state: LSTMState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[LSTMState, Float[Array, "*B H"]]:
        """Gates, candidate, what is held, and what of it is put out."""
        z, r, n, o = jnp.split(x_proj, self.num_gates, axis=-1)
        h_z, h_r, h_n, h_o = jnp.split(h_proj, self.num_gates, axis=-1)
        z = jax.nn.sigmoid(z + h_z)
        cell = (1.0 - z) * jnp.tanh(n + jax.nn.sigmoid(r + h_r) * h_n) + z * state.cell
        hidden = jax.nn.sigmoid(o + h_o) * cell
        return LSTMState(hidden, cell), hidden
