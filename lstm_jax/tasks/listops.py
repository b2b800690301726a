"""ListOps: evaluate a nested expression. Nangia & Bowman 2018; sizes as in Long Range Arena (Tay et al. 2021).

Definition. An expression is an operator, its arguments and a closing bracket; an argument is a digit, or, once in four
times and while that is not too deep, an expression. Operators are MAX, MIN, MED (the median, of two middle ones the
mean, rounded down) and SM (the sum modulo 10), with 2 to `max_args` arguments. Which digit is it? `gap` is the length
in tokens.

    tokens    digits 0 .. 9    MAX 10    MIN 11    MED 12    SM 13    closing 14    blank 15
    gap=9:
        step      0   1   2   3   4   5   6   7   8
        input    13   4  11   7   6   8  14   9  14        [SM 4 [MIN 7 6 8 ] 9 ]
        target                                    9        4 + 6 + 9 = 19

Long Range Arena takes those of its expressions that have 500 to 2,000 tokens, nested to 10 with up to 10 arguments
(`max_depth`, of which the deepest are digits, and `max_args`), and so its answers are not equally likely. Here

- an expression has `gap` tokens, or one or two fewer, which are blanks in front. An argument is drawn as there, unless
  too few were left to fill the length, or too many to fit it: then it is an expression, with more arguments, or a
  digit;
- answers are equally likely: of several expressions those with the wanted answers are taken.

Chance level 1/10; a solver without memory sees the last bracket alone.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, Integer, Key

from lstm_jax.choices import Readout
from lstm_jax.tasks.base import Batch, Task, balanced, elide, held_out_key

OPERATORS = ("MAX", "MIN", "MED", "SM")
_OPERATOR, _CLOSE, _BLANK = 10, 14, 15
_NESTED = 0.25
"""How often an argument is an expression: VALUE_P of the generators, where a larger number means a digit."""
_POOL = 3, 64
"""Expressions that are drawn for B wanted ones: so many times B, and so many more."""


class _Stack(NamedTuple):
    """The open expressions of B sequences, level by level (L of them), and what is left to fill."""

    depth: Int32[Array, " B"]
    """How many are open."""
    left: Int32[Array, "L B"]
    """How many arguments each still gets."""
    operator: Int32[Array, "L B"]
    values: Int32[Array, "L A B"]
    """The arguments so far, and -1."""
    room: Int32[Array, " B"]
    """Tokens of the length that are not yet spoken for."""
    answer: Int32[Array, " B"]
    """The value of what has been closed last, or -1 before."""


@dataclasses.dataclass(frozen=True)
class ListOps(Task):
    """Evaluate an expression of `gap` tokens; see the top of the file."""

    axis: ClassVar[str] = "length (tokens)"

    max_depth: int = dataclasses.field(default=10, kw_only=True)
    max_args: int = dataclasses.field(default=10, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_depth", "max_args"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}: expected at least 2, got {getattr(self, name)}")
        if self.gap > (most := self._capacities[0] + 3):
            raise ValueError(f"gap: expected at most {most} with max_depth and max_args as they are, got {self.gap}")

    @property
    def least_gap(self) -> int:
        return 4

    @property
    def num_tokens(self) -> int:
        return _BLANK + 1

    @property
    def num_classes(self) -> int:
        return 10

    @property
    def num_steps(self) -> int:
        return self.gap

    @property
    def distance(self) -> int:
        """What lies between the first operator and the last bracket."""
        return self.gap - 2

    @property
    def readout(self) -> Readout:
        return "last"

    @property
    def chance(self) -> float:
        return 0.1

    @property
    def memoryless_loss(self) -> float:
        return math.log(10.0)

    @property
    def _capacities(self) -> list[int]:
        """Of each level, how many more tokens than one an argument there can take; none more than `gap`."""
        found = [0]
        for _ in range(self.max_depth - 1):
            found.append(min(self.gap, self.max_args + 1 + self.max_args * found[-1]))
        return found[::-1]

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Answers, uniform and independent, and an expression for each."""
        wanted_key, key = jax.random.split(key)
        return self._batch(jax.random.randint(wanted_key, (batch_size,), 0, 10), key)

    def held_out(self, size: int) -> Batch:
        """Each answer equally often."""
        if not self.draws_as(ListOps):
            return super().held_out(size)
        wanted_key, key = jax.random.split(held_out_key())
        return self._batch(balanced(wanted_key, 1, size, 10)[0], key)

    def _batch(self, wanted: Int32[Array, " B"], key: Key[Array, ""]) -> Batch:
        batch_size = len(wanted)
        tokens, answers = self._expressions(key, _POOL[0] * batch_size + _POOL[1])
        chosen = _matching(answers, wanted)
        ones = jnp.ones((1, batch_size))
        return Batch(tokens[:, chosen], answers[chosen][None], ones, ones)

    def _expressions(self, key: Key[Array, ""], size: int) -> tuple[Int32[Array, "T N"], Int32[Array, " N"]]:
        """(tokens with blanks in front, values)."""
        levels = self.max_depth - 1
        nothing = jnp.zeros((levels, size), jnp.int32)
        unset = jnp.full((levels, self.max_args, size), -1, jnp.int32)
        zero = nothing[0]
        start = _Stack(zero, nothing, nothing, unset, zero + (self.gap - 1), zero - 1)
        uniforms = jax.random.uniform(key, (self.gap, 4, size))
        stack, tokens = jax.lax.scan(self._step, start, uniforms)
        places = jnp.arange(self.gap)[:, None] - stack.room
        shifted = jnp.take_along_axis(tokens, jnp.maximum(places, 0), axis=0)
        return jnp.where(places < 0, _BLANK, shifted), stack.answer

    def _step(self, stack: _Stack, uniforms: Float[Array, "4 B"]) -> tuple[_Stack, Int32[Array, " B"]]:
        """The next token: a bracket where all arguments are there, else a new argument."""
        levels = jnp.arange(self.max_depth - 1)[:, None]
        top = levels == stack.depth - 1
        is_done = (stack.depth == 0) & (stack.answer >= 0)
        is_close = (stack.depth > 0) & (jnp.where(top, stack.left, 0).sum(axis=0) == 0)
        is_argument = ~is_done & ~is_close
        left = stack.left - (top & is_argument).astype(jnp.int32)
        num_args = self._num_args(stack, left, uniforms)
        is_open = is_argument & (num_args > 0)
        operator, digit = (uniforms[2] * 4).astype(jnp.int32), (uniforms[3] * 10).astype(jnp.int32)

        closed = _value(*(jnp.where(top[:, None] if each.ndim == 3 else top, each, 0).sum(axis=0)
                          for each in (stack.operator, stack.values)))  # fmt: skip
        depth = stack.depth + is_open.astype(jnp.int32) - is_close.astype(jnp.int32)
        new = is_open & (levels == stack.depth)  # the level that opens has no arguments yet
        taker = (is_argument & ~is_open & top) | (is_close & (levels == stack.depth - 2))
        free = jnp.cumsum(stack.values < 0, axis=1) == 1
        values = jnp.where(taker[:, None] & free & (stack.values < 0), jnp.where(is_close, closed, digit), stack.values)
        after = _Stack(
            depth,
            jnp.where(new, num_args, left),
            jnp.where(new, operator, stack.operator),
            jnp.where(new[:, None], -1, values),
            stack.room - jnp.where(is_open, num_args + 1, 0),
            jnp.where(is_close, closed, stack.answer),
        )
        argument = jnp.where(is_open, _OPERATOR + operator, digit)
        return after, jnp.where(is_done, _BLANK, jnp.where(is_close, _CLOSE, argument))

    def _num_args(self, stack: _Stack, left: Int32[Array, "L B"], uniforms: Float[Array, "4 B"]) -> Int32[Array, " B"]:
        """How many arguments an expression here gets; 0: a digit stands here.

        What is still to come always can take what is left of the length, but for two tokens.
        """
        capacities = jnp.array([*self._capacities, 0], jnp.int32)
        is_open = jnp.arange(self.max_depth - 1)[:, None] < stack.depth
        others = jnp.where(is_open, left * capacities[1:-1, None], 0).sum(axis=0)
        fits = (stack.room >= 3) & (stack.depth < self.max_depth - 1)
        is_wanted = (uniforms[0] < _NESTED) | (others < stack.room - 2)
        most = jnp.minimum(self.max_args, stack.room - 1)
        drawn = jnp.minimum(2 + (uniforms[1] * (most - 1).astype(jnp.float32)).astype(jnp.int32), most)
        is_enough = others + drawn * capacities[stack.depth + 1] >= stack.room - drawn - 3
        return jnp.where(fits & is_wanted, jnp.where(is_enough, drawn, most), 0)

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "1 B"]:
        """Evaluate from the inside, with a list of lists."""
        answers = []
        for column in inputs.T.tolist():
            stack: list[list[int]] = [[]]
            for token in column:
                if token < _OPERATOR:
                    stack[-1].append(token)
                elif token < _CLOSE:
                    stack.append([token])
                elif token == _CLOSE:
                    operator, *values = stack.pop()
                    stack[-1].append(_evaluated(OPERATORS[operator - _OPERATOR], values))
            answers.append(stack[0][0])
        return np.array([answers], inputs.dtype)

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """The expression and its value."""
        return f"{elide([word for word in self.words(inputs) if word != '_'], 48)} = {int(targets[-1])}"

    def words(self, inputs: Integer[np.ndarray, " T"]) -> list[str]:
        """Digits, operators with the bracket that they open, closing brackets; `_` for a blank."""
        names = [*map(str, range(10)), *(f"[{name}" for name in OPERATORS), "]", "_"]
        return [names[token] for token in np.asarray(inputs).tolist()]


