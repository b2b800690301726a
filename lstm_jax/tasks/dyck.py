"""Dyck-(k, m): which bracket closes? Brackets of `num_kinds` k kinds, nested to at most `max_depth` m.

Definition. A balanced string of `gap` pairs of brackets, each such string as likely; wherever a closing bracket comes
next, its kind is asked for: that of the bracket that was opened last and is still open. From Hewitt et al. 2020, "RNNs
can generate bounded hierarchical languages with optimal memory", who ask for every next symbol of strings that a coin
toss a step draws, and score closing brackets; before them Suzgun et al. 2019 (k = 2, no bound).

    tokens    opening 0 .. k-1    closing k .. 2k-1
    k=8, gap=4:
        step      0   1   2   3   4   5   6
        input     3   5  13   1   0   8   9             ( [ ] { < > } )   with the last one asked for only
        target        5           0   1   3

Trained wherever a closing bracket comes next. Scored where the one that it closes is not the one just read, as only
that takes memory: after another closing bracket. Chance level 1/k. A solver without memory knows the kind after an
opening bracket, and ln k nats after a closing one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, Key

from lstm_jax.choices import Readout
from lstm_jax.tasks import walks
from lstm_jax.tasks.base import Batch, Task, elide

_PAIRS = ["()", "[]", "{}", "<>"]


@dataclasses.dataclass(frozen=True)
class Dyck(Task):
    """Close the brackets of a string of `gap` pairs; see the top of the file."""

    axis: ClassVar[str] = "length (pairs)"

    num_kinds: int = dataclasses.field(default=8, kw_only=True)
    max_depth: int = dataclasses.field(default=5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_kinds", "max_depth"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}: expected at least 2, got {getattr(self, name)}")

    @property
    def least_gap(self) -> int:
        return 2

    @property
    def num_tokens(self) -> int:
        return 2 * self.num_kinds

    @property
    def num_classes(self) -> int:
        return self.num_kinds

    @property
    def num_steps(self) -> int:
        """A string without its last bracket, which is only asked for."""
        return 2 * self.gap - 1

    @property
    def distance(self) -> int:
        """What lies between the first bracket and the step at which the last one is asked for."""
        return self.num_steps - 2

    @property
    def readout(self) -> Readout:
        return "every"

    @property
    def chance(self) -> float:
        return 1.0 / self.num_kinds

    @property
    def memoryless_loss(self) -> float:
        """ln k, as often as a closing bracket follows another one."""
        opened = walks.shares(self._branches, self._table)[..., 0].sum(axis=1)
        taken = walks.shares(self._branches, self._table)
        after_closing = 0.0
        for step in range(self.num_steps):
            for depth in range(1, self.max_depth + 1):  # from `depth`, closed at this step, and again at the next
                again = 1.0 - float(self._table[step + 1, depth - 1])
                after_closing += float(taken[step, depth, 1]) * again
        return math.log(self.num_kinds) * after_closing / float(opened.sum())

    @property
    def _branches(self) -> list[tuple[int, int]]:
        """Of each depth, what it is after an opening and after a closing bracket; the last state is none."""
        none = self.max_depth + 1
        return [
            *((depth + 1, depth - 1 if depth else none) for depth in range(self.max_depth)),
            (none, self.max_depth - 1),
            (none, none),
        ]

    @property
    def _ways(self) -> list[list[int]]:
        return _ways(tuple(self._branches), 2 * self.gap)

    @property
    def _table(self) -> np.ndarray:
        return walks.chances(self._branches, self._ways)

    @property
    def num_sequences(self) -> int | None:
        """Strings, of each opening bracket any kind."""
        return self._ways[-1][0] * self.num_kinds**self.gap if self.draws_as(Dyck) else None

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Strings, uniform and independent."""
        walk_key, kind_key = jax.random.split(key)
        shape = (2 * self.gap, batch_size)
        depths, is_opening = walks.walk(self._branches, self._table, jax.random.uniform(walk_key, shape))
        kinds = jax.random.randint(kind_key, shape, 0, self.num_kinds)
        levels = jnp.arange(self.max_depth)[:, None]

        def step(stack: Array, given: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            depth, is_opening, kind = given
            stack = jnp.where(is_opening & (levels == depth), kind, stack)
            top = jnp.where(is_opening, depth, depth - 1)
            return stack, jnp.take_along_axis(stack, top[None], axis=0)[0]

        stack = jnp.zeros((self.max_depth, batch_size), kinds.dtype)
        _, kinds = jax.lax.scan(step, stack, (depths, is_opening, kinds))
        symbols = jnp.where(is_opening, kinds, kinds + self.num_kinds)
        weights = ~is_opening[1:]
        recall = weights & ~is_opening[:-1]
        targets = jnp.where(weights, kinds[1:], 0)
        return Batch(symbols[:-1], targets, weights.astype(jnp.float32), recall.astype(jnp.float32))

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "T B"]:
        """Keep a stack, and say what is on top."""
        answers = np.zeros_like(inputs)
        for column, answer in zip(inputs.T, answers.T, strict=True):
            stack: list[int] = []
            for step, token in enumerate(column.tolist()):
                if token < self.num_kinds:
                    stack.append(token)
                else:
                    stack.pop()
                answer[step] = stack[-1] if stack else 0
        return answers

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """The string; of more than four kinds the brackets have numbers."""
        return elide([*self.words(inputs), self._name(self.num_kinds + int(targets[-1]))], 32)

    def words(self, inputs: Integer[np.ndarray, " T"]) -> list[str]:
        """The brackets."""
        return [self._name(token) for token in np.asarray(inputs).tolist()]

    def _name(self, token: int) -> str:
        side, kind = divmod(token, self.num_kinds)
        return _PAIRS[kind][side] if self.num_kinds <= len(_PAIRS) else f"{'()'[side]}{kind}"


@functools.lru_cache(maxsize=32)
def _ways(branches: tuple[tuple[int, int], ...], num_steps: int) -> list[list[int]]:
    return walks.ways(branches, num_steps, (0,))
