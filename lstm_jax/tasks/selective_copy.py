"""Selective copying: the symbols stand at random places, and what lies between them is not to be remembered.

Definition. `num_recalled` symbols out of `num_symbols`, in a row with as many blanks as `gap` says, each order of
symbols and blanks equally likely; then the symbols are asked for in their order. `query` says how they are asked for:

    markers     one marker an answer: Gu & Dao 2023, "Mamba", section 4.1.1, and Feng et al. 2024, table 1 (the default)
    delimiter   one delimiter, then a blank an answer: as in the copying task of Arjovsky et al. 2016, and as the
                denoise task of Jing et al. 2019, "Gated orthogonal recurrent units"

    tokens    symbols 0 .. S-1    blank S    marker or delimiter S+1
    S=14, two symbols recalled (16 in the papers), gap=3, markers:
        step      0   1   2   3   4   5   6
        input    14   5  14  14   2  15  15
        target                        5   2

In both papers `gap` is 4,096, and the vocabulary of 16 is 14 symbols, the blank and the marker, which are the defaults
here. Trained and scored at the answers alone. Chance level 1/S; without memory ln S nats.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, Key

from lstm_jax.choices import Readout
from lstm_jax.tasks.base import Batch, Task, balanced, elide, held_out_key


@dataclasses.dataclass(frozen=True)
class SelectiveCopy(Task):
    """Recall `num_recalled` symbols from among `gap` blanks; see the top of the file."""

    axis: ClassVar[str] = "blanks (time steps)"

    query: Literal["markers", "delimiter"] = dataclasses.field(default="markers", kw_only=True)
    num_symbols: int = dataclasses.field(default=14, kw_only=True)
    num_recalled: int = dataclasses.field(default=16, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("num_symbols", 2), ("num_recalled", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")

    @property
    def num_tokens(self) -> int:
        """Symbols, blank, marker."""
        return self.num_symbols + 2

    @property
    def num_classes(self) -> int:
        return self.num_symbols

    @property
    def num_steps(self) -> int:
        return self.gap + 2 * self.num_recalled + (self.query == "delimiter")

    @property
    def distance(self) -> int:
        """The difference of indices between a symbol that comes as early as it can and its answer."""
        return self.num_steps - self.num_recalled

    @property
    def readout(self) -> Readout:
        return "every"

    @property
    def chance(self) -> float:
        return 1.0 / self.num_symbols

    @property
    def memoryless_loss(self) -> float:
        return math.log(self.num_symbols)

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Symbols and their places, uniform and independent."""
        symbol_key, place_key = jax.random.split(key)
        symbols = jax.random.randint(symbol_key, (self.num_recalled, batch_size), 0, self.num_symbols)
        return self._batch(symbols, place_key)

    @property
    def num_sequences(self) -> int | None:
        """Rows of symbols, in any places."""
        if not self.draws_as(SelectiveCopy):
            return None
        return int(math.comb(self.gap + self.num_recalled, self.num_recalled) * self.num_symbols**self.num_recalled)

    @property
    def num_scored(self) -> int | None:
        """The symbols."""
        return self.num_recalled if self.draws_as(SelectiveCopy) else None

    def held_out(self, size: int) -> Batch:
        """Each symbol equally often at each answer."""
        if not self.draws_as(SelectiveCopy):
            return super().held_out(size)
        symbol_key, place_key = jax.random.split(held_out_key())
        return self._batch(balanced(symbol_key, self.num_recalled, size, self.num_symbols), place_key)

    def _batch(self, symbols: Integer[Array, "R B"], key: Key[Array, ""]) -> Batch:
        num_recalled, batch_size = symbols.shape
        order = jnp.argsort(jax.random.bits(key, (self.gap + num_recalled, batch_size)), axis=0)
        is_symbol = jnp.argsort(order, axis=0) < num_recalled
        number = jnp.maximum(jnp.cumsum(is_symbol, axis=0) - 1, 0)
        given = jnp.where(is_symbol, jnp.take_along_axis(symbols, number, axis=0), self.num_symbols)
        if self.query == "markers":
            query = [jnp.full_like(symbols, self.num_symbols + 1)]
        else:
            query = [jnp.full_like(symbols[:1], self.num_symbols + 1), jnp.full_like(symbols, self.num_symbols)]
        inputs = jnp.concatenate([given, *query])
        rest = self.num_steps - num_recalled
        weights = jnp.zeros(inputs.shape).at[rest:].set(1.0)
        return Batch(inputs, jnp.pad(symbols, ((rest, 0), (0, 0))), weights, weights)

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "T B"]:
        """The tokens that are symbols, in their order."""
        answers = np.zeros_like(inputs)
        answers[-self.num_recalled :] = np.stack([column[column < self.num_symbols] for column in inputs.T], axis=1)
        return answers

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """Inputs above targets; `_` is blank, `?` asks for a symbol."""
        answers = [str(symbol) for symbol in targets[-self.num_recalled :].tolist()]
        return f"input  {elide(self.words(inputs), 48)}\ntarget {elide(answers, 48)}"

    def words(self, inputs: Integer[np.ndarray, " T"]) -> list[str]:
        """The symbols' numbers; `_` for a blank, `?` where a symbol is asked for."""
        names = [*(str(symbol) for symbol in range(self.num_symbols)), "_", "?"]
        return [names[token] for token in np.asarray(inputs).tolist()]

    def events(self, inputs: Integer[np.ndarray, " T"]) -> list[int]:
        """The symbols."""
        return np.flatnonzero(np.asarray(inputs) < self.num_symbols).tolist()
