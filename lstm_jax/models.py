"""Sequence models: inputs -> recurrent layers -> readout, in flax.nnx."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer

from lstm_jax.cells.base import Cell
from lstm_jax.layers import Stack
from lstm_jax.scan import Backward

Readout = Literal["every", "last"]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The static description of a `SequenceModel`: hashable, so it can key a compiled program.

    `num_tokens` is the size of the input vocabulary; None for real-valued inputs, whose width is then `input_dim`
    (for tokens, the width of the embedding). `num_outputs` is the width of the readout. `backward` and `truncation` are
    those of `scan`.
    """

    cells: tuple[Cell, ...]
    input_dim: int
    num_outputs: int
    num_tokens: int | None = None
    readout: Readout = "every"
    dropout: float = 0.0
    backward: Backward = "autodiff"
    truncation: int | None = None


class SequenceModel(nnx.Module):
    """Embedding (or real-valued inputs), recurrent layers, and a linear readout at every step or at the last.

    The embedding starts at N(0, 1), as PyTorch's; the readout by the uniform rule of `initializers.py`, its bias zero.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> None:
        self.config = config
        if config.num_tokens is not None:
            self.embedding = nnx.Embed(
                config.num_tokens,
                config.input_dim,
                embedding_init=nnx.initializers.normal(1.0),
                dtype=dtype,
                param_dtype=dtype,
                rngs=rngs,
            )
        self.stack = Stack(
            config.cells,
            config.input_dim,
            dropout=config.dropout,
            backward=config.backward,
            truncation=config.truncation,
            rngs=rngs,
            dtype=dtype,
        )
        output_dim = config.cells[-1].output_dim
        self.readout = nnx.Linear(
            output_dim,
            config.num_outputs,
            kernel_init=_uniform(output_dim**-0.5),
            dtype=dtype,
            param_dtype=dtype,
            rngs=rngs,
        )

    def __call__(
        self,
        inputs: Integer[Array, "T *B"] | Float[Array, "T *B D"],
        *,
        lengths: Integer[Array, "*B"] | None = None,
        dropout_key: Array | None = None,
    ) -> Float[Array, "S *B C"]:
        """Logits `[T, *B, C]`, or `[1, *B, C]` for a readout at the last step (of each sequence, with `lengths`).

        A sequence of length 0 has no output: its last readout is that of a zero output, the readout's bias. Raises
        ValueError for a readout at the last of T = 0 steps.
        """
        vectors = inputs if self.config.num_tokens is None else self.embedding(inputs)
        last_output = self.config.readout == "last"
        _, outputs = self.stack(vectors, lengths=lengths, dropout_key=dropout_key, last_output=last_output)
        return self.readout(outputs)


def count_params(config: ModelConfig) -> int:
    """How many numbers a model of this description learns, readout and embedding included; computes shapes only."""
    model = nnx.eval_shape(lambda: SequenceModel(config, rngs=nnx.Rngs(0)))
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def _uniform(bound: float) -> nnx.Initializer:
    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
