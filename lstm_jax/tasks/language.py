"""Language models: running text whose next word, or masked word, is to be said, in three forms of one task.

    decoder           the next word, from all before         in the beginning god      ->  the beginning god created
    encoder_decoder   a continuation, word by word           in the <eos> | <bos> ...  ->  beginning god created
    encoder           masked words, from both sides          in <mask> beginning god   ->  the

`gap` is the length of a segment in tokens, and so how far a gradient goes back. Of the decoder's form, the segments of
a batch go on where those of the batch before ended, and a recurrent model's state is carried over (truncated
backpropagation; Mikolov et al. 2010; a Transformer sees its segment alone). An encoder reads up to half a segment,
of a length drawn anew for each batch, and the decoder writes as many words as half a segment has. 15% of an encoder's
words are masked, of each batch at least one (Devlin et al. 2019, who leave or change a fifth: here all read <mask>).

A token is scored wherever it is to be said. Chance is the share of the most frequent token of the held-out text, the
memoryless loss that of its tokens' frequencies.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Integer, Key

from lstm_jax.evaluation.language import answers_of
from lstm_jax.models.base import Pair
from lstm_jax.tasks.base import Batch, Task, elide
from lstm_jax.text import store
from lstm_jax.text.corpus import TextCorpus
from lstm_jax.text.vocabulary import BOS, EOS, MASK, PAD, Vocabulary

MASKED = 0.15
"""The share of an encoder's words that are masked."""


