"""What kind of number a task's inputs and outputs are, and what is a loss, a score and a solved task of the latter."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer, Shaped
from numpy.typing import NDArray

from lstm_jax.tasks.solved import SOLVED_ACCURACY, SOLVED_SHARE, luck


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Inputs `[T, B]`: whole numbers from 0 to `num_tokens` - 1, which a model embeds, in a width of its own."""

    num_tokens: int
    width: ClassVar[None] = None

    def __post_init__(self) -> None:
        _check_number("num_tokens", self.num_tokens)

    def check(self, inputs: jax.ShapeDtypeStruct) -> None:
        """Raise ValueError for inputs of another shape or kind of number."""
        if inputs.ndim != 2 or not jnp.issubdtype(inputs.dtype, jnp.integer):
            raise ValueError(f"inputs: expected tokens, integers [T, B], got {inputs.dtype}{list(inputs.shape)}")


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Inputs `[T, B, width]`: numbers that a model takes as they are, without an embedding."""

    width: int
    num_tokens: ClassVar[None] = None

    def __post_init__(self) -> None:
        _check_number("width", self.width)

    def check(self, inputs: jax.ShapeDtypeStruct) -> None:
        """Raise ValueError for inputs of another shape."""
        if inputs.ndim != 3 or inputs.shape[-1] != self.width:
            raise ValueError(f"inputs: expected vectors, [T, B, {self.width}], got {list(inputs.shape)}")


@dataclasses.dataclass(frozen=True)
class Outputs(abc.ABC):
    """What is asked at a step: how a model's outputs `[S, B, width]` become a loss, and the score that counts.

    Loss and score of a run are means over the steps that count. A score has a direction, from what guessing scores,
    the task's `chance`, to what counts as solved.
    """

    score_name: ClassVar[str] = "score"
    loss_name: ClassVar[str] = "loss"

    width: int
    """How many numbers a model puts out at each step."""

    def __post_init__(self) -> None:
        _check_number("width", self.width)

    @abc.abstractmethod
    def losses(self, outputs: Float[Array, "S B C"], targets: Any) -> Float[Array, "S B"]:
        """The loss of each answer, which training makes less."""

    @abc.abstractmethod
    def scores(self, outputs: Float[Array, "S B C"], targets: Any) -> Float[Array, "S B"]:
        """The score of each answer."""

    @abc.abstractmethod
    def solved_at(self, chance: float) -> float:
        """The score that counts as solved, above chance or below it; raises ValueError for no level of chance."""

    def luck(self, num_answers: NDArray[np.int64], chance: float, solved_at: float) -> NDArray[np.float64]:
        """How probably guessing scores as well as solved on so many answers; 0 where nobody has worked it out."""
        del chance, solved_at
        return np.zeros(num_answers.shape)

    def check(self, targets: jax.ShapeDtypeStruct) -> None:
        """Raise ValueError for targets of another shape or kind of number."""
        if targets.ndim != 3 or targets.shape[-1] != self.width:
            raise ValueError(f"targets: expected [S, B, {self.width}], got {list(targets.shape)}")


@dataclasses.dataclass(frozen=True)
class Classes(Outputs):
    """One of `width` answers, targets `[S, B]`: cross-entropy in nats, and the share that is right."""

    score_name: ClassVar[str] = "accuracy"
    loss_name: ClassVar[str] = "loss (nats)"

    def losses(self, outputs: Float[Array, "S B C"], targets: Integer[Array, "S B"]) -> Float[Array, "S B"]:
        losses: Array = optax.softmax_cross_entropy_with_integer_labels(outputs, targets)
        return losses

    def scores(self, outputs: Float[Array, "S B C"], targets: Integer[Array, "S B"]) -> Float[Array, "S B"]:
        return (jnp.argmax(outputs, axis=-1) == targets).astype(jnp.float32)

    def solved_at(self, chance: float) -> float:
        return _accuracy(chance)

    def luck(self, num_answers: NDArray[np.int64], chance: float, solved_at: float) -> NDArray[np.float64]:
        return luck(num_answers, chance, solved_at)

    def check(self, targets: jax.ShapeDtypeStruct) -> None:
        if targets.ndim != 2 or not jnp.issubdtype(targets.dtype, jnp.integer):
            raise ValueError(f"targets: expected integers [S, B], got {targets.dtype}{list(targets.shape)}")


@dataclasses.dataclass(frozen=True)
class Labels(Outputs):
    """Each of `width` labels or not, targets `[S, B, width]` of 0 and 1: the share of labels that is right.

    The loss is the cross-entropy of a label in nats, a mean over labels.
    """

    score_name: ClassVar[str] = "label accuracy"
    loss_name: ClassVar[str] = "loss (nats)"

    def losses(self, outputs: Float[Array, "S B C"], targets: Shaped[Array, "S B C"]) -> Float[Array, "S B"]:
        losses: Array = optax.sigmoid_binary_cross_entropy(outputs, targets.astype(outputs.dtype))
        return losses.mean(axis=-1)

    def scores(self, outputs: Float[Array, "S B C"], targets: Shaped[Array, "S B C"]) -> Float[Array, "S B"]:
        return ((outputs > 0) == targets.astype(bool)).astype(jnp.float32).mean(axis=-1)

    def solved_at(self, chance: float) -> float:
        return _accuracy(chance)

    def luck(self, num_answers: NDArray[np.int64], chance: float, solved_at: float) -> NDArray[np.float64]:
        return luck(num_answers * self.width, chance, solved_at)


@dataclasses.dataclass(frozen=True)
class Reals(Outputs):
    """Real numbers, targets `[S, B, width]`: loss and score are the squared error, a mean over the width.

    Chance is the error of the best constant answer, the variance of the targets. Solved is a hundredth of it.
    """

    score_name: ClassVar[str] = "MSE"
    loss_name: ClassVar[str] = "MSE"

    width: int = 1

    def losses(self, outputs: Float[Array, "S B C"], targets: Float[Array, "S B C"]) -> Float[Array, "S B"]:
        return jnp.square(outputs - targets.astype(outputs.dtype)).mean(axis=-1)

    def scores(self, outputs: Float[Array, "S B C"], targets: Float[Array, "S B C"]) -> Float[Array, "S B"]:
        return self.losses(outputs, targets)

    def solved_at(self, chance: float) -> float:
        if not 0.0 < chance < float("inf"):
            raise ValueError(f"expected a chance level above 0, the variance of the targets, got {chance}")
        return SOLVED_SHARE * chance

    def luck(self, num_answers: NDArray[np.int64], chance: float, solved_at: float) -> NDArray[np.float64]:
        """Of targets that are normal: the sum of squares about their mean, in variances, is chi-squared."""
        from scipy import special

        probability: NDArray[np.float64] = special.chdtr(num_answers, num_answers * (solved_at / chance))
        return probability


def _check_number(name: str, number: int) -> None:
    if number < 1:
        raise ValueError(f"{name}: expected at least 1, got {number}")


def _accuracy(chance: float) -> float:
    if not 0.0 <= chance < SOLVED_ACCURACY:
        raise ValueError(f"expected a chance level in [0, {SOLVED_ACCURACY}), got {chance}")
    return SOLVED_ACCURACY
