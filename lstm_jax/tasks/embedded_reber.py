"""The embedded Reber grammar: Hochreiter & Schmidhuber 1997, "Long short-term memory", experiment 1.

Definition. A string B, then T or P, then a string of Reber's grammar, then the same T or P, then E; at each step the
next symbol is asked for. Reber's grammar takes either branch of a state with probability 1/2:

    B -> 0    0: T 1, P 2    1: S 1, X 3    2: T 2, V 4    3: X 2, S 5    4: P 3, V 5    5: E

`gap` is what lies between the two T or P, without the E of the inner string, at which the second is asked for.
`lengths` says which strings there are:

    fixed    those whose inner string has gap + 1 symbols, each as likely: one distance (the default)
    drawn    as the grammar draws them, given that the inner string has at most gap + 1 symbols: as in the paper, which
             has no bound

    symbols   B T P S X V E: 0 to 6
    gap=4:
        step      0   1   2   3   4   5   6   7
        input     0   2   0   1   4   3   6   2        B P B T X S E P
        target    2   0   1   4   3   6   2   6        P B T X S E P E

Trained on all symbols, scored at the second T or P: chance level 1/2. Elsewhere two symbols may be right, and none
knows which comes: the least loss is not 0. The paper asks for all symbols that may come next, by squared error, and
counts a string as learnt if the outputs of those are the largest.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key

from lstm_jax.choices import Readout
from lstm_jax.tasks import walks
from lstm_jax.tasks.base import Batch, Task, balanced, elide, held_out_key

_NAMES = "BTPSXVE"
# The inner string from after its B: of each state, (symbol, state) of either branch.
_INNER = [(("T", 1), ("P", 2)), (("S", 1), ("X", 3)), (("T", 2), ("V", 4)), (("X", 2), ("S", 5)), (("P", 3), ("V", 5))]


def _graph() -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(branches, symbols that they give): 0 before B, 1 before T or P, then 8 states of either, then 18 and 19."""
    branches, symbols = [(1, 1), (2, 10)], [(0, 0), (1, 2)]
    for kind, base in ((1, 2), (2, 10)):
        branches.append((base + 1, base + 1))  # the inner B
        symbols.append((0, 0))
        for first, second in _INNER:
            branches.append((base + 1 + first[1], base + 1 + second[1]))
            symbols.append((_NAMES.index(first[0]), _NAMES.index(second[0])))
        branches += [(base + 7, base + 7), (18, 18)]  # the inner E, and the second T or P
        symbols += [(6, 6), (kind, kind)]
    return [*branches, (19, 19), (19, 19)], [*symbols, (6, 6), (6, 6)]


_BRANCHES, _SYMBOLS = _graph()
_SECOND, _DONE = (9, 17), 19
"""The states before the second T or P, and after the end."""
_SURE = 5
"""Steps of a string at which both branches are the same: they count twice."""


@dataclasses.dataclass(frozen=True)
class EmbeddedReber(Task):
    """Say the T or P that came before an inner string of `gap` + 1 symbols; see the top of the file."""

    lengths: Literal["fixed", "drawn"] = dataclasses.field(default="fixed", kw_only=True)

    @property
    def least_gap(self) -> int:
        """The shortest inner string is B T X S E."""
        return 4

    @property
    def num_tokens(self) -> int:
        return len(_NAMES)

    @property
    def num_classes(self) -> int:
        return len(_NAMES)

    @property
    def num_steps(self) -> int:
        """The longest string without its E, which is only asked for."""
        return self.gap + 4

    @property
    def readout(self) -> Readout:
        return "every"

    @property
    def num_scored(self) -> int | None:
        return 1

    @property
    def chance(self) -> float:
        return 0.5

    @property
    def memoryless_loss(self) -> float:
        """The entropy of the next symbol given step and symbol, by the shares of all walks."""
        table = self._table
        taken = walks.shares(_BRANCHES, table)
        total, weight = 0.0, 0.0
        for step in range(self.num_steps):
            joint = np.zeros((len(_NAMES), len(_NAMES)))
            for state, branch in np.argwhere(taken[step] > 0).tolist():
                after = _BRANCHES[state][branch]
                if after != _DONE:
                    first = float(table[step + 1, after])
                    for next_branch, chance in enumerate((first, 1.0 - first)):
                        symbols = _SYMBOLS[state][branch], _SYMBOLS[after][next_branch]
                        joint[symbols] += taken[step, state, branch] * chance
            given = np.broadcast_to(joint.sum(axis=1, keepdims=True), joint.shape)
            seen = joint > 0
            total -= float((joint[seen] * np.log(joint[seen] / given[seen])).sum())
            weight += float(joint.sum())
        return total / weight

    @property
    def _table(self) -> np.ndarray:
        return walks.chances(_BRANCHES, _ways(self.gap, self.lengths))

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Strings as `lengths` says, independent."""
        return self._batch(jax.random.uniform(key, (self.num_steps + 1, batch_size)))

    @property
    def num_sequences(self) -> int | None:
        """Strings of the one length."""
        if self.lengths == "drawn" or not self.draws_as(EmbeddedReber):
            return None
        return _ways(self.gap, self.lengths)[-1][0] >> _SURE

    def held_out(self, size: int) -> Batch:
        """T and P equally often."""
        if not self.draws_as(EmbeddedReber):
            return super().held_out(size)
        kind_key, key = jax.random.split(held_out_key())
        uniforms = jax.random.uniform(key, (self.num_steps + 1, size))
        return self._batch(uniforms.at[1].set(balanced(kind_key, 1, size, 2)[0].astype(uniforms.dtype) / 2.0))

    def _batch(self, uniforms: Float[Array, "N B"]) -> Batch:
        """The strings whose branches these numbers choose: the T or P is a T if the second is below 1/2."""
        states, is_first = walks.walk(_BRANCHES, self._table, uniforms)
        given = jnp.asarray(np.array(_SYMBOLS, np.int32))[states]
        symbols = jnp.where(is_first, given[..., 0], given[..., 1])
        is_second = (states[1:] == _SECOND[0]) | (states[1:] == _SECOND[1])
        weights = (states[1:] != _DONE).astype(jnp.float32)
        return Batch(symbols[:-1], symbols[1:], weights, is_second.astype(jnp.float32))

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "T B"]:
        """At the inner string's E the T or P; elsewhere what one may be, or E."""
        answers = np.full_like(inputs, _NAMES.index("E"))
        for column, answer in zip(inputs.T, answers.T, strict=True):
            answer[np.argmax(column == _NAMES.index("E"))] = column[1]
        return answers

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """The string, without what follows its end."""
        letters = [*self.words(inputs), _NAMES[int(targets[-1])]]
        ends = [place for place, letter in enumerate(letters) if letter == "E"]
        return elide(letters[: ends[1] + 1], 64)

    def words(self, inputs: Integer[np.ndarray, " T"]) -> list[str]:
        """The letters of the grammar."""
        return [_NAMES[token] for token in np.asarray(inputs).tolist()]

    def events(self, inputs: Integer[np.ndarray, " T"]) -> list[int]:
        """The first T or P, and the E at which it is asked for."""
        return [1, int(np.argmax(np.asarray(inputs) == _NAMES.index("E")))]


@functools.lru_cache(maxsize=32)
def _ways(gap: int, lengths: str) -> list[list[int]]:
    """How many walks there are: those that have just ended, or, of drawn lengths, had ended before."""
    branches = _BRANCHES if lengths == "drawn" else [*_BRANCHES[:-1], (20, 20), (20, 20)]
    return [row[:20] for row in walks.ways(branches, gap + 5, (_DONE,))]
