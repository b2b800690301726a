"""What tasks of symbols to be translated share: no data needed, and a model that learns its machinery solves them."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer

from lstm_jax.models.base import Pair
from lstm_jax.tasks.base import Batch, Task
from lstm_jax.text.vocabulary import BOS, EOS, SPECIAL

NUM_SPECIAL = len(SPECIAL)


@dataclasses.dataclass(frozen=True)
class SymbolPairs(Task):
    """A source of `source_steps` symbols and a target of `target_steps`, both followed by EOS; tokens 0 to 4 are the
    special ones of all vocabularies. Scored at the symbols of the target, trained on EOS too."""

    @property
    def form(self) -> Literal["encoder_decoder"]:
        return "encoder_decoder"

    @property
    def readout(self) -> Literal["every"]:
        return "every"

    def batch(self, source: Integer[Array, "N B"], target: Integer[Array, "M B"]) -> Batch:
        """Symbols, from 0, as what a model reads and what it is asked."""
        ends = jnp.full((1, source.shape[1]), EOS, jnp.int32)
        source, target = (symbols.astype(jnp.int32) + NUM_SPECIAL for symbols in (source, target))
        inputs = Pair(jnp.concatenate([source, ends]), jnp.concatenate([jnp.full_like(ends, BOS), target]))
        targets = jnp.concatenate([target, ends])
        weights = jnp.ones(targets.shape)
        return Batch(inputs, targets, weights, weights.at[-1].set(0.0))


def symbols_of(source: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "N B"]:
    """The symbols of a source, from 0, without its EOS."""
    return source[:-1] - NUM_SPECIAL


def answer_of(symbols: Integer[np.ndarray, "M B"]) -> Integer[np.ndarray, "S B"]:
    """Symbols, from 0, as the targets of a batch."""
    return np.concatenate([symbols + NUM_SPECIAL, np.full((1, symbols.shape[1]), EOS, symbols.dtype)])
