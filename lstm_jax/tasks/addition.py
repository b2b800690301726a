"""Add two numbers of `gap` digits, which needs a carry to be remembered from digit to digit.

    gap=3      12 + 993 = 1005      source  2 1 0 + 3 9 9 <eos>      target  5 0 0 1 <eos>

Numbers have their least significant digit first, so that each digit of the sum can be said from what is known (Zaremba
& Sutskever 2015, "Learning to execute", reverse the input for the same reason); leading zeros are written. Digits of
both numbers are uniform. The sum has gap + 1 digits, of which all but the last are uniform too: chance, the best
constant answer, is 0 for all.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, Key

from lstm_jax.models.base import Pair
from lstm_jax.tasks.base import Batch, balanced, elide, held_out_key
from lstm_jax.tasks.symbol_pairs import NUM_SPECIAL, SymbolPairs, answer_of, symbols_of

_PLUS = 10


@dataclasses.dataclass(frozen=True)
class Addition(SymbolPairs):
    """Add two numbers of `gap` digits; see the top of the file."""

    axis: ClassVar[str] = "length (digits)"

    @property
    def num_tokens(self) -> int:
        """The special tokens, ten digits and the plus sign."""
        return NUM_SPECIAL + 11

    @property
    def num_classes(self) -> int:
        return self.num_tokens

    @property
    def num_steps(self) -> int:
        """Source and target, each with EOS."""
        return 3 * self.gap + 4

    @property
    def chance(self) -> float:
        """A tenth of all digits but the last, and (1 + 10^-gap) / 2 of the last."""
        return (0.1 * self.gap + (1.0 + 10.0**-self.gap) / 2.0) / (self.gap + 1)

    @property
    def memoryless_loss(self) -> float:
        """ln 10 at each digit but the last; of that the entropy given the digit before; nothing at EOS."""
        is_zero = [(digit + 0.5) / 10.0 + 0.5 * 10.0**-self.gap for digit in range(10)]
        last = sum(-p * math.log(p) - (1.0 - p) * math.log1p(-p) for p in is_zero if p < 1.0) / 10.0
        return (self.gap * math.log(10.0) + last) / (self.gap + 2)

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Digits, uniform and independent."""
        addends = jax.random.randint(key, (2, self.gap, batch_size), 0, 10)
        digits, carry = _carried(addends.sum(axis=0))
        plus = jnp.full((1, batch_size), _PLUS, addends.dtype)
        return self.batch(jnp.concatenate([addends[0], plus, addends[1]]), jnp.concatenate([digits, carry[None]]))

    @property
    def num_sequences(self) -> int | None:
        """Pairs of addends."""
        return 100**self.gap if self.draws_as(Addition) else None

    @property
    def num_scored(self) -> int | None:
        """The digits of the sum."""
        return self.gap + 1 if self.draws_as(Addition) else None

    def held_out(self, size: int) -> Batch:
        """Each digit equally often at each place of the sum but the last, which is 0 as often as chance says."""
        if not self.draws_as(Addition):
            return super().held_out(size)
        sum_key, *keys = jax.random.split(held_out_key(), 3)
        total = balanced(sum_key, self.gap, size, 10)
        # A sum and one number, both uniform, say the other, and a carry: of two such numbers, one without.
        ones = [jax.random.randint(key, total.shape, 0, 10) for key in keys]
        others, carries = zip(*(_carried(total - one) for one in ones), strict=True)
        carry = [each < 0 for each in carries]
        wanted = round(size * (1.0 - 10.0**-self.gap) / 2.0)
        excess = carry[0].sum() - wanted
        fewer, more = carry[0] & ~carry[1], ~carry[0] & carry[1]
        swapped = (fewer & (jnp.cumsum(fewer) <= excess)) | (more & (jnp.cumsum(more) <= -excess))
        one, other = (jnp.where(swapped, pair[1], pair[0]) for pair in (ones, others))
        plus = jnp.full((1, size), _PLUS, total.dtype)
        last = jnp.where(swapped, carry[1], carry[0]).astype(total.dtype)
        return self.batch(jnp.concatenate([one, plus, other]), jnp.concatenate([total, last[None]]))

    def solve(self, inputs: Pair) -> Integer[np.ndarray, "S B"]:
        """By the whole numbers of Python."""
        columns = []
        for symbols in symbols_of(np.asarray(inputs.source)).T.tolist():
            one, other = (_number(digits) for digits in (symbols[: self.gap], symbols[self.gap + 1 :]))
            columns.append([(one + other) // 10**place % 10 for place in range(self.gap + 1)])
        return answer_of(np.array(columns).T)

    def show(self, inputs: Pair, targets: Integer[np.ndarray, " S"]) -> str:
        """Source above target, as the model reads and writes them."""
        names = [*(str(digit) for digit in range(10)), "+"]
        lines = (("source", inputs.source), ("target", targets))
        return "\n".join(f"{name} {elide([names[token - NUM_SPECIAL] for token in row[:-1]])}" for name, row in lines)


def _carried(sums: Integer[Array, "N B"]) -> tuple[Integer[Array, "N B"], Integer[Array, " B"]]:
    """(digits, what is carried in the end) of what adding, or subtracting, digit by digit gives."""

    def add(carry: Array, digits: Array) -> tuple[Array, Array]:
        total = digits + carry
        return total // 10, total % 10

    carry, digits = jax.lax.scan(add, jnp.zeros(sums.shape[1], sums.dtype), sums)
    return digits, carry


def _number(digits: list[int]) -> int:
    return sum(digit * 10**place for place, digit in enumerate(digits))
