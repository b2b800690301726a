"""What an encoder leaves of a sentence: its last states, all that a decoder without attention starts from."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Integer

from lstm_jax.evaluation.translation import BATCH_SIZE, MAX_WRITTEN, pad
from lstm_jax.text.corpus import PairCorpus
from lstm_jax.text.vocabulary import EOS


def thought_vectors(model: Any, corpus: PairCorpus, sentences: Sequence[Sequence[str]]) -> Float[np.ndarray, "N D"]:
    """The states of all layers after each sentence of tokens, side by side: of an LSTM both hidden and cell state."""
    order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
    graphdef, params = nnx.split(model)
    found: dict[int, np.ndarray] = {}
    for start in range(0, len(order), BATCH_SIZE):
        batch = order[start : start + BATCH_SIZE]
        num_steps = 8 * -(-(len(sentences[batch[-1]]) + 1) // 8)  # few shapes, since each is a program
        ids = pad([[*corpus.source.encode(sentences[index]), EOS] for index in batch], num_steps, BATCH_SIZE)
        found |= dict(zip(batch, np.asarray(_last_states(graphdef, params, ids), np.float64), strict=False))
    return np.stack([found[index] for index in range(len(sentences))])


@functools.partial(jax.jit, static_argnums=0)
def _last_states(graphdef: Any, params: Any, sources: Integer[Array, "T B"]) -> Float[Array, "B D"]:
    _, states = nnx.merge(graphdef, params).begin(sources, sources.shape[1], MAX_WRITTEN)
    return jnp.concatenate(jax.tree.leaves(states), axis=-1)
