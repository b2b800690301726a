"""Parity: is the number of ones odd?

Definition. `gap` bits, uniform and independent; is the sum of them odd? `asked` says where:

    last     after all of them: Hochreiter & Schmidhuber 1997; Deletang et al. 2023, "Neural networks and the Chomsky
             hierarchy", who train on lengths to 40 and test on lengths to 500 (the default)
    every    after each of them, of those before and it

    T=5, every
        step      0   1   2   3   4
        input     1   0   1   1   0
        target    1   1   0   1   1

Each bit has to be counted, and none more than once: what a model has learnt at one length shows at a longer one
(`python -m experiments.generalization`). Chance level 1/2. A solver without memory sees the last bit, which says
nothing of the sum of two or more; scored, and trained, from the second step on.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Integer
from numpy.typing import NDArray

from lstm_jax.tasks.base import elide
from lstm_jax.tasks.products import Products


@dataclasses.dataclass(frozen=True)
class Parity(Products):
    """Say whether `gap` bits have an odd sum; see the top of the file."""

    axis: ClassVar[str] = "length (bits)"

    asked: Literal["every", "last"] = dataclasses.field(default="last", kw_only=True)

    @property
    def table(self) -> NDArray[np.int32]:
        """Exclusive or."""
        return np.array([[0, 1], [1, 0]], np.int32)

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """The bits, and the last answer."""
        return f"{elide(self.words(inputs), 48)}: {'odd' if int(targets[-1]) else 'even'}"

    def events(self, inputs: Integer[np.ndarray, " T"]) -> list[int]:
        """The ones."""
        return np.flatnonzero(np.asarray(inputs)).tolist()
