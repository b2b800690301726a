"""What a task is: sequences with a known dependency distance, a chance level and a scripted solver."""

from __future__ import annotations

import abc
import dataclasses
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Integer, Key


class Batch(NamedTuple):
    """Sequences and what is asked of them, time-major.

    Targets are given at S steps: all T of them, or the last one, as the task's `readout` says. `weights` says where
    the training loss counts, `recall` where memory is scored; both are 0 or 1.
    """

    inputs: Integer[Array, "T B"]
    targets: Integer[Array, "S B"]
    weights: Float[Array, "S B"]
    recall: Float[Array, "S B"]


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """A family of token sequences at one distance: a frozen dataclass whose `gap` is the distance in time steps."""

    gap: int

    def __post_init__(self) -> None:
        if self.gap < 1:
            raise ValueError(f"gap: expected at least 1, got {self.gap}")

    @property
    @abc.abstractmethod
    def num_tokens(self) -> int:
        """The size of the input vocabulary."""

    @property
    @abc.abstractmethod
    def num_classes(self) -> int:
        """How many answers there are."""

    @property
    @abc.abstractmethod
    def num_steps(self) -> int:
        """T, the length of a sequence in time steps."""

    @property
    @abc.abstractmethod
    def readout(self) -> Literal["every", "last"]:
        """Whether targets are given at every step or at the last."""

    @property
    @abc.abstractmethod
    def chance(self) -> float:
        """The accuracy of guessing at recall positions, a fraction."""

    @property
    @abc.abstractmethod
    def memoryless_loss(self) -> float:
        """The least training loss that a solver without memory reaches, in nats, averaged as `Batch.weights` says."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """`batch_size` fresh sequences; a pure function of the key, so it runs inside a jitted program."""

    @abc.abstractmethod
    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "S B"]:
        """The right answers, found from the inputs alone by a script: what the task asks can be done."""

    @abc.abstractmethod
    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """One sequence as a person would read it."""


def elide(words: list[str], limit: int = 16) -> str:
    """Words joined by spaces; a long list is cut in the middle and says how much is missing."""
    if len(words) <= limit:
        return " ".join(words)
    half = limit // 2
    return " ".join([*words[:half], f"... ({len(words) - 2 * half} more) ...", *words[-half:]])