def _value(operator: Int32[Array, " B"], values: Int32[Array, "A B"]) -> Int32[Array, " B"]:
    """What an operator makes of its arguments; those of -1 are none."""
    is_there = values >= 0
    number = is_there.sum(axis=0)
    ordered = jnp.sort(jnp.where(is_there, values, 10), axis=0)
    middle = jnp.stack([jnp.maximum(number - 1, 0) // 2, number // 2])
    median = jnp.take_along_axis(ordered, jnp.minimum(middle, len(values) - 1), axis=0).sum(axis=0) // 2
    of_each = [values.max(axis=0), ordered[0], median, jnp.where(is_there, values, 0).sum(axis=0) % 10]
    return jnp.take_along_axis(jnp.stack(of_each), operator[None], axis=0)[0]


def _matching(answers: Int32[Array, " N"], wanted: Int32[Array, " B"]) -> Integer[Array, " B"]:
    """For each wanted answer the place of one, no place twice; where there is none any more, any place."""
    order = jnp.argsort(answers, stable=True)
    first = jnp.searchsorted(answers[order], wanted)
    of_kind = jnp.cumsum(jax.nn.one_hot(wanted, 10, dtype=jnp.int32), axis=0)
    rank = jnp.take_along_axis(of_kind, wanted[:, None], axis=1)[:, 0] - 1
    found = order[jnp.minimum(first + rank, len(answers) - 1)]
    return jnp.where(answers[found] == wanted, found, jnp.arange(len(wanted)))


def _evaluated(operator: str, values: list[int]) -> int:
    if operator == "MED":
        return int(np.median(values))
    if operator == "SM":
        return sum(values) % 10
    return max(values) if operator == "MAX" else min(values)
