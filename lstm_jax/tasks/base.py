"""What a task is: sequences with a known dependency distance, a chance level and, but for text, a scripted solver."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, Integer, Key, Shaped, UInt32

from lstm_jax.choices import Form, Readout
from lstm_jax.models.base import Pair
from lstm_jax.tasks.kinds import Classes, Outputs, Tokens, Vectors


class Batch(NamedTuple):
    """Sequences and what is asked of them, time-major.

    Inputs are tokens or vectors, and targets what the task's `outputs` ask for. Targets are given at S steps: all T of
    them, or the last one, as the task's `readout` says; of a pair, at each step of the prefix. `weights` says where the
    training loss counts, `recall` where memory is scored; both are 0 or 1.
    """

    inputs: Integer[Array, "T B"] | Shaped[Array, "T B D"] | Pair
    targets: Integer[Array, "S B"] | Shaped[Array, "S B C"]
    weights: Float[Array, "S B"]
    recall: Float[Array, "S B"]


class Said(NamedTuple):
    """A sequence that a person has put into words, and the words of each step."""

    inputs: Integer[np.ndarray, " T"]
    words: list[str]


MANY = 16
"""A task with so many times the sequences of a held-out set can spare them: no run trains on any."""


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """A family of sequences at one distance: a frozen dataclass whose `gap` is the distance in time steps.

    `gap` counts the steps that lie between what is to be remembered and where it is first asked for: an answer at step
    t is of what ended at step t - gap - 1. A task whose `gap` counts something else says so by its `axis`, which
    figures, tables and captions are labelled by.
    What a new task has to say is abstract. The rest has a default: batches of one shape that know nothing of each
    other, a held-out set from the same distribution, nothing said of how many sequences there are, nothing written.
    """

    axis: ClassVar[str] = "gap (time steps)"
    """The name of what `gap` counts, and its unit in brackets."""

    gap: int

    def __post_init__(self) -> None:
        if self.gap < self.least_gap:
            raise ValueError(f"gap: expected at least {self.least_gap}, got {self.gap}")

    @property
    def least_gap(self) -> int:
        """The smallest `gap` that there are sequences of, with these settings."""
        return 1

    @property
    def distance(self) -> int:
        """The steps over which a model has to hold what it is asked for, which a cell with a field `gap` is given.

        `gap`, one less than the difference of indices, unless a task says otherwise.
        """
        return self.gap

    @property
    def inputs(self) -> Tokens | Vectors:
        """What a model is given at each step: tokens, `num_tokens` of them, unless a task says otherwise."""
        return Tokens(self.num_tokens)

    @property
    def outputs(self) -> Outputs:
        """What is asked of it, with loss and score: one of `num_classes` answers, unless a task says otherwise."""
        return Classes(self.num_classes)

    @property
    def num_tokens(self) -> int:
        """The size of the input vocabulary; not asked for where `inputs` are vectors."""
        raise TypeError(f"{type(self).__name__}: expected num_tokens, or inputs")

    @property
    def num_classes(self) -> int:
        """How many answers there are; not asked for where `outputs` are of another kind."""
        raise TypeError(f"{type(self).__name__}: expected num_classes, or outputs")

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
    def readout(self) -> Readout:
        """Whether targets are given at every step or at the last."""

    @property
    @abc.abstractmethod
    def chance(self) -> float:
        """The score of guessing at recall positions: of classes the accuracy, of numbers the variance of targets."""

    @property
    def solved_at(self) -> float:
        """The score that counts as solved: on the other side of it than `chance` is, or it, a run has solved."""
        return self.outputs.solved_at(self.chance)

    def is_solved(self, score: float) -> bool:
        """Whether a score counts as solved; NaN does not."""
        solved_at = self.solved_at
        return score >= solved_at if solved_at > self.chance else score <= solved_at

    @property
    @abc.abstractmethod
    def memoryless_loss(self) -> float:
        """The least training loss that a solver without memory reaches, averaged as `Batch.weights` says."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """`batch_size` fresh sequences; a pure function of the key, so it runs inside a jitted program."""

    @property
    def num_sequences(self) -> int | None:
        """How many sequences there are, all equally likely; None where that is not known."""
        return None

    @property
    def num_scored(self) -> int | None:
        """How many answers of a sequence are scored; None where sequences differ."""
        return 1 if self.readout == "last" else None

    @property
    def shape_shares(self) -> tuple[float, ...]:
        """How often a training batch has each of the task's shapes (length buckets), fractions that add up to 1."""
        return (1.0,)

    def shape_key(self, batch_key: Key[Array, ""], step: Int32[Array, ""]) -> Key[Array, ""]:
        """The key that an update's shape is drawn by."""
        del step
        return jax.random.fold_in(batch_key, 0)

    def train_batch(self, key: Key[Array, ""], step: Int32[Array, ""], batch_size: int, shape: int) -> Batch:
        """The batch of update `step`, from 0; `shape` is an index of `shape_shares`, and static."""
        del step, shape
        return self.sample(key, batch_size)

    def segments(self, batch_size: int) -> int | None:
        """After how many updates the sequences begin anew, where each batch goes on from the one before; else None."""
        del batch_size
        return None

    def held_out(self, size: int) -> Batch:
        """`size` sequences that runs are scored on, the same for all runs.

        No run trains on one of them where the task has MANY times as many (`keeps_apart`); else a run sees a share of
        them, which `seen_share` says. Where one answer a sequence is scored, no constant answer scores more than
        chance: the sequences are chosen so from up to four times as many.
        """
        if self.readout != "last" or not isinstance(self.outputs, Classes):
            return self.sample(held_out_key(), size)
        pool = self.sample(held_out_key(), 2 * size + min(2 * size, math.ceil(16 / self.chance)))
        chosen = _evenly(pool.targets[0], size, self.chance)
        batch: Batch = jax.tree.map(lambda leaf: leaf[:, chosen], pool)
        return batch

    def keeps_apart(self, size: int) -> bool | None:
        """Whether runs leave the held-out sequences out of training; None: if the held-out set hardly repeats itself.

        A task that makes its own training batches sees to that itself.
        """
        if self._makes_batches:
            return False
        return None if self.num_sequences is None else self.num_sequences >= MANY * size

    def seen_share(self, size: int, num_drawn: int) -> float | None:
        """The share of the held-out set that a run of so many sequences has probably trained on; None: not known."""
        number = self.num_sequences
        if number is None or self._makes_batches:
            return None
        if self.keeps_apart(size):
            return 0.0
        return 1.0 if number == 1 else -math.expm1(num_drawn * math.log1p(-1.0 / number))

    @property
    def _makes_batches(self) -> bool:
        return type(self).train_batch is not Task.train_batch

    def draws_as(self, kind: type[Any]) -> bool:
        """Whether its sequences are those of `kind`: a class that is derived from it may draw others."""
        return type(self).sample is kind.sample

    def answers(self, model: Any) -> dict[str, list[dict[str, Any]]]:
        """What a trained model answers, as tables for the record: rows of plain values by column."""
        del model
        return {}

    def solve(self, inputs: Any) -> Integer[np.ndarray, "S B"] | Shaped[np.ndarray, "S B C"]:
        """The right answers, found from the inputs alone by a script: what the task asks can be done."""
        raise NotImplementedError(f"{type(self).__name__}: no script solves this task")

    @abc.abstractmethod
    def show(self, inputs: Any, targets: Any) -> str:
        """One sequence as a person would read it."""

    def words(self, inputs: Integer[np.ndarray, " T"]) -> list[str]:
        """What each step of a sequence says, in a word or two: the tokens' numbers unless a task knows better."""
        return [str(token) for token in inputs.tolist()]

    def events(self, inputs: Integer[np.ndarray, " T"]) -> list[int]:
        """The steps that the answer depends on."""
        del inputs
        return []

    def read(self, sentence: str) -> Said:
        """The sequence that a sentence of a person's says; raises ValueError that says what is understood."""
        raise ValueError(f"sentence: {type(self).__name__} reads no sentences; expected none")


