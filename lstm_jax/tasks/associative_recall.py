"""Multi-query associative recall (MQAR) of Arora et al. 2023, "Zoology", section 3, as zoology's generator draws it.

Definition. `gap` pairs of a key and its value, all keys and all values of a sequence different; then, at random even
places of what is left of `length` steps, each key once more, and at each its value is asked for. A query stands s slots
of two steps after the pairs with a probability that falls as (s + 1)^(power - 1); no two have one slot. `filler` says
what stands elsewhere:

    blank     token 0: figure 2 of the paper (the default)
    random    any token, keys and values too: the default of the generator's code

    tokens    blank 0    keys 1 .. V/2 - 1    values V/2 .. V - 1
    V=12 (8,192 in the paper), gap=2, length=16:
        step      0   1   2   3   4   5   6   7   8   9  10  11  12  13  14  15
        input     2   8   4   7   0   0   4   0   0   0   0   0   2   0   0   0
        target                            7                       8

What a model has to hold grows with `gap`, the number of pairs. Figure 2 has 64 steps for 4 pairs, 128 for 8, 256 for
16: 16 a pair, as here unless `length` says otherwise (256 and 512 steps for 64 pairs come later in that work). Answers
are tokens, as there. Trained and scored at the queries alone. Chance level 1 over the V - V/2 values; without memory
its logarithm in nats.
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

STEPS_A_PAIR = 16


@dataclasses.dataclass(frozen=True)
class AssociativeRecall(Task):
    """Say the values of `gap` keys; see the top of the file."""

    axis: ClassVar[str] = "load (pairs)"

    num_symbols: int = dataclasses.field(default=8192, kw_only=True)
    length: int | None = dataclasses.field(default=None, kw_only=True)
    filler: Literal["blank", "random"] = dataclasses.field(default="blank", kw_only=True)
    power: float = dataclasses.field(default=0.01, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_steps % 2 or self.num_steps < 4 * self.gap:
            raise ValueError(f"length: expected an even number, at least 4 gap = {4 * self.gap}, got {self.length}")
        least = 2 * self.gap + 2
        if self.num_symbols < least:
            raise ValueError(f"num_symbols: expected at least 2 gap + 2 = {least}, got {self.num_symbols}")

    @property
    def num_tokens(self) -> int:
        """The blank, keys, values."""
        return self.num_symbols

    @property
    def num_classes(self) -> int:
        return self.num_symbols

    @property
    def num_steps(self) -> int:
        return STEPS_A_PAIR * self.gap if self.length is None else self.length

    @property
    def distance(self) -> int:
        """What lies between the first pair and the last slot."""
        return self.num_steps - 4

    @property
    def readout(self) -> Readout:
        return "every"

    @property
    def num_scored(self) -> int | None:
        """Each key once."""
        return self.gap

    @property
    def _first_value(self) -> int:
        return self.num_symbols // 2

    @property
    def chance(self) -> float:
        return 1.0 / (self.num_symbols - self._first_value)

    @property
    def memoryless_loss(self) -> float:
        return math.log(self.num_symbols - self._first_value)

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Keys, values and slots without repetition."""
        key_key, value_key, slot_key, filler_key = jax.random.split(key, 4)
        keys = 1 + self._chosen(key_key, self._first_value - 1, batch_size)
        values = self._first_value + self._chosen(value_key, self.num_symbols - self._first_value, batch_size)
        num_slots = self.num_steps // 2 - self.gap
        slots = self._chosen(slot_key, num_slots, batch_size, self.power - 1.0)
        pairs = jnp.stack([keys, values], axis=1).reshape(2 * self.gap, batch_size)
        steps, lanes = 2 * self.gap + 2 * slots, jnp.arange(batch_size)
        shape = (self.num_steps, batch_size)
        filler = jnp.zeros(shape, jnp.int32)
        if self.filler == "random":
            filler = jax.random.randint(filler_key, shape, 0, self.num_symbols)
        inputs = filler.at[: 2 * self.gap].set(pairs).at[steps, lanes].set(keys)
        weights = jnp.zeros(shape).at[steps, lanes].set(1.0)
        return Batch(inputs, jnp.zeros(shape, jnp.int32).at[steps, lanes].set(values), weights, weights)

    def _chosen(self, key: Key[Array, ""], number: int, batch_size: int, power: float = 0.0) -> Integer[Array, "G B"]:
        """`gap` different whole numbers below `number`, n with a weight of (n + 1)^power, in the order of the draws."""
        noise = jax.random.gumbel(key, (batch_size, number))
        weights = power * jnp.log1p(jnp.arange(number, dtype=noise.dtype))
        return jax.lax.top_k(noise + weights, self.gap)[1].T

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "T B"]:
        """Look each token up among the pairs; 0 where it is no key of theirs."""
        answers = np.zeros_like(inputs)
        for column, answer in zip(inputs.T, answers.T, strict=True):
            pairs = column[: 2 * self.gap].tolist()
            held = dict(zip(pairs[::2], pairs[1::2], strict=True))
            answer[:] = [held.get(token, 0) for token in column.tolist()]
        return answers

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """Pairs, then what follows, with the answers in brackets; `_` is blank."""
        words = self.words(inputs)
        pairs = [f"{words[place]}:{words[place + 1]}" for place in range(0, 2 * self.gap, 2)]
        rest = [f"{word}({int(answer)})" if answer else word for word, answer in zip(words, targets, strict=True)]
        return f"{elide(pairs, 8)} | {elide(rest[2 * self.gap :], 32)}"

    def words(self, inputs: Integer[np.ndarray, " T"]) -> list[str]:
        """The tokens' numbers; `_` for a blank."""
        return [str(token) if token else "_" for token in np.asarray(inputs).tolist()]
