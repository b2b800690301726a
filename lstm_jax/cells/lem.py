"""Long expressive memory: two states, each with learned time steps of its own."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Real

from lstm_jax.cells.base import Cell, Init
from lstm_jax.cells.initializers import input_weights, recurrent_weights


class LEMParams(NamedTuple):
    """Linear maps of the inputs, four gates wide, of the hidden state, three, and of the memory, one."""

    w_ih: Float[Array, "D 4H"]
    w_hh: Float[Array, "H 3H"]
    w_mh: Float[Array, "H H"]
    bias: Float[Array, " 4H"]


class LEMState(NamedTuple):
    """The hidden state, y in the paper, and the memory, z."""

    hidden: Float[Array, "*B H"]
    memory: Float[Array, "*B H"]


@dataclasses.dataclass(frozen=True)
class LEM(Cell):
    """Long expressive memory, gates side by side in the order s, r, m, y:

        s = dt σ(x W_s + b_s + h R_s)                  r = dt σ(x W_r + b_r + h R_r)
        m' = (1 - s) * m + s * tanh(x W_m + b_m + h R_m)
        h' = (1 - r) * h + r * tanh(x W_y + b_y + m' R_y)

    R_y reads the new memory, so there are two matrix products in a row, and the step is no pointwise update. `dt` is
    the longest time step, tuned in the paper.

    Rusch, Mishra, Erichson & Mahoney 2022, "Long expressive memory for sequence modeling", equation 3. Their code
    draws biases as it does weights, from U(-1/sqrt(H), 1/sqrt(H)), and so does `init`, whatever the menu's weights.
    """

    dt: float = dataclasses.field(default=1.0, kw_only=True)
    initialization: Init = dataclasses.field(default="uniform", kw_only=True, metadata={"setting": "init"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.dt <= 1.0:
            raise ValueError(f"dt: expected a time step in (0, 1], got {self.dt}")

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LEMParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        input_key, hidden_key, memory_key, bias_key = jax.random.split(key, 4)
        bound = self.hidden_dim**-0.5
        return LEMParams(
            input_weights(self.initialization, input_key, input_dim, self.hidden_dim, 4, dtype),
            recurrent_weights(self.initialization, hidden_key, self.hidden_dim, 3, dtype),
            recurrent_weights(self.initialization, memory_key, self.hidden_dim, 1, dtype),
            jax.random.uniform(bias_key, (4 * self.hidden_dim,), dtype, -bound, bound),
        )

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> LEMState:
        zeros = jnp.zeros((*batch_shape, self.hidden_dim), dtype)
        return LEMState(zeros, zeros)

    def step(self, params: LEMParams, state: LEMState, x: Real[Array, "*B D"]) -> tuple[LEMState, Float[Array, "*B H"]]:
        x_s, x_r, x_m, x_y = jnp.split(x @ params.w_ih + params.bias, 4, axis=-1)
        h_s, h_r, h_m = jnp.split(state.hidden @ params.w_hh, 3, axis=-1)
        s, r = self.dt * jax.nn.sigmoid(x_s + h_s), self.dt * jax.nn.sigmoid(x_r + h_r)
        memory = (1.0 - s) * state.memory + s * jnp.tanh(x_m + h_m)
        hidden = (1.0 - r) * state.hidden + r * jnp.tanh(x_y + memory @ params.w_mh)
        return LEMState(hidden, memory), hidden
