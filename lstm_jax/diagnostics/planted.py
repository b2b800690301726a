"""Cells whose reason to stop is known, because it was put there: benchmarks/verdicts.py tries verdicts on them."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Real

from lstm_jax.cells.base import Cell, LinearParams
from lstm_jax.cells.initializers import linear_params


class LatchState(NamedTuple):
    """What is held, and how many steps there have been: a whole number as a float, so that it can be differentiated."""

    held: Float[Array, "*B H"]
    steps: Float[Array, "*B 1"]


@dataclasses.dataclass(frozen=True)
class Latch(Cell):
    """A memory that is written through a gate and read as it is:

        i = σ(x W_i + b_i)      g = tanh(x W_g + b_g)
        c' = keep * c + i * g   output = c'

    With keep = 1 nothing is lost, forwards or backwards. The other fields each plant a fault: `keep` below 1 a leak,
    dc'_(t+d) / dc_t = keep^d exactly; `cut` no gradient through every cut-th step; `levels` a state that is rounded to
    so many levels a unit, and passes no gradient on; `noise` of that standard deviation, new in each step; `frozen`
    weights and inputs that are not trained, so that distractors can't be kept out; `sensitivity` a keep of
    exp(-(sensitivity b_i)^2) instead, which is 1 at the start and lost by one large step.
    """

    keep: float = 1.0
    cut: int = 0
    levels: int = 0
    noise: float = 0.0
    frozen: bool = False
    sensitivity: float = 0.0

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LinearParams:
        """Fresh parameters; recurrent weights are there, and not used."""
        return linear_params("uniform", key, input_dim, self.hidden_dim, 2, dtype)

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> LatchState:
        """Nothing held."""
        return LatchState(jnp.zeros((*batch_shape, self.hidden_dim), dtype), jnp.zeros((*batch_shape, 1), dtype))

    def step(
        self, params: LinearParams, state: LatchState, x: Real[Array, "*B D"]
    ) -> tuple[LatchState, Float[Array, "*B H"]]:
        """One time step."""
        if self.frozen:
            params, x = jax.lax.stop_gradient((params, x))
        held, steps = state.held, state.steps + 1.0
        if self.cut:
            held = jnp.where(steps % self.cut == 0.0, jax.lax.stop_gradient(held), held)
        i, g = jnp.split(x @ params.w_ih + params.bias, 2, axis=-1)
        keep: Any = self.keep
        if self.sensitivity:
            keep = jnp.exp(-jnp.square(self.sensitivity * params.bias[: self.hidden_dim]))
        held = keep * held + jax.nn.sigmoid(i) * jnp.tanh(g)
        if self.noise:
            held = held + self.noise * jax.lax.stop_gradient(_noise(held, steps))
        if self.levels:
            held = jnp.round(held * self.levels) / self.levels  # of which the derivative is 0
        return LatchState(held, steps), held


class RegisterState(NamedTuple):
    """The last k inputs, the newest first."""

    held: Float[Array, "*B K H"]


@dataclasses.dataclass(frozen=True)
class Register(Cell):
    """A shift register: it holds x W + b of the last `length` steps, all of it its output, and nothing before."""

    length: int = 4

    @property
    def output_dim(self) -> int:
        """All that is held."""
        return self.length * self.hidden_dim

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LinearParams:
        """Fresh parameters; recurrent weights are there, and not used."""
        return linear_params("uniform", key, input_dim, self.hidden_dim, 1, dtype)

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> RegisterState:
        """Nothing held."""
        return RegisterState(jnp.zeros((*batch_shape, self.length, self.hidden_dim), dtype))

    def step(
        self, params: LinearParams, state: RegisterState, x: Real[Array, "*B D"]
    ) -> tuple[RegisterState, Float[Array, "*B O"]]:
        """One time step."""
        newest = x @ params.w_ih + params.bias
        held = jnp.concatenate([newest[..., None, :], state.held[..., :-1, :]], axis=-2)
        return RegisterState(held), held.reshape(*held.shape[:-2], self.output_dim)


def _noise(held: Array, steps: Array) -> Any:
    """Numbers that look like draws of N(0, 1): of a step, and of all digits of what is held."""
    units = jnp.arange(held.shape[-1], dtype=held.dtype)
    mixed = jnp.sin(held * 12989.8 + steps * 78.233 + units * 37.719) * 43758.5453
    uniform = mixed - jnp.floor(mixed)
    return jax.scipy.stats.norm.ppf(jnp.clip(uniform, 1e-4, 1.0 - 1e-4))
