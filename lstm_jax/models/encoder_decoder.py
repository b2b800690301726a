"""Encoder and decoder: one network reads the source, another one writes the target from what the first has left."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int32, Integer

from lstm_jax.cells.base import Cell, State
from lstm_jax.choices import AttentionKind, Backward
from lstm_jax.layers import Stack, drop
from lstm_jax.models.attention import Attention, KeysValues
from lstm_jax.models.base import Pair, Step, is_token, lengths_of
from lstm_jax.models.common import TiedReadout, embedding, linear
from lstm_jax.models.recurrent import RecurrentConfig


@dataclasses.dataclass(frozen=True)
class EncoderDecoderConfig(RecurrentConfig):
    """The static description of an `EncoderDecoder`: hashable, so it can key a compiled program.

    `num_tokens` and `num_outputs` are the sizes of the source's and the target's vocabulary. `attention`: whether the
    decoder may look back at the source, or has the encoder's last states alone. `reverse`: the source is read from its
    last word to its first (Sutskever et al. 2014, section 3.3). `teacher_forcing` is the rate at which, in training,
    the decoder reads the reference's last word and not its own; with `forcing_steps` it falls to that from 1, linearly
    over so many updates (scheduled sampling: Bengio et al. 2015, section 2.4, who draw the decoder's own word from its
    distribution; here it is the likeliest). `dropout` is the rate at
    embeddings, between layers and at the last layer's outputs. `label_smoothing` is the share of the training target
    that is spread evenly over all words (Szegedy et al. 2016, section 7); held-out losses are without. `average` is the
    decay of the mean of the parameters with which a run is scored and translates (Polyak & Juditsky 1992); 0: without.
    """

    num_tokens: int
    attention: AttentionKind = "none"
    bidirectional: bool = False
    reverse: bool = False
    teacher_forcing: float = 1.0
    forcing_steps: int = 0
    tied: bool = False
    label_smoothing: float = dataclasses.field(default=0.0, metadata={"before": 0.0})
    average: float = dataclasses.field(default=0.0, metadata={"before": 0.0})
    dropout: float = 0.0
    backward: Backward = "autodiff"
    truncation: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.teacher_forcing <= 1.0:
            raise ValueError(f"teacher_forcing: expected a rate in [0, 1], got {self.teacher_forcing}")
        if self.teacher_forcing < 1.0 and self.truncation is not None:
            raise ValueError("teacher_forcing: expected 1 with a truncation, which is that of a scan over all steps")
        for name in ("label_smoothing", "average"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name}: expected a number in [0, 1), got {getattr(self, name)}")
        if self.forcing_steps < 0:
            raise ValueError(f"forcing_steps: expected a number of updates, got {self.forcing_steps}")

    @property
    def uses_rng(self) -> bool:
        """With dropout, and where the decoder may read its own words."""
        return bool(self.dropout) or self.teacher_forcing < 1.0

    def attention_floats(self, num_steps: int) -> int:
        """Each of half the steps with each of the others: weights, and for additive scores a vector before them."""
        width = {"none": 0, "dot": 3, "additive": 3 + 2 * self.cells[-1].output_dim}[self.attention]
        return width * num_steps**2 // 4

    def training_kwargs(self, step: Int32[Array, ""]) -> dict[str, Any]:
        """The rate of teacher forcing in update `step`."""
        if self.teacher_forcing == 1.0 or not self.forcing_steps:
            return {}
        fallen = jnp.minimum(step / self.forcing_steps, 1.0)
        return {"teacher_forcing": 1.0 - fallen * (1.0 - self.teacher_forcing)}

    def train_losses(self, losses: Float[Array, "S B"], logits: Float[Array, "S B C"]) -> Float[Array, "S B"]:
        """(1 - ε) of the losses, and ε of those of a word drawn evenly."""
        if not self.label_smoothing:
            return losses
        of_any = -jax.nn.log_softmax(logits).mean(axis=-1)
        return (1.0 - self.label_smoothing) * losses + self.label_smoothing * of_any

    def build(self, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> EncoderDecoder:
        return EncoderDecoder(self, rngs=rngs, dtype=dtype)


class Written(NamedTuple):
    """What a decoder said at every step, and the words that it read before saying so."""

    logits: Float[Array, "S B C"]
    read: Integer[Array, "S B"]


class EncoderDecoder(nnx.Module):
    """The encoder's last states (the thought vector) are the decoder's first: Sutskever et al. 2014, Cho et al. 2014.

    Of a bidirectional encoder a linear map takes the states of both directions to one (Bahdanau et al. 2015 take the
    backward one alone). Padding of the source reaches neither results nor gradients.
    """

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> None:
        self.config = config
        self.deterministic = False  # what flax's `eval` sets
        shared: dict[str, Any] = {
            "dropout": config.dropout,
            "backward": config.backward,
            "truncation": config.truncation,
            "rngs": rngs,
            "dtype": dtype,
        }
        make: dict[str, Any] = {"rngs": rngs, "dtype": dtype}
        self.source_embedding = embedding(config.num_tokens, config.input_dim, **make)
        self.target_embedding = embedding(config.num_outputs, config.input_dim, tied=config.tied, **make)
        self.encoder = Stack(config.cells, config.input_dim, bidirectional=config.bidirectional, **shared)
        self.decoder = Stack(config.cells, config.input_dim, **shared)
        output_dim = config.cells[-1].output_dim
        self.bridge = nnx.List([_Bridge(cell, **make) for cell in config.cells]) if config.bidirectional else None
        encoder_dim = (1 + config.bidirectional) * output_dim
        self.attention = (
            None if config.attention == "none" else Attention(config.attention, output_dim, encoder_dim, **make)
        )
        self.readout: nnx.Linear | TiedReadout
        if config.tied:
            self.readout = TiedReadout(output_dim, self.target_embedding, **make)
        else:
            self.readout = linear(output_dim, config.num_outputs, **make)

    def __call__(
        self, inputs: Pair, *, dropout_key: Array | None = None, teacher_forcing: Float[Array, ""] | None = None
    ) -> Float[Array, "S B C"]:
        """Logits of the target's words; without a key, or after `eval()`, nothing is dropped and the decoder reads the
        reference.

        A rate of `teacher_forcing` takes the place of the config's where that is less than 1.
        """
        return self.write(inputs, dropout_key=dropout_key, teacher_forcing=teacher_forcing).logits

    def write(
        self, inputs: Pair, *, dropout_key: Array | None = None, teacher_forcing: Float[Array, ""] | None = None
    ) -> Written:
        """`__call__`, and what the decoder read: with teacher forcing the prefix, else now and then its own words."""
        rate = self.config.teacher_forcing if teacher_forcing is None else teacher_forcing
        encoder_key = decoder_key = None
        if dropout_key is not None and not self.deterministic:
            encoder_key, decoder_key = jax.random.split(dropout_key)
        memory, states = self._encode(inputs.source, encoder_key)
        if decoder_key is None or self.config.teacher_forcing == 1.0:
            logits, _, _ = self._decode(inputs.prefix, states, memory, decoder_key)
            return Written(logits, inputs.prefix)

        def step(carry: tuple[Any, Array], at: tuple[Array, Array]) -> tuple[tuple[Any, Array], Written]:
            (states, own), (reference, key) = carry, at
            choice_key, dropout_key = jax.random.split(key)
            is_taught = jax.random.bernoulli(choice_key, rate, own.shape)
            tokens = jnp.where(is_taught, reference, own)
            logits, states, _ = self._decode(tokens[None], states, memory, dropout_key)
            own = jnp.argmax(logits[0], axis=-1).astype(reference.dtype)
            return (states, own), Written(logits[0], tokens)

        keys = jax.random.split(decoder_key, len(inputs.prefix))
        _, written = jax.lax.scan(step, (states, inputs.prefix[0]), (inputs.prefix, keys))
        return written

    def at(self, inputs: Pair, index: int) -> Float[Array, "B C"]:
        """The logits of one step alone, which may be -1 for the last."""
        return self(inputs)[index]

    def begin(
        self, source: Integer[Array, "T B"], batch_size: int, max_steps: int
    ) -> tuple[KeysValues | tuple[()], tuple[State, ...]]:
        """Read the source; returns what attention looks at, and the states that the decoder starts from."""
        del batch_size, max_steps
        return self._encode(source, None)

    def step(self, memory: KeysValues | tuple[()], state: tuple[State, ...], tokens: Integer[Array, " B"]) -> Step:
        logits, states, weights = self._decode(tokens[None], state, memory, None)
        return Step(states, logits[0], None if weights is None else weights[0])

    def _encode(self, source: Array, key: Array | None) -> tuple[KeysValues | tuple[()], tuple[State, ...]]:
        embedding_key, stack_key = (None, None) if key is None else jax.random.split(key)
        vectors = drop(self.source_embedding(source), self.config.dropout, embedding_key)
        states, outputs = self.encoder(
            vectors, lengths=lengths_of(source), reverse=self.config.reverse, dropout_key=stack_key
        )
        if self.bridge is not None:
            states = [bridge(*both) for bridge, both in zip(self.bridge, states, strict=True)]
        memory = () if self.attention is None else self.attention.project_memory(outputs, is_token(source))
        return memory, tuple(states)

    def _decode(
        self, tokens: Array, states: tuple[State, ...], memory: Any, key: Array | None
    ) -> tuple[Array, tuple[State, ...], Array | None]:
        keys = (None,) * 3 if key is None else jax.random.split(key, 3)
        vectors = drop(self.target_embedding(tokens), self.config.dropout, keys[0])
        new_states, outputs = self.decoder(vectors, states, dropout_key=keys[1])
        weights = None
        if self.attention is not None:
            outputs, weights = self.attention(outputs, memory)
        return self.readout(drop(outputs, self.config.dropout, keys[2])), tuple(new_states), weights


class _Bridge(nnx.Module):
    """A linear map from the last states of both directions to one state, for each array of the state."""

    def __init__(self, cell: Cell, *, rngs: nnx.Rngs, dtype: DTypeLike) -> None:
        leaves = jax.tree.leaves(jax.eval_shape(lambda: cell.initial_state((1,))))
        dims = [leaf.shape[-1] for leaf in leaves]
        self.maps = nnx.List([linear(2 * dim, dim, rngs=rngs, dtype=dtype) for dim in dims])

    def __call__(self, one: State, other: State) -> State:
        leaves, structure = jax.tree.flatten(one)
        both = zip(self.maps, leaves, jax.tree.leaves(other), strict=True)
        return jax.tree.unflatten(structure, [each(jnp.concatenate([a, b], axis=-1)) for each, a, b in both])
