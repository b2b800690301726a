"""The LSTM whose input gate is what its forget gate leaves."""

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
class CoupledLSTM(PointwiseCell):
    """Long short-term memory with coupled input and forget gates, side by side in the order f, g, o:

        f = σ(x W_f + b_f + h R_f)      g = tanh(x W_g + b_g + h R_g)      o = σ(x W_o + b_o + h R_o)
        c' = f * c + (1 - f) * g        h' = o * tanh(c')

    It keeps by not writing, as a GRU does: an LSTM can keep and write at once. `forget_bias` is what b_f starts at.
    Greff et al. 2017, "LSTM: a search space odyssey", where it is CIFG; theirs has peepholes as well.
    """

    num_gates: ClassVar[int] = 3
    forget_bias: float = dataclasses.field(default=1.0, kw_only=True)

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LinearParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        params = linear_params(self.initialization, key, input_dim, self.hidden_dim, self.num_gates, dtype)
        return params._replace(bias=params.bias.at[: self.hidden_dim].set(self.forget_bias))

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> LSTMState:
        zeros = jnp.zeros((*batch_shape, self.hidden_dim), dtype)
        return LSTMState(zeros, zeros)

    def update(
        self, params: LinearParams, state: LSTMState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[LSTMState, Float[Array, "*B H"]]:
        f, g, o = jnp.split(x_proj + h_proj, self.num_gates, axis=-1)
        f = jax.nn.sigmoid(f)
        cell = f * state.cell + (1.0 - f) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return LSTMState(hidden, cell), hidden