@dataclasses.dataclass(frozen=True)
class Language(Task):
    """Say the words of a text; see the top of the file."""

    axis: ClassVar[str] = "segment (tokens)"

    corpus: str = dataclasses.field(default="", kw_only=True)
    form: Literal["decoder", "encoder", "encoder_decoder"] = dataclasses.field(default="decoder", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.corpus:
            raise ValueError("corpus: expected the digest of a prepared text: python -m experiments.language_model")
        if not isinstance(store.load(self.corpus), TextCorpus):
            raise ValueError(f"corpus: {self.corpus} is one of pairs; expected running text")
        if self.form == "encoder_decoder" and self.gap < 2:
            raise ValueError(f"gap: expected at least 2, half for the encoder and half for the decoder, got {self.gap}")
        for name, text in (("train", _joined(self.corpus, "train")), ("dev", _joined(self.corpus, "dev"))):
            if len(text) <= self.gap:
                raise ValueError(f"gap: the {name} split of corpus {self.corpus} has {len(text)} tokens, too few")

    @property
    def text(self) -> TextCorpus:
        """The corpus itself."""
        corpus = store.load(self.corpus)
        assert isinstance(corpus, TextCorpus)
        return corpus

    @property
    def num_tokens(self) -> int:
        """Words, or characters, and the special tokens."""
        return len(self.text.vocabulary)

    @property
    def num_classes(self) -> int:
        return self.num_tokens

    @property
    def num_steps(self) -> int:
        """A segment; of pairs with EOS and BOS."""
        return self.gap + 2 * (self.form == "encoder_decoder")

    @property
    def readout(self) -> Literal["every"]:
        return "every"

    @property
    def chance(self) -> float:
        """The share of the most frequent token of the held-out text."""
        return float(np.bincount(_joined(self.corpus, "dev")).max() / len(_joined(self.corpus, "dev")))

    @property
    def memoryless_loss(self) -> float:
        """The entropy of the held-out text's tokens."""
        counts = np.bincount(_joined(self.corpus, "dev"))
        shares = counts[counts > 0] / counts.sum()
        return float(-(shares * np.log(shares)).sum())

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Segments from anywhere in the training text."""
        text = jnp.asarray(_joined(self.corpus, "train"))
        start_key, form_key = jax.random.split(key)
        starts = jax.random.randint(start_key, (batch_size,), 0, len(text) - self.gap)
        return self._batch(_segments(text, starts, self.gap + 1), form_key)

    def train_batch(self, key: Key[Array, ""], step: Int32[Array, ""], batch_size: int, shape: int) -> Batch:
        """Of the decoder's form the segments that follow those of the step before, in as many places of the text."""
        num_segments = self.segments(batch_size)
        if num_segments is None:
            return super().train_batch(key, step, batch_size, shape)
        text = jnp.asarray(_joined(self.corpus, "train"))
        places = jnp.arange(batch_size) * (num_segments * self.gap)
        return self._batch(_segments(text, places + step % num_segments * self.gap, self.gap + 1), key)

    def segments(self, batch_size: int) -> int | None:
        """How many segments each of `batch_size` equal parts of the training text has; None where it is drawn from.

        Raises ValueError where there is not one segment for each.
        """
        if self.form != "decoder":
            return None
        most = (len(_joined(self.corpus, "train")) - 1) // self.gap
        if batch_size > most:
            raise ValueError(f"batch_size: the text has {most} segments of {self.gap} tokens; got {batch_size}")
        return most // batch_size

    def held_out(self, size: int) -> Batch:
        """Segments that are evenly spread over the `dev` split; each begins with nothing known."""
        text = jnp.asarray(_joined(self.corpus, "dev"))
        starts = jnp.asarray(np.linspace(0, len(text) - self.gap - 1, size).astype(np.int32))
        return self._batch(_segments(text, starts, self.gap + 1), jax.random.key(0))

    def answers(self, model: Any) -> dict[str, list[dict[str, Any]]]:
        """The loss on the test split by how much context is given; of a model that writes, some of its text too."""
        return answers_of(model, self.text, self.form, self.gap)

    def show(self, inputs: Any, targets: Integer[np.ndarray, " S"]) -> str:
        """What is read above what is to be said."""
        name, read = ("source", inputs.source) if isinstance(inputs, Pair) else ("input ", inputs)
        rows = ((name, np.asarray(read)), ("target", targets))
        return "\n".join(f"{name} {_elided(self.text.vocabulary, ids)}" for name, ids in rows)

    def _batch(self, segments: Integer[Array, "L B"], key: Array) -> Batch:
        """`gap + 1` tokens of each place, as what this form reads and says."""
        if self.form == "decoder":
            inputs, targets = segments[:-1], segments[1:]
            weights = jnp.ones(targets.shape)
            return Batch(inputs, targets, weights, weights)
        if self.form == "encoder":
            targets = segments[:-1]
            is_masked = jax.random.bernoulli(key, MASKED, targets.shape)
            # A small batch may have none, and nothing to learn: then one word, anywhere, is.
            place = jax.random.randint(jax.random.fold_in(key, 1), (), 0, targets.size)
            is_masked |= ~is_masked.any() & (jnp.arange(targets.size).reshape(targets.shape) == place)
            weights = is_masked.astype(jnp.float32)
            return Batch(jnp.where(weights > 0, MASK, targets), targets, weights, weights)
        half = self.gap // 2
        source, target = segments[:half], segments[half : 2 * half]
        # The words next to the target stay: those farther away than a length drawn for each pair are left out.
        length = jax.random.randint(key, (source.shape[1],), 1, half + 1)
        return pair(source, length, target)


def pair(source: Integer[Array, "T B"], lengths: Integer[Array, " B"], target: Integer[Array, "S B"]) -> Batch:
    """The last `lengths` words of each source with EOS, and the target that goes on from there (without EOS)."""
    num_steps = len(source)
    places = jnp.arange(num_steps + 1)[:, None]
    shifted = jnp.take_along_axis(source, jnp.minimum(places + num_steps - lengths, num_steps - 1), axis=0)
    source_and_end = jnp.where(places < lengths, shifted, jnp.where(places == lengths, EOS, PAD))
    prefix = jnp.concatenate([jnp.full_like(target[:1], BOS), target[:-1]])
    weights = jnp.ones(target.shape)
    return Batch(Pair(source_and_end, prefix), target, weights, weights)


def _segments(text: Array, starts: Array, num_steps: int) -> Array:
    return text[starts[None] + jnp.arange(num_steps)[:, None]]


def _elided(vocabulary: Vocabulary, ids: Integer[np.ndarray, " S"]) -> str:
    return elide(vocabulary.decode([token for token in ids.tolist() if token != PAD]), 24)


@functools.lru_cache(maxsize=8)
def _joined(digest: str, split: Literal["train", "dev", "test"]) -> Integer[np.ndarray, " N"]:
    """The pieces of a split, one after the other."""
    return np.concatenate(getattr(store.load(digest), split)).astype(np.int32)
