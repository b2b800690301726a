"""The sLSTM of xLSTM: exponential gates, and a state that keeps them from overflowing."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from lstm_jax.cells.base import LinearParams, PointwiseCell
from lstm_jax.cells.initializers import linear_params


class SLSTMState(NamedTuple):
    """Hidden state; cell state and normaliser, both divided by exp(stabiliser); the stabiliser."""

    hidden: Float[Array, "*B H"]
    cell: Float[Array, "*B H"]
    normaliser: Float[Array, "*B H"]
    stabiliser: Float[Array, "*B H"]


@dataclasses.dataclass(frozen=True)
class SLSTM(PointwiseCell):
    """Scalar LSTM with exponential gates, side by side in the order i, f, z, o, of which a_k = x W_k + b_k + h R_k:

        m' = max(log f + m, a_i)        log f = log σ(a_f), or a_f with `forget_gate` exp
        i = exp(a_i - m')               f = exp(log f + m - m')
        c' = f * c + i * tanh(a_z)      n' = f * n + i
        h' = σ(a_o) * c' / n'

    The stabiliser m changes no output: c and n are both divided by exp(m). `forget_bias` is what b_f starts at.

    Beck et al. 2024, "xLSTM: extended long short-term memory", equations 8 to 17, with one head: R mixes all units.
    """

    num_gates: ClassVar[int] = 4
    forget_gate: Literal["sigmoid", "exp"] = dataclasses.field(default="sigmoid", kw_only=True)
    forget_bias: float = dataclasses.field(default=1.0, kw_only=True)

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LinearParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        params = linear_params(self.initialization, key, input_dim, self.hidden_dim, self.num_gates, dtype)
        return params._replace(bias=params.bias.at[self.hidden_dim : 2 * self.hidden_dim].set(self.forget_bias))

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> SLSTMState:
        zeros = jnp.zeros((*batch_shape, self.hidden_dim), dtype)
        return SLSTMState(zeros, zeros, zeros, zeros)

    def update(
        self, params: LinearParams, state: SLSTMState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[SLSTMState, Float[Array, "*B H"]]:
        i, f, z, o = jnp.split(x_proj + h_proj, self.num_gates, axis=-1)
        log_f = (jax.nn.log_sigmoid(f) if self.forget_gate == "sigmoid" else f) + state.stabiliser
        stabiliser = jnp.maximum(log_f, i)
        i, f = jnp.exp(i - stabiliser), jnp.exp(log_f - stabiliser)
        cell = f * state.cell + i * jnp.tanh(z)
        normaliser = f * state.normaliser + i
        hidden = jax.nn.sigmoid(o) * cell / normaliser
        return SLSTMState(hidden, cell, normaliser, stabiliser), hidden
