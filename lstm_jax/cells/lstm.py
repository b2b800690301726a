"""The LSTM of the literature, with an explicit forget bias."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from lstm_jax.cells.base import LinearParams, PointwiseCell
from lstm_jax.cells.initializers import chrono_bias, linear_params


class LSTMState(NamedTuple):
    """Hidden state, then cell state; Flax's carry has them the other way round."""

    hidden: Float[Array, "*B H"]
    cell: Float[Array, "*B H"]


@dataclasses.dataclass(frozen=True)
class LSTM(PointwiseCell):
    """Long short-term memory, gates side by side in the order i, f, g, o:

        i = σ(x W_i + b_i + h R_i)      f = σ(x W_f + b_f + h R_f)
        g = tanh(x W_g + b_g + h R_g)   o = σ(x W_o + b_o + h R_o)
        c' = f * c + i * g              h' = o * tanh(c')

    `forget_bias` is what b_f starts at (Gers et al. 2000; Jozefowicz et al. 2015 recommend 1, the default); nothing
    is added inside a step. `chrono` draws b_f = log U(1, gap - 1) and b_i = -b_f instead (Tallec & Ollivier 2018,
    equation 16) and is told the gap, the steps to be bridged.

    Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000. PyTorch's `nn.LSTM` has a second bias,
    which adds to b; `nnx.LSTMCell` starts all biases at zero, Haiku adds 1 to f inside the step.
    """

    num_gates: ClassVar[int] = 4
    forget_bias: float = dataclasses.field(default=1.0, kw_only=True)
    chrono: bool = dataclasses.field(default=False, kw_only=True)
    gap: int | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chrono and self.forget_bias != 1.0:
            raise ValueError("chrono=true draws the forget bias: leave out forget_bias")

    @property
    def initial_forget_bias(self) -> float | None:
        """`forget_bias`, or None with chrono initialisation."""
        return None if self.chrono else self.forget_bias

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LinearParams:
        """Fresh parameters for inputs `[..., input_dim]`; raises ValueError for chrono without a gap."""
        weights_key, bias_key = jax.random.split(key)
        params = linear_params(self.initialization, weights_key, input_dim, self.hidden_dim, self.num_gates, dtype)
        input_bias = jnp.zeros(self.hidden_dim, dtype)
        forget_bias = jnp.full(self.hidden_dim, self.forget_bias, dtype)
        if self.chrono:
            forget_bias = chrono_bias(bias_key, self.hidden_dim, self.gap, dtype)
            input_bias = -forget_bias
        zeros = jnp.zeros(2 * self.hidden_dim, dtype)
        return params._replace(bias=jnp.concatenate([input_bias, forget_bias, zeros]))

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> LSTMState:
        zeros = jnp.zeros((*batch_shape, self.hidden_dim), dtype)
        return LSTMState(zeros, zeros)

    def update(
        self, params: LinearParams, state: LSTMState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[LSTMState, Float[Array, "*B H"]]:
        i, f, g, o = jnp.split(x_proj + h_proj, self.num_gates, axis=-1)
        cell = jax.nn.sigmoid(f) * state.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return LSTMState(hidden, cell), hidden
