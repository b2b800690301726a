"""The real-gated linear recurrent unit of Griffin."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Real

from lstm_jax.cells.initializers import check_sizes
from lstm_jax.cells.linear import LinearCell

EXPONENT = 8.0
"""c in the paper."""


class RGLRUParams(NamedTuple):
    """One linear map of the inputs, three gates wide, its bias, and the logit of each unit's decay."""

    w_ih: Float[Array, "D 3H"]
    bias: Float[Array, " 3H"]
    decay: Float[Array, " H"]


@dataclasses.dataclass(frozen=True)
class RGLRU(LinearCell):
    """Real-gated linear recurrent unit, gates side by side in the order r, i, u:

        r = σ(x W_r + b_r)      i = σ(x W_i + b_i)      u = x W_u + b_u
        a = σ(decay)^(8 r)      h' = a * h + sqrt(1 - a²) * (i * u)

    σ(decay)^8 starts uniformly between `min_decay` and `max_decay`; weights are N(0, 1/D), biases zero.

    De et al. 2024, "Griffin: mixing gated linear recurrences with local attention for efficient language models",
    section 2.4. There the unit is as wide as its inputs, which a linear map and a convolution have made of the block's;
    here u is that map, without the convolution, and the gates read the cell's own inputs.
    """

    min_decay: float = dataclasses.field(default=0.9, kw_only=True)
    max_decay: float = dataclasses.field(default=0.999, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.min_decay < self.max_decay < 1.0:
            raise ValueError(
                f"min_decay, max_decay: expected 0 < min_decay < max_decay < 1, got {self.min_decay}, {self.max_decay}"
            )

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> RGLRUParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        check_sizes(input_dim, self.hidden_dim)
        input_key, decay_key = jax.random.split(key)
        full = dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32  # half precision has nothing between 0.996 and 1
        decay = jax.random.uniform(decay_key, (self.hidden_dim,), full, self.min_decay, self.max_decay)
        return RGLRUParams(
            input_dim**-0.5 * jax.random.normal(input_key, (input_dim, 3 * self.hidden_dim), dtype),
            jnp.zeros(3 * self.hidden_dim, dtype),
            jax.scipy.special.logit(decay ** (1.0 / EXPONENT)).astype(dtype),
        )

    def linear(self, params: RGLRUParams, x: Real[Array, "*B D"]) -> tuple[Float[Array, "*B H"], Float[Array, "*B H"]]:
        r, i, u = jnp.split(x @ params.w_ih + params.bias, 3, axis=-1)
        log_a = EXPONENT * jax.nn.sigmoid(r) * jax.nn.log_sigmoid(params.decay)
        return jnp.exp(log_a), jnp.sqrt(-jnp.expm1(2.0 * log_a)) * (jax.nn.sigmoid(i) * u)

    def output(self, params: RGLRUParams, hidden: Float[Array, "*B H"], x: Real[Array, "*B D"]) -> Float[Array, "*B H"]:
        return hidden
