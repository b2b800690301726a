"""Translation of sentences with a trained model, by beam search and greedily."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Integer

from lstm_jax.evaluation.decoding import Decoded, beam_search, greedy
from lstm_jax.text.corpus import PairCorpus
from lstm_jax.text.vocabulary import EOS, PAD, Vocabulary

BATCH_SIZE = 64
"""Number of sentences translated at once."""
BEAM_SIZE = 4
LENGTH_PENALTY = 0.6
MAX_WRITTEN = 64
"""Most words of a translation; twice the source where that is more."""


class Translated(NamedTuple):
    """A translated sentence: words by beam search and by greedy search, and the attention of the former."""

    output: list[str]
    greedy: list[str]
    alignment: Float[np.ndarray, "S T"] | None


def translate(
    model: Any,
    corpus: PairCorpus,
    sentences: Sequence[Sequence[str]],
    *,
    beam_size: int = BEAM_SIZE,
    length_penalty: float = LENGTH_PENALTY,
    batch_size: int = BATCH_SIZE,
) -> list[Translated]:
    """Translate sentences, given in words of which some may not be in the vocabulary; <unk> is never written."""
    order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))  # like lengths end alike
    found: dict[int, Translated] = {}
    graphdef, params = nnx.split(model)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        longest = max(len(sentences[index]) for index in batch) + 1
        num_steps = 8 * -(-longest // 8)  # few shapes, since each is a program
        sources = pad([[*corpus.source.encode(sentences[index]), EOS] for index in batch], num_steps, batch_size)
        beam, by_greed = jax.device_get(_decode(graphdef, params, sources, beam_size, length_penalty))
        for column, index in enumerate(batch):
            num_words, num_read = int(beam.lengths[column]), len(sentences[index]) + 1
            found[index] = Translated(
                words_of(corpus.target, beam.tokens[:, column]),
                words_of(corpus.target, by_greed.tokens[:, column]),
                None if beam.alignments is None else beam.alignments[:num_words, column, :num_read],
            )
    return [found[index] for index in range(len(sentences))]


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _decode(
    graphdef: Any, params: Any, sources: Integer[Array, "T B"], beam_size: int, length_penalty: float
) -> tuple[Decoded, Decoded]:
    model = nnx.merge(graphdef, params)
    # The same for all usual sentences: what a model writes must not depend on whom it is batched with.
    options: dict[str, Any] = {"max_steps": max(MAX_WRITTEN, 2 * len(sources)), "allow_unk": False}
    beam = beam_search(model, sources, beam_size=beam_size, length_penalty=length_penalty, **options)
    return beam, greedy(model, sources, **options)


def pad(sequences: Sequence[Sequence[int]], num_steps: int, width: int | None = None) -> Integer[np.ndarray, "T B"]:
    """Place sequences of ids in columns, with PAD below, and to the right up to `width`."""
    padded = np.full((num_steps, width or len(sequences)), PAD, np.int32)
    for column, ids in enumerate(sequences):
        padded[: len(ids), column] = ids
    return padded


def words_of(vocabulary: Vocabulary, ids: Integer[np.ndarray, " S"]) -> list[str]:
    """Return the words before EOS and padding."""
    written: list[int] = []
    for token in ids.tolist():
        if token in (EOS, PAD):
            break
        written.append(token)
    return vocabulary.decode(written)
