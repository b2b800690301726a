"""The adding problem of Hochreiter & Schmidhuber 1997, "Long short-term memory", experiment 4, in its three forms.

Definition. Each step gives a number and a mark; two numbers are marked. At the end, what is their sum? `gap` is T, the
length of a sequence in steps. `markers` says which of the definitions in the literature it is:

    halves       one mark in each half: Arjovsky et al. 2016, Le et al. 2015, Tallec & Ollivier 2018 (the default)
    anywhere     two marks at any two steps: Bai et al. 2018 (TCN)
    hochreiter   the first mark is among the first 10 steps, the second among the first T/2 - 1: the original

    numbers in [0, 1), marks 0 and 1, the answer is the sum: T=4, halves
        number  0.5  0.9  0.1  0.3
        mark      0    1    1    0
        target                 1.0      = 0.9 + 0.1

In the original, numbers are from [-1, 1), the first and the last step have the mark -1, the answer is 0.5 + sum / 4, a
first number that gets marked counts as 0 and keeps its -1, and lengths are drawn from T to T + T/10: what follows the
end is zeros, without weight.

Chance is the error of the best constant, the variance of the answer: 1/6 of a sum of two numbers in [0, 1), about 1/24
of the original's. Solved at 1% of it, 0.00167 (Hochreiter & Schmidhuber: all errors below 0.04 in 2,000 sequences). A
solver without memory sees the last step alone: where that is marked, half of the sum.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, Key

from lstm_jax.choices import Readout
from lstm_jax.tasks.base import Batch, Task, elide
from lstm_jax.tasks.kinds import Reals, Vectors


@dataclasses.dataclass(frozen=True)
class Adding(Task):
    """Add the two marked numbers of T = `gap`; see the top of the file."""

    axis: ClassVar[str] = "length (time steps)"
    inputs = Vectors(2)
    outputs = Reals(1)

    markers: Literal["halves", "anywhere", "hochreiter"] = dataclasses.field(default="halves", kw_only=True)

    @property
    def least_gap(self) -> int:
        return 6 if self.markers == "hochreiter" else 2

    @property
    def num_steps(self) -> int:
        """T; of the original the longest, T + T/10."""
        return self.gap + self.gap // 10 if self.markers == "hochreiter" else self.gap

    @property
    def distance(self) -> int:
        """What lies between the first step and the last one: as far as a marked number may be away."""
        return self.num_steps - 2

    @property
    def readout(self) -> Readout:
        return "every" if self.markers == "hochreiter" else "last"

    @property
    def num_scored(self) -> int | None:
        return 1

    @property
    def chance(self) -> float:
        """1/6; of the original (2 - p) / 48, where p is how often the first step, which counts as 0, is chosen."""
        if self.markers != "hochreiter":
            return 1.0 / 6.0
        first, second = self._windows
        zero = 1.0 / first + (1.0 - 1.0 / first) / (second - 1)
        return (2.0 - zero) / 48.0

    @property
    def memoryless_loss(self) -> float:
        """Chance, less 1/12 as often as the last step is marked."""
        if self.markers == "hochreiter":
            return self.chance
        return 1.0 / 6.0 - (2.0 / self.gap if self.markers == "anywhere" else 1.0 / (self.gap - self.gap // 2)) / 12.0

    @property
    def _windows(self) -> tuple[int, int]:
        """Of the original: among how many first steps the first and the second mark are."""
        second = self.gap // 2 - 1
        return min(10, second), second

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Numbers and places, uniform and independent."""
        number_key, place_key, length_key = jax.random.split(key, 3)
        steps = jnp.arange(self.num_steps)[:, None]
        is_marked = (steps[:, None] == self._places(place_key, batch_size)).any(axis=1)
        values = jax.random.uniform(number_key, is_marked.shape)
        if self.markers == "hochreiter":
            last = jax.random.randint(length_key, (batch_size,), self.gap - 1, self.num_steps)
            return self._original(2.0 * values - 1.0, is_marked & (steps > 0), last)
        marks = is_marked.astype(values.dtype)
        ones = jnp.ones((1, batch_size))
        sums = (values * marks).sum(axis=0, keepdims=True)
        return Batch(jnp.stack([values, marks], axis=-1), sums[..., None], ones, ones)

    def _places(self, key: Key[Array, ""], batch_size: int) -> Int32[Array, "2 B"]:
        """Two different steps."""
        first_key, second_key = jax.random.split(key)
        if self.markers == "halves":
            half = self.gap // 2
            first = jax.random.randint(first_key, (batch_size,), 0, half)
            return jnp.stack([first, jax.random.randint(second_key, (batch_size,), half, self.gap)])
        windows = (self.gap, self.gap) if self.markers == "anywhere" else self._windows
        first = jax.random.randint(first_key, (batch_size,), 0, windows[0])
        second = jax.random.randint(second_key, (batch_size,), 0, windows[1] - 1)
        return jnp.stack([first, second + (second >= first).astype(second.dtype)])

    def _original(self, values: Float[Array, "T B"], is_marked: Bool[Array, "T B"], last: Int32[Array, " B"]) -> Batch:
        steps = jnp.arange(self.num_steps)[:, None]
        is_last = steps == last
        marks = jnp.where((steps == 0) | is_last, -1.0, is_marked.astype(values.dtype))
        inputs = jnp.where((steps <= last)[..., None], jnp.stack([values, marks], axis=-1), 0.0)
        answers = 0.5 + jnp.where(is_marked, values, 0.0).sum(axis=0) / 4.0
        weights = is_last.astype(values.dtype)
        return Batch(inputs, jnp.broadcast_to(answers, values.shape)[..., None], weights, weights)

    def solve(self, inputs: Float[np.ndarray, "T B 2"]) -> Float[np.ndarray, "S B 1"]:
        """Add the numbers that are marked with 1."""
        marked = np.where(inputs[..., 1:] == 1.0, inputs[..., :1], 0.0)
        sums: Float[np.ndarray, "1 B 1"] = marked.sum(axis=0, keepdims=True)
        if self.markers == "hochreiter":
            return np.broadcast_to(0.5 + sums / 4.0, (len(inputs), *sums.shape[1:]))
        return sums

    def show(self, inputs: Float[np.ndarray, "T 2"], targets: Float[np.ndarray, "S 1"]) -> str:
        """Numbers, the marked ones with a star, and the answer."""
        return f"{elide(self.words(inputs), 24)} = {float(targets[-1, 0]):.2f}"

    def words(self, inputs: Float[np.ndarray, "T 2"]) -> list[str]:
        """The numbers; a mark of 1 is a star, one of -1 a bar."""
        signs = {1.0: "*", -1.0: "|", 0.0: ""}
        return [f"{number:.2f}{signs[mark]}" for number, mark in np.asarray(inputs).tolist()]

    def events(self, inputs: Float[np.ndarray, "T 2"]) -> list[int]:
        """The marked steps."""
        return np.flatnonzero(np.asarray(inputs)[:, 1] == 1.0).tolist()
