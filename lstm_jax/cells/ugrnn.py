"""The update gate RNN: one gate, which keeps or writes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from lstm_jax.cells.base import HiddenState, LinearParams, PointwiseCell
from lstm_jax.cells.initializers import linear_params


@dataclasses.dataclass(frozen=True)
class UGRNN(PointwiseCell):
    """Update gate RNN, gates side by side in the order g, c:

        g = σ(x W_g + b_g + h R_g)      c = s(x W_c + b_c + h R_c)      h' = g * h + (1 - g) * c

    where s is the `activation`, tanh or relu. `forget_bias` is what b_g starts at, since g keeps the state.

    Collins, Sohl-Dickstein & Sussillo 2017, "Capacity and trainability in recurrent neural networks", where the bias
    and the choice of s are tuned.
    """

    num_gates: ClassVar[int] = 2
    activation: Literal["tanh", "relu"] = dataclasses.field(default="tanh", kw_only=True)
    forget_bias: float = dataclasses.field(default=1.0, kw_only=True)

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LinearParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        params = linear_params(self.initialization, key, input_dim, self.hidden_dim, self.num_gates, dtype)
        return params._replace(bias=params.bias.at[: self.hidden_dim].set(self.forget_bias))

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> HiddenState:
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_dim), dtype))

    def update(
        self, params: LinearParams, state: HiddenState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[HiddenState, Float[Array, "*B H"]]:
        g, c = jnp.split(x_proj + h_proj, self.num_gates, axis=-1)
        g = jax.nn.sigmoid(g)
        hidden = g * state.hidden + (1.0 - g) * (jnp.tanh(c) if self.activation == "tanh" else jax.nn.relu(c))
        return HiddenState(hidden), hidden
