"""State tracking: the word problem of a group, from Merrill, Petty & Sabharwal 2024, "The illusion of state in
state-space models", section 5.

Definition. `gap` elements of a group, uniform and independent; what is the product of all so far? `asked` says whether
after each of them, as in the paper (the default), or after the last alone. `group` is one of

    a5     the even permutations of five things, 60 elements: not solvable, complete for NC1 (the default)
    a4z5   A4 x Z5, 60 elements: solvable, not abelian
    z60    counting modulo 60: abelian
    s5     all permutations of five things, 120 elements

The products of a permutation p and then q is q after p. Elements are numbered in the order of their permutations as
Python sorts them; in z60 by what they count, in a4z5 5 a + z.

    z60, T=4
        step      0   1   2   3
        input    50   7  20   1
        target   50  57  17  18

What a model has learnt at one length shows at a longer one (`python -m experiments.generalization`). Scored, and
trained, from the second step on. Chance level 1 over the number of elements; given the last element alone, each product
is as likely: its logarithm in nats.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Literal

import numpy as np
from jaxtyping import Integer
from numpy.typing import NDArray

from lstm_jax.tasks.base import elide
from lstm_jax.tasks.products import Products

Group = Literal["a5", "a4z5", "z60", "s5"]


@dataclasses.dataclass(frozen=True)
class StateTracking(Products):
    """Multiply `gap` elements of a group; see the top of the file."""

    group: Group = dataclasses.field(default="a5", kw_only=True)

    @property
    def table(self) -> NDArray[np.int32]:
        """That of the group."""
        return products(self.group)

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """The elements, and their product."""
        return f"{elide(self.words(inputs), 24)} = {int(targets[-1])} in {self.group.upper()}"


@functools.cache
def products(group: Group) -> NDArray[np.int32]:
    """`[one, other]`: the number of the element that is one, and then the other."""
    if group == "z60":
        hours = np.arange(60, dtype=np.int32)
        return np.add.outer(hours, hours) % 60
    if group == "a4z5":
        first, second = (
            _permutations(4, even=True),
            np.add.outer(np.arange(5, dtype=np.int32), np.arange(5, dtype=np.int32)) % 5,
        )
        table: NDArray[np.int32] = 5 * np.repeat(np.repeat(first, 5, 0), 5, 1) + np.tile(second, (12, 12))
        return table
    return _permutations(5, even=group == "a5")


def _permutations(num_things: int, even: bool) -> NDArray[np.int32]:
    """The table of the permutations of so many things, or of the even ones."""
    found = [each for each in itertools.permutations(range(num_things)) if not even or _is_even(each)]
    number = {each: place for place, each in enumerate(found)}
    rows = [[number[tuple(other[thing] for thing in one)] for other in found] for one in found]
    return np.array(rows, np.int32)


def _is_even(permutation: tuple[int, ...]) -> bool:
    return sum(one > other for one, other in itertools.combinations(permutation, 2)) % 2 == 0
