"""The LSTM of which nothing but the forget gate is left."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from lstm_jax.cells.base import HiddenState, LinearParams, PointwiseCell
from lstm_jax.cells.initializers import chrono_bias, linear_params


@dataclasses.dataclass(frozen=True)
class Janet(PointwiseCell):
    """Just another network, gates side by side in the order f, g:

        s = x W_f + b_f + h R_f      g = tanh(x W_g + b_g + h R_g)
        h' = σ(s) * h + (1 - σ(s - beta)) * g

    With `beta` above 0 more is written than is forgotten. `forget_bias` is what b_f starts at;
    `chrono` draws b_f = log U(1, gap - 1) instead (Tallec & Ollivier 2018), as the paper does, and is told the gap.

    van der Westhuizen & Lasenby 2018, "The unreasonable effectiveness of the forget gate", where beta is 1. With
    beta=0 it is the UGRNN.
    """

    num_gates: ClassVar[int] = 2
    beta: float = dataclasses.field(default=1.0, kw_only=True)
    forget_bias: float = dataclasses.field(default=1.0, kw_only=True)
    chrono: bool = dataclasses.field(default=False, kw_only=True)
    gap: int | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chrono and self.forget_bias != 1.0:
            raise ValueError("chrono=true draws the forget bias: leave out forget_bias")

    @property
    def initial_forget_bias(self) -> float | None:
        """`forget_bias`, or None with chrono initialisation."""
        return None if self.chrono else self.forget_bias

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LinearParams:
        """Fresh parameters for inputs `[..., input_dim]`; raises ValueError for chrono without a gap."""
        weights_key, bias_key = jax.random.split(key)
        params = linear_params(self.initialization, weights_key, input_dim, self.hidden_dim, self.num_gates, dtype)
        forget_bias = jnp.full(self.hidden_dim, self.forget_bias, dtype)
        if self.chrono:
            forget_bias = chrono_bias(bias_key, self.hidden_dim, self.gap, dtype)
        return params._replace(bias=jnp.concatenate([forget_bias, jnp.zeros(self.hidden_dim, dtype)]))

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> HiddenState:
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_dim), dtype))

    def update(
        self, params: LinearParams, state: HiddenState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[HiddenState, Float[Array, "*B H"]]:
        s, g = jnp.split(x_proj + h_proj, self.num_gates, axis=-1)
        hidden = jax.nn.sigmoid(s) * state.hidden + (1.0 - jax.nn.sigmoid(s - self.beta)) * jnp.tanh(g)
        return HiddenState(hidden), hidden
