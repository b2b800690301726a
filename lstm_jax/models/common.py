"""What models are made of beside layers: embeddings, linear maps, readouts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float


def embedding(num_tokens: int, dim: int, *, tied: bool = False, rngs: nnx.Rngs, dtype: DTypeLike) -> nnx.Embed:
    """A table that starts at N(0, 1), as PyTorch's; at N(0, 1/dim) where it is the readout's too."""
    init = nnx.initializers.normal(dim**-0.5 if tied else 1.0)
    return nnx.Embed(num_tokens, dim, embedding_init=init, dtype=dtype, param_dtype=dtype, rngs=rngs)


def linear(input_dim: int, output_dim: int, *, use_bias: bool = True, rngs: nnx.Rngs, dtype: DTypeLike) -> nnx.Linear:
    """A linear map by the uniform rule of `cells/initializers.py`, its bias zero."""
    init = _uniform(input_dim**-0.5)
    return nnx.Linear(
        input_dim, output_dim, use_bias=use_bias, kernel_init=init, dtype=dtype, param_dtype=dtype, rngs=rngs
    )


def entry(
    num_tokens: int | None, input_dim: int | None, dim: int, *, tied: bool, rngs: nnx.Rngs, dtype: DTypeLike
) -> nnx.Embed | nnx.Linear:
    """An embedding of tokens; where there are none, a linear map of vectors of the width `input_dim`."""
    if num_tokens is not None:
        return embedding(num_tokens, dim, tied=tied, rngs=rngs, dtype=dtype)
    assert input_dim is not None
    return linear(input_dim, dim, rngs=rngs, dtype=dtype)


class TiedReadout(nnx.Module):
    """Logits by the table that embeds the same tokens: `(x W) Eᵀ + b` (Press & Wolf 2017; Inan et al. 2017).

    W takes outputs to the width of the table.
    """

    def __init__(self, output_dim: int, table: nnx.Embed, *, rngs: nnx.Rngs, dtype: DTypeLike) -> None:
        self.table = table
        self.projection = linear(output_dim, table.features, use_bias=False, rngs=rngs, dtype=dtype)
        self.bias = nnx.Param(jnp.zeros(table.num_embeddings, dtype))

    def __call__(self, outputs: Float[Array, "*B O"]) -> Float[Array, "*B C"]:
        """Logits of all tokens."""
        return self.table.attend(self.projection(outputs)) + self.bias.get_value()


def _uniform(bound: float) -> nnx.Initializer:
    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
