"""The minimal GRU: gate and candidate see the inputs alone."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Real

from lstm_jax.cells.base import Init
from lstm_jax.cells.initializers import input_weights
from lstm_jax.cells.linear import LinearCell


class InputParams(NamedTuple):
    """One linear map of the inputs, gates side by side: `x @ w_ih + bias`."""

    w_ih: Float[Array, "D GH"]
    bias: Float[Array, " GH"]


@dataclasses.dataclass(frozen=True)
class MinGRU(LinearCell):
    """Minimal gated recurrent unit, gates side by side in the order z, n:

        z = σ(x W_z + b_z)      n = g(x W_n + b_n)      h' = (1 - z) * h + z * n

    where g(v) = v + 1/2 for v >= 0 and σ(v) below, so that states stay positive; with `positive` false g(v) = v. Here
    z writes, as in the paper: b_z starts at -`forget_bias`.

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi 2024, "Were RNNs all we needed?", section 3.1; g is that of its
    log-space version, with which the paper trains. Its scan is in log space; ours adds the same numbers as they are.
    """

    positive: bool = dataclasses.field(default=True, kw_only=True)
    forget_bias: float = dataclasses.field(default=0.0, kw_only=True)
    initialization: Init = dataclasses.field(default="uniform", kw_only=True, metadata={"setting": "init"})

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> InputParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        bias = jnp.zeros(2 * self.hidden_dim, dtype).at[: self.hidden_dim].set(-self.forget_bias)
        return InputParams(input_weights(self.initialization, key, input_dim, self.hidden_dim, 2, dtype), bias)

    def linear(self, params: InputParams, x: Real[Array, "*B D"]) -> tuple[Float[Array, "*B H"], Float[Array, "*B H"]]:
        z, n = jnp.split(x @ params.w_ih + params.bias, 2, axis=-1)
        return jax.nn.sigmoid(-z), jax.nn.sigmoid(z) * (positive(n) if self.positive else n)

    def output(self, params: InputParams, hidden: Float[Array, "*B H"], x: Real[Array, "*B D"]) -> Float[Array, "*B H"]:
        return hidden


def positive(values: Float[Array, "*B H"]) -> Float[Array, "*B H"]:
    """v + 1/2 for v >= 0, and σ(v) below: the paper's g."""
    return jnp.where(values >= 0, values + 0.5, jax.nn.sigmoid(values))
