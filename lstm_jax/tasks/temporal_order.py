"""In which order did they come? Hochreiter & Schmidhuber 1997, "Long short-term memory", experiments 6a and 6b.

Definition. A start symbol, distractors, and an end symbol; among the distractors stand `num_symbols` that count, each
an X or a Y, and the answer at the end is which were given, in their order. `gap` is T, the length in steps. `places`
says where they stand, each uniform over T/10 + 1 steps from s on:

    hochreiter   s = T/10, T/2 (experiment 6a, two symbols, the default) or T/10, T/3, 2T/3 (6b, three symbols);
                 lengths are drawn from T to T + T/10; in the paper T = 100
    pascanu      s = T/10, 4T/10 or T/10, 3T/10, 6T/10, and the length is T: Pascanu et al. 2013, "On the difficulty of
                 training recurrent neural networks", after Martens & Sutskever 2011

    tokens    X 0, Y 1    distractors a b c d: 2 3 4 5    start 6    end 7
    T=10, hochreiter:
        step      0   1   2   3   4   5   6   7   8   9
        input     6   1   3   2   2   0   5   3   4   7        E Y b a a X d b c B
        target                                        2        Y X: 2 * 1 + 0

With four symbols, which the paper doesn't have, s = T/10, T/4, T/2, 3T/4. What follows the end is the end symbol,
without weight. Chance level 1/2^num_symbols; a solver without memory sees the end symbol alone.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Integer, Key

from lstm_jax.choices import Readout
from lstm_jax.tasks.base import Batch, Task, balanced, elide, held_out_key

_NAMES = "XYabcdEB"
_DISTRACTOR, _START, _END = 2, 6, 7


@dataclasses.dataclass(frozen=True)
class TemporalOrder(Task):
    """Name the symbols that count, in their order, at the end of T = `gap` steps; see the top of the file."""

    axis: ClassVar[str] = "length (time steps)"

    num_symbols: int = dataclasses.field(default=2, kw_only=True)
    places: Literal["hochreiter", "pascanu"] = dataclasses.field(default="hochreiter", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        most = 4 if self.places == "hochreiter" else 3
        if not 2 <= self.num_symbols <= most:
            raise ValueError(f"num_symbols: expected 2 to {most}, got {self.num_symbols}")

    @property
    def least_gap(self) -> int:
        """So many that no two symbols may stand at one step."""
        return 12 if self.num_symbols == 4 else 10

    @property
    def num_tokens(self) -> int:
        return len(_NAMES)

    @property
    def num_classes(self) -> int:
        """Rows of X and Y."""
        return 1 << self.num_symbols

    @property
    def num_steps(self) -> int:
        """T, or the longest, T + T/10."""
        return self.gap + (self.gap // 10 if self.places == "hochreiter" else 0)

    @property
    def distance(self) -> int:
        """What lies between the first symbol, where it is earliest, and the end, where it is latest."""
        return self.num_steps - 2 - self.gap // 10

    @property
    def readout(self) -> Readout:
        return "every"

    @property
    def num_scored(self) -> int | None:
        return 1

    @property
    def chance(self) -> float:
        return 1.0 / self.num_classes

    @property
    def memoryless_loss(self) -> float:
        return math.log(self.num_classes)

    @property
    def starts(self) -> list[int]:
        """The first step at which each symbol may stand."""
        if self.places == "pascanu":
            return [self.gap * share // 10 for share in ((1, 4) if self.num_symbols == 2 else (1, 3, 6))]
        return [self.gap // 10, *(self.gap * number // self.num_symbols for number in range(1, self.num_symbols))]

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Symbols, places, distractors and lengths, uniform and independent."""
        answer_key, key = jax.random.split(key)
        return self._batch(jax.random.randint(answer_key, (batch_size,), 0, self.num_classes), key)

    def held_out(self, size: int) -> Batch:
        """Each answer equally often."""
        if not self.draws_as(TemporalOrder):
            return super().held_out(size)
        answer_key, key = jax.random.split(held_out_key())
        return self._batch(balanced(answer_key, 1, size, self.num_classes)[0], key)

    def _batch(self, answers: Int32[Array, " B"], key: Key[Array, ""]) -> Batch:
        place_key, filler_key, length_key = jax.random.split(key, 3)
        shape = (self.num_steps, len(answers))
        steps = jnp.arange(self.num_steps)[:, None]
        inputs = jax.random.randint(filler_key, shape, _DISTRACTOR, _START)
        width = self.gap // 10 + 1
        if self.places == "pascanu":
            width -= 1  # [T/10, 2T/10), so that the last of one window is not the first of the next
        offsets = jax.random.randint(place_key, (self.num_symbols, len(answers)), 0, width)
        for number, start in enumerate(self.starts):
            symbol = (answers >> (self.num_symbols - 1 - number)) & 1
            inputs = jnp.where(steps == start + offsets[number], symbol, inputs)
        last = jax.random.randint(length_key, answers.shape, self.gap - 1, self.num_steps)
        inputs = jnp.where(steps == 0, _START, jnp.where(steps >= last, _END, inputs))
        weights = (steps == last).astype(jnp.float32)
        return Batch(inputs, jnp.broadcast_to(answers, shape), weights, weights)

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "T B"]:
        """Read the symbols that count as a number in base 2."""
        rows = np.stack([column[column < _DISTRACTOR] for column in inputs.T], axis=1)
        powers = 2 ** np.arange(self.num_symbols)[::-1, None]
        return np.broadcast_to((rows * powers).sum(axis=0), inputs.shape)

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """The sequence to its end, and the answer."""
        answer = int(targets[-1])
        named = [_NAMES[answer >> number & 1] for number in reversed(range(self.num_symbols))]
        length = int(np.argmax(np.asarray(inputs) == _END)) + 1
        return f"{elide(self.words(inputs)[:length], 48)}: {' '.join(named)}"

    def words(self, inputs: Integer[np.ndarray, " T"]) -> list[str]:
        """The letters of the paper."""
        return [_NAMES[token] for token in np.asarray(inputs).tolist()]

    def events(self, inputs: Integer[np.ndarray, " T"]) -> list[int]:
        """The symbols that count."""
        return np.flatnonzero(np.asarray(inputs) < _DISTRACTOR).tolist()