def held_out_key() -> Key[Array, ""]:
    """The key of the held-out set: runs fold 0 into the key of their seed."""
    return jax.random.fold_in(jax.random.key(0), 1)


def fingerprints(batch: Batch) -> UInt32[Array, " B"]:
    """A number for each sequence, or source: the same for the same, once in 2^31 for another, and never 0."""
    inputs = batch.inputs.source if isinstance(batch.inputs, Pair) else batch.inputs
    if jnp.issubdtype(inputs.dtype, jnp.floating):  # its bits, for a fraction is 0 as a whole number
        inputs = jax.lax.bitcast_convert_type(inputs.astype(jnp.float32), jnp.uint32)
    factors = (
        np.random.default_rng(0).integers(2**31, size=(len(inputs), 1, *inputs.shape[2:]), dtype=np.uint32) * 2 + 1
    )
    return (inputs.astype(jnp.uint32) * factors).sum(axis=(0, *range(2, inputs.ndim)), dtype=jnp.uint32) | 1


def balanced(key: Key[Array, ""], num_rows: int, size: int, num_values: int) -> Integer[Array, "R B"]:
    """Symbols from 0, in random order: in each row, and over all rows, each equally often, or once more."""
    rows = jnp.arange(num_rows * size).reshape(num_rows, size) % num_values
    return jax.random.permutation(key, rows, axis=1, independent=True)


def _evenly(answers: Integer[Array, " N"], size: int, chance: float) -> Integer[Array, " B"]:
    """The places of `size` answers of which none comes more often than by chance, as far as there are enough others."""
    order = jnp.argsort(answers, stable=True)
    ordered = answers[order]
    of_its_kind = jnp.arange(len(answers)) - jnp.searchsorted(ordered, ordered)  # how many equal ones came before
    expected = size * chance
    least, most = math.floor(expected + 1e-9), math.ceil(expected - 1e-9)
    over = (of_its_kind >= least).astype(jnp.int32) + (of_its_kind >= most).astype(jnp.int32)
    return jnp.argsort(jnp.zeros_like(over).at[order].set(over), stable=True)[:size]


def elide(words: list[str], limit: int = 16) -> str:
    """Words joined by spaces; a long list is cut in the middle and says how much is missing."""
    if len(words) <= limit:
        return " ".join(words)
    half = limit // 2
    return " ".join([*words[:half], f"... ({len(words) - 2 * half} more) ...", *words[-half:]])
