"""What a Transformer looks with: attention of several heads, and positions as sinusoids."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer

from lstm_jax.models.attention import KeysValues
from lstm_jax.models.common import linear


class MultiHeadAttention(nnx.Module):
    """Heads side by side, `softmax(Q Kᵀ / √d) V` each (Vaswani et al. 2017, section 3.2).

    Written out, since the weights are wanted: `nnx.MultiHeadAttention` hands them out as a change of its own state
    alone, and `jax.nn.dot_product_attention` not at all (and in float32 whatever the inputs are).
    """

    def __init__(self, dim: int, num_heads: int, *, rngs: nnx.Rngs, dtype: DTypeLike) -> None:
        self.num_heads = num_heads
        self.query, self.key, self.value, self.output = (linear(dim, dim, rngs=rngs, dtype=dtype) for _ in range(4))

    def project_memory(self, context: Array, is_word: Array | None = None) -> KeysValues:
        """Keys and values [B, T, D] of vectors [T, B, D]."""
        context = jnp.moveaxis(context, 0, 1)
        return KeysValues(self.key(context), self.value(context), is_word)

    def __call__(self, inputs: Array, memory: KeysValues, visible: Array) -> tuple[Array, Array]:
        """Outputs [S, B, D] and weights [B, heads, S, T], zero where `visible` (of a shape like theirs) is false."""
        query, key, value = (
            vectors.reshape(*vectors.shape[:2], self.num_heads, -1)
            for vectors in (self.query(inputs), memory.keys, memory.values)
        )
        scores = jnp.einsum("sbhd,bthd->bhst", query, key) / query.shape[-1] ** 0.5
        # Finite, then zero: where nothing is visible, nothing is found, and no NaN goes into gradients.
        weights = jax.nn.softmax(jnp.where(visible, scores, jnp.finfo(scores.dtype).min), axis=-1)
        weights = jnp.where(visible, weights, jnp.zeros((), scores.dtype))
        found = jnp.einsum("bhst,bthd->sbhd", weights, value)
        return self.output(found.reshape(inputs.shape)), weights


def positions(index: Integer[Array, "*S"], dim: int, dtype: DTypeLike = jnp.float32) -> Float[Array, "*S {dim}"]:
    """Sinusoids of wavelengths from 2π to 10000·2π, of any position (Vaswani et al. 2017, section 3.5):

    `p[t, 2i] = sin(t / 10000^(2i/D))`, `p[t, 2i+1] = cos(t / 10000^(2i/D))`.
    """
    rates = 10000.0 ** (-jnp.arange(0, dim, 2, dtype=dtype) / dim)
    angles = index[..., None].astype(dtype) * rates
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(*index.shape, -1)[..., :dim]
