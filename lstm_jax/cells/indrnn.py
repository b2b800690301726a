"""The independently recurrent network: each unit remembers itself alone."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Real

from lstm_jax.cells.base import Cell, HiddenState, Init
from lstm_jax.cells.initializers import input_weights

GROWTH = 2.0
"""The most that a unit may grow over the gap, at the start: gamma in the paper."""


class IndRNNParams(NamedTuple):
    """Weights of the inputs, their bias, and the one recurrent weight of each unit."""

    w_ih: Float[Array, "D H"]
    bias: Float[Array, " H"]
    recurrent: Float[Array, " H"]


@dataclasses.dataclass(frozen=True)
class IndRNN(Cell):
    """Independently recurrent network: h' = s(x W + b + u * h), where s is the `activation`, relu or tanh.

    The recurrent weights u start in U(0, 2^(1/gap)), so that no unit grows more than twofold over the gap, the steps
    to be bridged; in U(0, 1) where no gap is told. With `long_memory` none of them shrinks more than by half either:
    U(2^(-1/gap), 2^(1/gap)), as the paper has it in the last layer of its adding problem.

    Li et al. 2018, "Independently recurrent neural network (IndRNN)", equation 2. The paper also clips
    |u| after each update, which no cell can do here.
    """

    activation: Literal["relu", "tanh"] = dataclasses.field(default="relu", kw_only=True)
    long_memory: bool = dataclasses.field(default=False, kw_only=True)
    gap: int | None = dataclasses.field(default=None, kw_only=True)
    initialization: Init = dataclasses.field(default="uniform", kw_only=True, metadata={"setting": "init"})

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> IndRNNParams:
        """Fresh parameters for inputs `[..., input_dim]`; raises ValueError for `long_memory` without a gap."""
        if self.long_memory and self.gap is None:
            raise ValueError("long_memory=true needs to be told the gap: give gap=...")
        input_key, recurrent_key = jax.random.split(key)
        most = 1.0 if self.gap is None else GROWTH ** (1.0 / max(self.gap, 1))
        least = 1.0 / most if self.long_memory else 0.0
        return IndRNNParams(
            input_weights(self.initialization, input_key, input_dim, self.hidden_dim, 1, dtype),
            jnp.zeros(self.hidden_dim, dtype),
            jax.random.uniform(recurrent_key, (self.hidden_dim,), dtype, least, most),
        )

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> HiddenState:
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_dim), dtype))

    def step(
        self, params: IndRNNParams, state: HiddenState, x: Real[Array, "*B D"]
    ) -> tuple[HiddenState, Float[Array, "*B H"]]:
        total = x @ params.w_ih + params.bias + params.recurrent * state.hidden
        hidden = jax.nn.relu(total) if self.activation == "relu" else jnp.tanh(total)
        return HiddenState(hidden), hidden
