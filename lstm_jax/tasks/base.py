"""What a task is: sequences with a known dependency distance, a chance level and, but for text, a scripted solver."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int32, Integer, Key

from lstm_jax.models.base import Form, Pair


class Batch(NamedTuple):
    """Sequences and what is asked of them, time-major.

    Targets are given at S steps: all T of them, or the last one, as the task's `readout` says; of a pair, at each step
    of the prefix. `weights` says where the training loss counts, `recall` where memory is scored; both are 0 or 1.
    """

    inputs: Integer[Array, "T B"] | Pair
    targets: Integer[Array, "S B"]
    weights: Float[Array, "S B"]
    recall: Float[Array, "S B"]


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """A family of token sequences at one distance: a frozen dataclass whose `gap` is the distance in time steps.

    What a new task has to say is abstract. The rest has a default: batches of one shape that know nothing of each
    other, a held-out set from the same distribution, nothing written.
    """

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
    def form(self) -> Form:
        """What kind of model its batches are for: `models.Form`."""
        return "sequence"

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

    @property
    def shape_shares(self) -> tuple[float, ...]:
        """How often a training batch has each of the task's shapes (length buckets), fractions that add up to 1."""
        return (1.0,)

    def train_batch(self, key: Key[Array, ""], step: Int32[Array, ""], batch_size: int, shape: int) -> Batch:
        """The batch of update `step`, from 0; `shape` is an index of `shape_shares`, and static."""
        del step, shape
        return self.sample(key, batch_size)

    def segments(self, batch_size: int) -> int | None:
        """After how many updates the sequences begin anew, where each batch goes on from the one before; else None."""
        del batch_size
        return None

    def held_out(self, size: int) -> Batch:
        """`size` sequences that no run trains on, the same for all runs."""
        # Runs fold 0 into the key of their seed.
        return self.sample(jax.random.fold_in(jax.random.key(0), 1), size)

    def answers(self, model: Any) -> dict[str, list[dict[str, Any]]]:
        """What a trained model answers, as tables for the record: rows of plain values by column."""
        del model
        return {}

    def solve(self, inputs: Any) -> Integer[np.ndarray, "S B"]:
        """The right answers, found from the inputs alone by a script: what the task asks can be done."""
        raise NotImplementedError(f"{type(self).__name__}: no script solves this task")

    @abc.abstractmethod
    def show(self, inputs: Any, targets: Integer[np.ndarray, " S"]) -> str:
        """One sequence as a person would read it."""


def elide(words: list[str], limit: int = 16) -> str:
    """Words joined by spaces; a long list is cut in the middle and says how much is missing."""
    if len(words) <= limit:
        return " ".join(words)
    half = limit // 2
    return " ".join([*words[:half], f"... ({len(words) - 2 * half} more) ...", *words[-half:]])
