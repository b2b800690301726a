"""Sequence models: inputs -> recurrent layers -> readout, in flax.nnx. As a language model, the decoder-only shape."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer

from lstm_jax.cells.base import State
from lstm_jax.choices import Backward, Readout
from lstm_jax.layers import Stack, drop
from lstm_jax.models.base import Step, in_dtype
from lstm_jax.models.common import TiedReadout, embedding, linear
from lstm_jax.models.recurrent import RecurrentConfig


@dataclasses.dataclass(frozen=True)
class ModelConfig(RecurrentConfig):
    """The static description of a `SequenceModel`: hashable, so it can key a compiled program.

    `num_tokens` is the size of the input vocabulary; None for real-valued inputs, whose width is then `input_dim`
    (for tokens, the width of the embedding). `num_outputs` is the width of the readout. `dropout` is the rate of the
    embeddings, between layers, and of the last layer's outputs (Zaremba et al. 2014). `tied` readouts share the
    embedding.
    `backward` and `truncation` are those of `scan`.
    """

    num_tokens: int | None = None
    readout: Readout = "every"
    dropout: float = 0.0
    backward: Backward = "autodiff"
    truncation: int | None = None
    bidirectional: bool = False
    tied: bool = False

    def initial_states(self, batch_size: int) -> Any:
        """The states of all layers before the first of several segments; () where a model looks both ways."""
        return () if self.bidirectional else tuple(cell.initial_state((batch_size,)) for cell in self.cells)

    def build(self, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> SequenceModel:
        return SequenceModel(self, rngs=rngs, dtype=dtype)


class SequenceModel(nnx.Module):
    """Embedding (or real-valued inputs), recurrent layers, and a linear readout at every step or at the last.

    The embedding starts at N(0, 1), as PyTorch's; the readout by the uniform rule of `initializers.py`, its bias zero.
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> None:
        self.config = config
        self.deterministic = False  # what flax's `eval` sets
        if config.tied and config.num_tokens != config.num_outputs:
            raise ValueError(f"tied: expected as many outputs as tokens, got {config.num_outputs}, {config.num_tokens}")
        if config.num_tokens is not None:
            self.embedding = embedding(config.num_tokens, config.input_dim, tied=config.tied, rngs=rngs, dtype=dtype)
        self.stack = Stack(
            config.cells,
            config.input_dim,
            dropout=config.dropout,
            bidirectional=config.bidirectional,
            backward=config.backward,
            truncation=config.truncation,
            rngs=rngs,
            dtype=dtype,
        )
        output_dim = (1 + config.bidirectional) * config.cells[-1].output_dim
        self.readout: nnx.Linear | TiedReadout
        if config.tied:
            self.readout = TiedReadout(output_dim, self.embedding, rngs=rngs, dtype=dtype)
        else:
            self.readout = linear(output_dim, config.num_outputs, rngs=rngs, dtype=dtype)

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
        return self.advance(inputs, None, lengths=lengths, dropout_key=dropout_key)[0]

    def advance(
        self,
        inputs: Integer[Array, "T *B"] | Float[Array, "T *B D"],
        states: tuple[State, ...] | None,
        *,
        lengths: Integer[Array, "*B"] | None = None,
        dropout_key: Array | None = None,
    ) -> tuple[Float[Array, "S *B C"], tuple[State, ...]]:
        """Logits, and the states of all layers after the last step, from where another segment goes on."""
        outputs, new_states = self._outputs(inputs, states, self.config.readout == "last", lengths, dropout_key)
        return self.readout(outputs), new_states

    def at(self, inputs: Integer[Array, "T B"], index: int) -> Float[Array, "B C"]:
        """The logits of one step alone, which may be -1 for the last."""
        last_output = index == -1 and not self.config.bidirectional
        return self.readout(self._outputs(inputs, None, last_output, None, None)[0][index])

    def begin(self, source: None, batch_size: int, max_steps: int) -> tuple[tuple[()], tuple[State, ...]]:
        """Nothing to remember, and the states of all layers: see `models.base.Writer`."""
        del source, max_steps
        kernel = self.readout.projection.kernel if isinstance(self.readout, TiedReadout) else self.readout.kernel
        return (), in_dtype(self.config.initial_states(batch_size), kernel.dtype)

    def step(self, memory: tuple[()], state: tuple[State, ...], tokens: Integer[Array, " B"]) -> Step:
        del memory
        logits, states = self.advance(tokens[None], state)
        return Step(states, logits[0], None)

    def _outputs(
        self,
        inputs: Array,
        states: tuple[State, ...] | None,
        last_output: bool,
        lengths: Array | None,
        dropout_key: Array | None,
    ) -> tuple[Array, tuple[State, ...]]:
        vectors = inputs if self.config.num_tokens is None else self.embedding(inputs)
        keys = [None] * 3 if dropout_key is None or self.deterministic else list(jax.random.split(dropout_key, 3))
        vectors = drop(vectors, self.config.dropout, keys[0])
        new_states, outputs = self.stack(vectors, states, lengths=lengths, dropout_key=keys[1], last_output=last_output)
        return drop(outputs, self.config.dropout, keys[2]), tuple(new_states)
