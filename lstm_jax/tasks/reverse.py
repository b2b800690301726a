"""Write a sequence backwards: the plainest task for an encoder and a decoder.

    gap=4, 8 symbols      source  3 0 7 3 <eos>      target  3 7 0 3 <eos>

The first symbol of the target is the last that was read, the last one lies 2 gap steps back. `gap` is the number of
symbols, drawn uniformly. Chance level 1/num_symbols.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
import numpy as np
from jaxtyping import Array, Integer, Key

from lstm_jax.models.base import Pair
from lstm_jax.tasks.base import Batch, balanced, elide, held_out_key
from lstm_jax.tasks.symbol_pairs import NUM_SPECIAL, SymbolPairs, answer_of, symbols_of


@dataclasses.dataclass(frozen=True)
class Reverse(SymbolPairs):
    """Reverse `gap` symbols; see the top of the file."""

    axis: ClassVar[str] = "length (symbols)"

    num_symbols: int = dataclasses.field(default=8, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_symbols < 2:
            raise ValueError(f"num_symbols: expected at least 2, got {self.num_symbols}")

    @property
    def num_tokens(self) -> int:
        """The special tokens and the symbols."""
        return NUM_SPECIAL + self.num_symbols

    @property
    def num_classes(self) -> int:
        return self.num_tokens

    @property
    def num_steps(self) -> int:
        """Source and target, each with EOS."""
        return 2 * (self.gap + 1)

    @property
    def chance(self) -> float:
        return 1.0 / self.num_symbols

    @property
    def memoryless_loss(self) -> float:
        """ln num_symbols at each symbol, nothing at EOS."""
        return self.gap * math.log(self.num_symbols) / (self.gap + 1)

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Symbols, uniform and independent."""
        symbols = jax.random.randint(key, (self.gap, batch_size), 0, self.num_symbols)
        return self.batch(symbols, symbols[::-1])

    @property
    def num_sequences(self) -> int | None:
        """One for each row of symbols."""
        return self.num_symbols**self.gap if self.draws_as(Reverse) else None

    @property
    def num_scored(self) -> int | None:
        """The symbols, without EOS."""
        return self.gap if self.draws_as(Reverse) else None

    def held_out(self, size: int) -> Batch:
        """Each symbol equally often at each position."""
        if not self.draws_as(Reverse):
            return super().held_out(size)
        symbols = balanced(held_out_key(), self.gap, size, self.num_symbols)
        return self.batch(symbols, symbols[::-1])

    def solve(self, inputs: Pair) -> Integer[np.ndarray, "S B"]:
        """The source backwards."""
        return answer_of(symbols_of(np.asarray(inputs.source))[::-1])

    def show(self, inputs: Pair, targets: Integer[np.ndarray, " S"]) -> str:
        """Source above target."""
        lines = (("source", inputs.source), ("target", targets))
        return "\n".join(f"{name} {elide([str(token - NUM_SPECIAL) for token in row[:-1]])}" for name, row in lines)
