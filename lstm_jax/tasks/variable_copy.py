"""The variable copy task of Tallec & Ollivier 2018, "Can recurrent neural networks warp time?", section 4.

Definition. As the copying memory task (copy.py), but the delimiter comes d steps after the last symbol, where d is
drawn anew for each sequence, uniformly from 1 to T: when the symbols are asked for can't be known from the clock. T is
the `gap`, the longest d. What follows the last answer is blank, without weight.

    tokens    symbols 0 .. S-1    blank S    delimiter S+1
    S=8, two symbols recalled (10 in the paper), T=3, d=2:
        step      0   1   2   3   4   5   6
        input     5   2   8   9   8   8   8
        target    8   8   8   8   5   2

Chance level 1/S, scored at the recall positions; trained on all positions to the last answer. A solver without memory
knows the step and the token alone: at a blank, answers are as likely as there are d by which an answer is due.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Integer, Key

from lstm_jax.tasks.base import Batch, balanced, held_out_key
from lstm_jax.tasks.copy import Copy


@dataclasses.dataclass(frozen=True)
class VariableCopy(Copy):
    """Recall `num_recalled` symbols after 1 to T = `gap` steps; see the top of the file."""

    @property
    def memoryless_loss(self) -> float:
        num_recalled, last = self.num_recalled, np.arange(1, self.gap + 1) + self.num_recalled - 1
        steps = np.arange(num_recalled, self.num_steps)[:, None]
        num_answers = ((steps > last) & (steps <= last + num_recalled)).sum(axis=1)
        num_blanks = (steps < last).sum(axis=1)
        total = np.maximum(num_answers + num_blanks, 1)
        answers = -num_answers * np.log(np.maximum(num_answers, 1) / total / self.num_symbols)
        blanks = -num_blanks * np.log(np.maximum(num_blanks, 1) / total)
        return float((answers + blanks).sum() / (last + num_recalled + 1).sum())

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Symbols and delays, uniform and independent."""
        symbol_key, delay_key = jax.random.split(key)
        symbols = jax.random.randint(symbol_key, (self.num_recalled, batch_size), 0, self.num_symbols)
        return self._delayed(symbols, jax.random.randint(delay_key, (batch_size,), 1, self.gap + 1))

    @property
    def num_sequences(self) -> int | None:
        """One for each row of symbols and each delay."""
        return self.gap * self.num_symbols**self.num_recalled if self.draws_as(VariableCopy) else None

    @property
    def num_scored(self) -> int | None:
        """The recalled symbols."""
        return self.num_recalled if self.draws_as(VariableCopy) else None

    def held_out(self, size: int) -> Batch:
        """Each symbol equally often at each recalled position, and each delay."""
        if not self.draws_as(VariableCopy):
            return super().held_out(size)
        symbol_key, delay_key = jax.random.split(held_out_key())
        delays = balanced(delay_key, 1, size, self.gap)[0] + 1
        return self._delayed(balanced(symbol_key, self.num_recalled, size, self.num_symbols), delays)

    def _delayed(self, symbols: Integer[Array, "R B"], delays: Int32[Array, " B"]) -> Batch:
        steps = jnp.arange(self.num_steps)[:, None]
        num_recalled, delimiter = self.num_recalled, delays + (self.num_recalled - 1)
        padded = jnp.pad(symbols, ((0, self.num_steps - num_recalled), (0, 0)), constant_values=self.num_symbols)
        inputs = jnp.where(steps == delimiter, self.num_symbols + 1, padded)
        is_asked = (steps > delimiter) & (steps <= delimiter + num_recalled)
        asked = jnp.take_along_axis(symbols, jnp.clip(steps - delimiter - 1, 0, num_recalled - 1), axis=0)
        targets = jnp.where(is_asked, asked, self.num_symbols)
        weights = (steps <= delimiter + num_recalled).astype(jnp.float32)
        return Batch(inputs, targets, weights, is_asked.astype(jnp.float32))

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "T B"]:
        """Blanks, then, from the delimiter on, the symbols."""
        answers = np.full_like(inputs, self.num_symbols)
        for column, delimiter in enumerate(np.argmax(inputs == self.num_symbols + 1, axis=0).tolist()):
            answers[delimiter + 1 :, column][: self.num_recalled] = inputs[: self.num_recalled, column]
        return answers
