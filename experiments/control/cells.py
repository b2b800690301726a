"""Cells that differ from registered ones in an output gate, to see whether it is that which makes the difference."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from lstm_jax.cells.base import LinearParams, PointwiseCell
from lstm_jax.cells.initializers import linear_params
from lstm_jax.cells.lstm import LSTMState


@dataclasses.dataclass(frozen=True)
class OpenLSTM(PointwiseCell):
    """An LSTM without output gate, gates side by side in the order f, i, g:

    c' = f * c + i * g              h' = tanh(c')
    """

    num_gates: ClassVar[int] = 3
    forget_bias: float = dataclasses.field(default=1.0, kw_only=True)

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LinearParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        params = linear_params(self.initialization, key, input_dim, self.hidden_dim, self.num_gates, dtype)
        return params._replace(bias=params.bias.at[: self.hidden_dim].set(self.forget_bias))

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> LSTMState:
        """Zeros."""
        zeros = jnp.zeros((*batch_shape, self.hidden_dim), dtype)
        return LSTMState(zeros, zeros)

    def update(
        self, params: LinearParams, state: LSTMState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[LSTMState, Float[Array, "*B H"]]:
        """Gates, candidate, and what is held, which is the output."""
        f, i, g = jnp.split(x_proj + h_proj, self.num_gates, axis=-1)
        cell = jax.nn.sigmoid(f) * state.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jnp.tanh(cell)
        return LSTMState(hidden, cell), hidden


@dataclasses.dataclass(frozen=True)
class OpenCoupledLSTM(OpenLSTM):
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
class GatedGRU(PointwiseCell):
    """A GRU with an output gate, gates side by side in the order z, r, n, o; m is what it holds:

    n = tanh(x W_n + b_n + r * h R_n)      m' = (1 - z) * n + z * m      h' = o * m'
    """

    num_gates: ClassVar[int] = 4
    update_bias: float = dataclasses.field(default=0.0, kw_only=True)

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LinearParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        params = linear_params(self.initialization, key, input_dim, self.hidden_dim, self.num_gates, dtype)
        return params._replace(bias=params.bias.at[: self.hidden_dim].set(self.update_bias))

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> LSTMState:
        """Zeros."""
        zeros = jnp.zeros((*batch_shape, self.hidden_dim), dtype)
        return LSTMState(zeros, zeros)

    def update(
        self, params: LinearParams, state: LSTMState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[LSTMState, Float[Array, "*B H"]]:
        """Gates, candidate, what is held, and what of it is put out."""
        z, r, n, o = jnp.split(x_proj, self.num_gates, axis=-1)
        h_z, h_r, h_n, h_o = jnp.split(h_proj, self.num_gates, axis=-1)
        z = jax.nn.sigmoid(z + h_z)
        held = (1.0 - z) * jnp.tanh(n + jax.nn.sigmoid(r + h_r) * h_n) + z * state.cell
        hidden = jax.nn.sigmoid(o + h_o) * held
        return LSTMState(hidden, held), hidden
