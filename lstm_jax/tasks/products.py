"""Products of elements of a group, one after the other: what `parity` and `state_tracking` share."""

from __future__ import annotations

import abc
import dataclasses
import itertools
import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, Key
from numpy.typing import NDArray

from lstm_jax.choices import Readout
from lstm_jax.tasks.base import Batch, Task


@dataclasses.dataclass(frozen=True)
class Products(Task):
    """Multiply `gap` elements of a group, uniform and independent: the product after the last, or after each.

    The first element is its own product: neither trained nor scored. Given the last element alone each product is as
    likely.
    """

    axis: ClassVar[str] = "length (elements)"

    asked: Literal["every", "last"] = dataclasses.field(default="every", kw_only=True)

    @property
    @abc.abstractmethod
    def table(self) -> NDArray[np.int32]:
        """`[one, other]`: the number of the element that is one, and then the other."""

    @property
    def least_gap(self) -> int:
        return 2

    @property
    def num_tokens(self) -> int:
        return len(self.table)

    @property
    def num_classes(self) -> int:
        return self.num_tokens

    @property
    def num_steps(self) -> int:
        return self.gap

    @property
    def distance(self) -> int:
        """What lies between the first element and the last."""
        return self.gap - 2

    @property
    def readout(self) -> Readout:
        return self.asked

    @property
    def num_scored(self) -> int | None:
        return 1 if self.asked == "last" else self.gap - 1

    @property
    def chance(self) -> float:
        return 1.0 / self.num_tokens

    @property
    def memoryless_loss(self) -> float:
        return math.log(self.num_tokens)

    @property
    def num_sequences(self) -> int | None:
        return self.num_tokens**self.gap if self.draws_as(Products) else None

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Elements, uniform and independent."""
        elements = jax.random.randint(key, (self.gap, batch_size), 0, self.num_tokens)
        table = jnp.asarray(self.table)
        targets: Array = jax.lax.associative_scan(lambda one, other: table[one, other], elements)
        if self.asked == "last":
            targets = targets[-1:]
        weights = jnp.ones(targets.shape)
        weights = weights if self.asked == "last" else weights.at[0].set(0.0)
        return Batch(elements, targets, weights, weights)

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "S B"]:
        """Multiply one after the other."""
        table = self.table
        answers = np.array(list(itertools.accumulate(inputs, lambda state, element: table[state, element])))
        return answers[-1:] if self.asked == "last" else answers
