"""The copying memory task of Arjovsky, Shah & Bengio 2016, "Unitary evolution recurrent neural networks", section 5.1.

Definition. `num_recalled` symbols out of `num_symbols`, then T - 1 blanks, a delimiter, and as many blanks as there
were symbols; the answer is blank until the delimiter has been seen, then the symbols in their order. T is the `gap`,
the steps between the last symbol and the first answer; each symbol comes T + `num_recalled` steps before its answer.

    tokens    symbols 0 .. S-1    blank S    delimiter S+1
    S=8, two symbols recalled (10 in the paper), T=3:
        step      0   1   2   3   4   5   6
        input     5   2   8   8   9   8   8
        target    8   8   8   8   8   5   2

The paper recalls 10 symbols of 8: T + 20 steps. TCN's copy task (trailing nines as real numbers) and S4's (several
markers) are other tasks under the same name, and figures are not comparable.

Chance level 1/S, scored at the recall positions. Trained on all positions, as in the paper. A solver without memory
answers blank, and guesses after the delimiter: its loss over the whole sequence is 10 ln 8 / (T + 20) nats, which
*falls* as T grows with nothing learned; at the recall positions it is ln 8 for every T.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, Key

from lstm_jax.choices import Readout
from lstm_jax.tasks.base import Batch, Task, balanced, elide, held_out_key


@dataclasses.dataclass(frozen=True)
class Copy(Task):
    """Recall `num_recalled` symbols after T = `gap` steps; see the top of the file."""

    num_symbols: int = dataclasses.field(default=8, kw_only=True)
    num_recalled: int = dataclasses.field(default=10, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_symbols < 2:
            raise ValueError(f"num_symbols: expected at least 2, got {self.num_symbols}")
        if self.num_recalled < 1:
            raise ValueError(f"num_recalled: expected at least 1, got {self.num_recalled}")

    @property
    def num_tokens(self) -> int:
        """Symbols, blank, delimiter."""
        return self.num_symbols + 2

    @property
    def num_classes(self) -> int:
        """Symbols and blank."""
        return self.num_symbols + 1

    @property
    def num_steps(self) -> int:
        return self.gap + 2 * self.num_recalled

    @property
    def distance(self) -> int:
        """T + `num_recalled`, the difference of indices between a symbol and its answer."""
        return self.gap + self.num_recalled

    @property
    def readout(self) -> Readout:
        return "every"

    @property
    def chance(self) -> float:
        return 1.0 / self.num_symbols

    @property
    def memoryless_loss(self) -> float:
        """10 ln 8 / (T + 20) nats, over the whole sequence."""
        return self.num_recalled * math.log(self.num_symbols) / self.num_steps

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Symbols, uniform and independent."""
        return self._batch(jax.random.randint(key, (self.num_recalled, batch_size), 0, self.num_symbols))

    @property
    def num_sequences(self) -> int | None:
        """One for each row of symbols."""
        return self.num_symbols**self.num_recalled if self.draws_as(Copy) else None

    @property
    def num_scored(self) -> int | None:
        """The recalled symbols."""
        return self.num_recalled if self.draws_as(Copy) else None

    def held_out(self, size: int) -> Batch:
        """Each symbol equally often at each recalled position."""
        if not self.draws_as(Copy):
            return super().held_out(size)
        return self._batch(balanced(held_out_key(), self.num_recalled, size, self.num_symbols))

    def _batch(self, symbols: Integer[Array, "R B"]) -> Batch:
        batch_size = symbols.shape[1]

        def blanks(num_steps: int) -> Array:
            return jnp.full((num_steps, batch_size), self.num_symbols)

        delimiter = jnp.full((1, batch_size), self.num_symbols + 1)
        inputs = jnp.concatenate([symbols, blanks(self.gap - 1), delimiter, blanks(self.num_recalled)])
        targets = jnp.concatenate([blanks(self.gap + self.num_recalled), symbols])
        recall = jnp.zeros(targets.shape).at[-self.num_recalled :].set(1.0)
        return Batch(inputs, targets, jnp.ones(targets.shape), recall)

    def solve(self, inputs: Integer[np.ndarray, "T B"]) -> Integer[np.ndarray, "T B"]:
        """Blanks, then the symbols from before the blanks."""
        answers = np.full_like(inputs, self.num_symbols)
        answers[-self.num_recalled :] = inputs[: self.num_recalled]
        return answers

    def show(self, inputs: Integer[np.ndarray, " T"], targets: Integer[np.ndarray, " S"]) -> str:
        """Inputs above targets; `_` is blank, `:` the delimiter."""
        lines = [("input ", inputs), ("target", targets)]
        names = [*(str(symbol) for symbol in range(self.num_symbols)), "_", ":"]
        return "\n".join(f"{title} {elide([names[token] for token in tokens], 48)}" for title, tokens in lines)
