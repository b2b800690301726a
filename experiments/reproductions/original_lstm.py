"""What Hochreiter & Schmidhuber 1997 trained, where no part of lstm_jax is the same: the cell, outputs and loss."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer, Key, Real

from lstm_jax.cells.base import Cell
from lstm_jax.tasks.adding import Adding
from lstm_jax.tasks.base import Batch
from lstm_jax.tasks.kinds import Classes, Reals, Vectors
from lstm_jax.tasks.temporal_order import TemporalOrder

BOUND = 0.1
"""Weights start in U(-0.1, 0.1)."""
SYMBOLS = "XYabcdEB"


class BlockParams(NamedTuple):
    """Weights of the inputs and of all hidden activations, N = 2 blocks' gates and H cells; biases."""

    w_ih: Float[Array, "D N"]
    w_hh: Float[Array, "N N"]
    bias: Float[Array, " N"]


class BlockState(NamedTuple):
    """Activations of all hidden units, input gates, output gates and cells, and the cell states."""

    hidden: Float[Array, "*B N"]
    cell: Float[Array, "*B H"]


@dataclasses.dataclass(frozen=True)
class MemoryBlocks(Cell):
    """Memory cells in blocks that share their gates, without a forget gate:

        i = σ(x W_i + a R_i + b_i)     o = σ(x W_o + a R_o + b_o)     one of each a block
        c' = c + i * (4 σ(x W_c + a R_c + b_c) - 2)                   y = o * (2 σ(c') - 1)

    where a, the activations of the step before, are those of gates and cells, all of which feed all. The first block's
    input bias starts at `first_bias`, each further one's at so much more. The output is y.

    Hochreiter & Schmidhuber 1997, "Long short-term memory", section 4 and appendix A.1. Their gradients are
    truncated at the gates; ours are whole.
    """

    block_size: int = dataclasses.field(default=2, kw_only=True)
    first_bias: float = dataclasses.field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block_size < 1 or self.hidden_dim % self.block_size:
            raise ValueError(f"block_size: expected a divisor of {self.hidden_dim} cells, got {self.block_size}")

    @property
    def num_blocks(self) -> int:
        return self.hidden_dim // self.block_size

    @property
    def num_units(self) -> int:
        """Gates and cells."""
        return 2 * self.num_blocks + self.hidden_dim

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> BlockParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        keys = jax.random.split(key, 3)
        shapes = ((input_dim, self.num_units), (self.num_units, self.num_units), (self.num_units,))
        w_ih, w_hh, bias = (
            jax.random.uniform(each, shape, dtype, -BOUND, BOUND) for each, shape in zip(keys, shapes, strict=True)
        )
        steps = self.first_bias * jnp.arange(1, self.num_blocks + 1, dtype=dtype)
        return BlockParams(w_ih, w_hh, bias.at[: self.num_blocks].add(steps))

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> BlockState:
        zeros = jnp.zeros((*batch_shape, self.num_units), dtype)
        return BlockState(zeros, zeros[..., : self.hidden_dim])

    def step(
        self, params: BlockParams, state: BlockState, x: Real[Array, "*B D"]
    ) -> tuple[BlockState, Float[Array, "*B H"]]:
        total = x @ params.w_ih + state.hidden @ params.w_hh + params.bias
        activations = jax.nn.sigmoid(total)
        i, o, g = jnp.split(activations, [self.num_blocks, 2 * self.num_blocks], axis=-1)
        write, read = (jnp.repeat(gate, self.block_size, axis=-1) for gate in (i, o))
        cell = state.cell + write * (4.0 * g - 2.0)
        output = read * (2.0 * jax.nn.sigmoid(cell) - 1.0)
        return BlockState(jnp.concatenate([i, o, output], axis=-1), cell), output


@dataclasses.dataclass(frozen=True)
class SigmoidReals(Reals):
    """A number in [0, 1] from a sigmoid output unit: half the squared error is the loss, all of it the score."""

    def losses(self, outputs: Float[Array, "S B C"], targets: Float[Array, "S B C"]) -> Float[Array, "S B"]:
        return 0.5 * self.scores(outputs, targets)

    def scores(self, outputs: Float[Array, "S B C"], targets: Float[Array, "S B C"]) -> Float[Array, "S B"]:
        return jnp.square(jax.nn.sigmoid(outputs) - targets.astype(outputs.dtype)).mean(axis=-1)


@dataclasses.dataclass(frozen=True)
class SigmoidClasses(Classes):
    """One sigmoid unit a class, target 1 for the right one: half the sum of squared errors.

    An answer is right if no unit errs by 0.3 or more, which is stricter than the largest output being the right one.
    """

    loss_name = "half squared error"

    def losses(self, outputs: Float[Array, "S B C"], targets: Integer[Array, "S B"]) -> Float[Array, "S B"]:
        return 0.5 * jnp.square(self._errors(outputs, targets)).sum(axis=-1)

    def scores(self, outputs: Float[Array, "S B C"], targets: Integer[Array, "S B"]) -> Float[Array, "S B"]:
        return (jnp.abs(self._errors(outputs, targets)) < 0.3).all(axis=-1).astype(outputs.dtype)

    def _errors(self, outputs: Float[Array, "S B C"], targets: Integer[Array, "S B"]) -> Float[Array, "S B C"]:
        return jax.nn.sigmoid(outputs) - jax.nn.one_hot(targets, self.width, dtype=outputs.dtype)


@dataclasses.dataclass(frozen=True)
class SigmoidAdding(Adding):
    """The adding problem with a sigmoid output."""

    outputs = SigmoidReals(1)


@dataclasses.dataclass(frozen=True)
class SigmoidOrder(TemporalOrder):
    """Temporal order with symbols as one-hot vectors, and a sigmoid output a class."""

    inputs = Vectors(len(SYMBOLS))

    @property
    def outputs(self) -> SigmoidClasses:
        return SigmoidClasses(self.num_classes)

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """As the parent's, each token a row of the identity."""
        batch = super().sample(key, batch_size)
        return batch._replace(inputs=jax.nn.one_hot(batch.inputs, len(SYMBOLS)))

    def solve(self, inputs: Float[np.ndarray, "T B 8"]) -> Integer[np.ndarray, "T B"]:
        return super().solve(inputs.argmax(axis=-1))

    def show(self, inputs: Float[np.ndarray, "T 8"], targets: Integer[np.ndarray, " S"]) -> str:
        return super().show(np.asarray(inputs).argmax(axis=-1), targets)
