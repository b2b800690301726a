"""The coupled oscillatory RNN: units that swing, forced by inputs and by each other."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from lstm_jax.cells.base import HiddenState, LinearParams, PointwiseCell
from lstm_jax.cells.initializers import input_weights, recurrent_weights


@dataclasses.dataclass(frozen=True)
class CoRNN(PointwiseCell):
    """Coupled oscillators of positions y and velocities z:

        z' = z + dt (tanh(x W + b + y R_y + z R_z) - gamma y - epsilon z)      y' = y + dt z'

    The recurrent weights `[2 H, H]` multiply both, so the hidden state `[*B, 2 H]` is y, then z, side by side; the
    output is y', `[*B, H]`. `gamma` is the frequency, `epsilon` the damping. All three numbers are tuned in the paper;
    the defaults are those of its sequential MNIST.

    Rusch & Mishra 2021, "Coupled oscillatory recurrent neural network (coRNN)", equation 3, with the damping of the
    old velocity, as in the authors' code.
    """

    num_gates: ClassVar[int] = 1
    dt: float = dataclasses.field(default=0.042, kw_only=True)
    gamma: float = dataclasses.field(default=2.7, kw_only=True)
    epsilon: float = dataclasses.field(default=4.7, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.dt > 0.0:
            raise ValueError(f"dt: expected a time step above 0, got {self.dt}")

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LinearParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        input_key, hidden_key = jax.random.split(key)
        both = recurrent_weights(self.initialization, hidden_key, self.hidden_dim, 2, dtype)
        return LinearParams(
            input_weights(self.initialization, input_key, input_dim, self.hidden_dim, 1, dtype),
            jnp.concatenate(jnp.split(both, 2, axis=1)),
            jnp.zeros(self.hidden_dim, dtype),
        )

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> HiddenState:
        return HiddenState(jnp.zeros((*batch_shape, 2 * self.hidden_dim), dtype))

    def update(
        self, params: LinearParams, state: HiddenState, x_proj: Float[Array, "*B H"], h_proj: Float[Array, "*B H"]
    ) -> tuple[HiddenState, Float[Array, "*B H"]]:
        y, z = jnp.split(state.hidden, 2, axis=-1)
        z = z + self.dt * (jnp.tanh(x_proj + h_proj) - self.gamma * y - self.epsilon * z)
        y = y + self.dt * z
        return HiddenState(jnp.concatenate([y, z], axis=-1)), y
