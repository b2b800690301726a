"""The minimal LSTM: gates and candidate see the inputs alone."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Real

from lstm_jax.cells.base import Init
from lstm_jax.cells.initializers import input_weights
from lstm_jax.cells.linear import LinearCell
from lstm_jax.cells.min_gru import InputParams, positive


@dataclasses.dataclass(frozen=True)
class MinLSTM(LinearCell):
    """Minimal long short-term memory, gates side by side in the order i, f, n:

        i = σ(x W_i + b_i)      f = σ(x W_f + b_f)      n = g(x W_n + b_n)
        h' = f / (f + i) * h + i / (f + i) * n

    where g(v) = v + 1/2 for v >= 0 and σ(v) below, so that states stay positive; with `positive` false g(v) = v.
    `forget_bias` is what b_f starts at.

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi 2024, "Were RNNs all we needed?", section 3.2; g is that of its
    log-space version, with which the paper trains. Its scan is in log space; ours adds the same numbers as they are.
    """

    positive: bool = dataclasses.field(default=True, kw_only=True)
    forget_bias: float = dataclasses.field(default=0.0, kw_only=True)
    initialization: Init = dataclasses.field(default="uniform", kw_only=True, metadata={"setting": "init"})

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> InputParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        bias = jnp.zeros(3 * self.hidden_dim, dtype)
        bias = bias.at[self.hidden_dim : 2 * self.hidden_dim].set(self.forget_bias)
        return InputParams(input_weights(self.initialization, key, input_dim, self.hidden_dim, 3, dtype), bias)

    def linear(self, params: InputParams, x: Real[Array, "*B D"]) -> tuple[Float[Array, "*B H"], Float[Array, "*B H"]]:
        i, f, n = jnp.split(x @ params.w_ih + params.bias, 3, axis=-1)
        # f / (f + i) = σ(log f - log i), without a division that may be by nothing
        balance = jax.nn.log_sigmoid(f) - jax.nn.log_sigmoid(i)
        return jax.nn.sigmoid(balance), jax.nn.sigmoid(-balance) * (positive(n) if self.positive else n)

    def output(self, params: InputParams, hidden: Float[Array, "*B H"], x: Real[Array, "*B D"]) -> Float[Array, "*B H"]:
        return hidden
