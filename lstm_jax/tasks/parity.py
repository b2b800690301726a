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
import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, Key

from lstm_jax.choices import Readout
from lstm_jax.tasks.base import Batch, Task, elide


@dataclasses.dataclass(frozen=True)
class Parity(Task):
    """Say whether `gap` bits have an odd sum; see the top of the file."""

    axis: ClassVar[str] = "length (bits)"

    asked: Literal["last", "every"] = dataclasses.field(default="last", kw_only=True)

    @property
    def least_gap(self) -> int:
        return 2

    @property
    def num_tokens(self) -> int:
        return 2

    @property
    def num_classes(self) -> int:
        return 2

    @property
    def num_steps(self) -> int:
        return self.gap

    @property
    def distance(self) -> int:
        """What lies between the first bit and the last."""
        return self.gap - 2

    @property
    def readout(self) -> Readout:
        return self.asked

    @property
    def num_scored(self) -> int | None:
        return 1 if self.asked == "last" else self.gap - 1

    @property
    def chance(self) -> float:
        return 0.5

    @property
    def memoryless_loss(self) -> float:
        return math.log(2.0)

    @property
    def num_sequences(self) -> int | None:
        return 2**self.gap if self.draws_as(Parity) else None

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Bits, uniform and independent."""
        bits = jax.random.randint(key, (self.gap, batch_size), 0, 2)
        targets = jnp.cumsum(bits, axis=0) % 2
        targets = targets[-1:] if self.asked == "last" else targets
        weights = jnp.ones(targets.shape)
        weights = weights if self.asked == "last" else weights.at[0].set(0.0)
        return Batch(bits, targets, weights, weights)

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "S B"]:
        """Exclusive or."""
        answers = np.bitwise_xor.accumulate(inputs, axis=0)
        return answers[-1:] if self.asked == "last" else answers

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """The bits, and the last answer."""
        return f"{elide(self.words(inputs), 48)}: {'odd' if int(targets[-1]) else 'even'}"

    def events(self, inputs: Integer[np.ndarray, " T"]) -> list[int]:
        """The ones."""
        return np.flatnonzero(np.asarray(inputs)).tolist()
