"""Induction heads: what came next the last time? After Olsson et al. 2022, "In-context learning and induction heads".

Definition. `variant` says which of the tasks of that name it is; `gap` is T, the length in steps:

    mamba     random symbols, among which a trigger stands once, at a random place before the last two; the last step is
              the trigger again: which symbol came after it? Gu & Dao 2023, "Mamba", section 4.1.2, after Dao et al.
              2022 (H3), who train at T = 256 and test to 2^20 (the default; scored at the last step)
    olsson    a random row of (T + 1) / 2 symbols, rounded down, and the same row again: at each step of the second,
              which symbol comes next? Olsson et al.'s test of trained models, on rows of tokens (scored there)

    tokens    symbols 0 .. S-1    trigger S, of mamba
    S=15, T=8, mamba
        step      0   1   2   3   4   5   6   7
        input     3   9  15   4   0  11   4  15
        target                                4

A vocabulary of 16 in all as in Mamba: 15 symbols and the trigger, unless `num_symbols` says otherwise. Chance level
1/S; without memory ln S nats.
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
from lstm_jax.tasks.base import Batch, Task, elide


@dataclasses.dataclass(frozen=True)
class InductionHeads(Task):
    """Say what came next the last time, in T = `gap` steps; see the top of the file."""

    axis: ClassVar[str] = "length (time steps)"

    variant: Literal["mamba", "olsson"] = dataclasses.field(default="mamba", kw_only=True)
    num_symbols: int = dataclasses.field(default=15, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_symbols < 2:
            raise ValueError(f"num_symbols: expected at least 2, got {self.num_symbols}")

    @property
    def least_gap(self) -> int:
        return 3

    @property
    def num_tokens(self) -> int:
        """Symbols, and of mamba the trigger."""
        return self.num_symbols + (self.variant == "mamba")

    @property
    def num_classes(self) -> int:
        return self.num_symbols

    @property
    def num_steps(self) -> int:
        return self.gap

    @property
    def _period(self) -> int:
        return (self.gap + 1) // 2

    @property
    def distance(self) -> int:
        """What lies between an answer, where it is earliest, and where it is asked for."""
        return self.gap - 3 if self.variant == "mamba" else self._period - 2

    @property
    def readout(self) -> Readout:
        return "last" if self.variant == "mamba" else "every"

    @property
    def num_scored(self) -> int | None:
        return 1 if self.variant == "mamba" else self.gap - self._period

    @property
    def chance(self) -> float:
        return 1.0 / self.num_symbols

    @property
    def memoryless_loss(self) -> float:
        return math.log(self.num_symbols)

    @property
    def num_sequences(self) -> int | None:
        """Rows of symbols, and of mamba places."""
        if not self.draws_as(InductionHeads):
            return None
        if self.variant == "olsson":
            return int(self.num_symbols**self._period)
        return int((self.gap - 2) * self.num_symbols ** (self.gap - 2))

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Symbols and places, uniform and independent."""
        symbol_key, place_key = jax.random.split(key)
        if self.variant == "olsson":
            row = jax.random.randint(symbol_key, (self._period, batch_size), 0, self.num_symbols)
            tokens = jnp.concatenate([row, row, row])[: self.gap + 1]
            weights = jnp.zeros((self.gap, batch_size)).at[self._period :].set(1.0)
            return Batch(tokens[:-1], tokens[1:], weights, weights)
        symbols = jax.random.randint(symbol_key, (self.gap, batch_size), 0, self.num_symbols)
        place = jax.random.randint(place_key, (1, batch_size), 0, self.gap - 2)
        steps = jnp.arange(self.gap)[:, None]
        inputs = jnp.where((steps == place) | (steps == self.gap - 1), self.num_symbols, symbols)
        ones = jnp.ones((1, batch_size))
        return Batch(inputs, jnp.take_along_axis(symbols, place + 1, axis=0), ones, ones)

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "S B"]:
        """What stands after the first trigger, or a row earlier."""
        if self.variant == "olsson":
            return np.roll(inputs, self._period - 1, axis=0)
        place = np.argmax(inputs == self.num_symbols, axis=0)
        return np.take_along_axis(inputs, place[None] + 1, axis=0)

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """The symbols, `*` for the trigger, and the last answer."""
        return f"{elide(self.words(inputs), 48)}: {int(targets[-1])}"

    def words(self, inputs: Integer[np.ndarray, " T"]) -> list[str]:
        """The symbols' numbers; `*` for the trigger."""
        return ["*" if token == self.num_symbols else str(token) for token in np.asarray(inputs).tolist()]
