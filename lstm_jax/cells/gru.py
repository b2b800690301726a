"""The gated recurrent unit, with reset after or before the recurrent matmul."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Real

from lstm_jax.cells.base import HiddenState, LinearParams, PointwiseCell
from lstm_jax.cells.initializers import chrono_bias, linear_params


class GRUParams(NamedTuple):
    """`LinearParams`, and `bias_hn`: the bias of the candidate that the reset gate multiplies."""

    w_ih: Float[Array, "D GH"]
    w_hh: Float[Array, "H GH"]
    bias: Float[Array, " GH"]
    bias_hn: Float[Array, " H"]


@dataclasses.dataclass(frozen=True)
class GRU(PointwiseCell):
    """Gated recurrent unit, gates side by side in the order r, z, n:

        r = σ(x W_r + b_r + h R_r)      z = σ(x W_z + b_z + h R_z)
        n = tanh(x W_n + b_n + r * (h R_n + b_hn))      reset="after", as cuDNN and PyTorch
        n = tanh(x W_n + b_n + (r * h) R_n)             reset="before", as Cho et al. 2014
        h' = (1 - z) * n + z * h

    `update_bias` is what b_z starts at: z keeps the state, so it plays the part of an LSTM's forget bias. `chrono`
    draws it as log U(1, gap - 1) instead (Tallec & Ollivier 2018) and is told the gap, the steps to be bridged.

    With reset before the matmul the step is no longer linear maps plus a pointwise update, there is no b_hn, and the
    parameters are `LinearParams`. Cho et al. 2014 swap the roles of z and 1 - z. `nnx.GRUCell` resets after the
    matmul and has no b_hn; PyTorch's `nn.GRU` has second biases for r and z, which add to b.
    """

    num_gates: ClassVar[int] = 3
    update_bias: float = dataclasses.field(default=0.0, kw_only=True)
    reset: Literal["after", "before"] = dataclasses.field(default="after", kw_only=True)
    chrono: bool = dataclasses.field(default=False, kw_only=True)
    gap: int | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chrono and self.update_bias != 0.0:
            raise ValueError("chrono=true draws the update bias: leave out update_bias")

    @property
    def initial_forget_bias(self) -> float | None:
        """`update_bias`, or None with chrono initialisation."""
        return None if self.chrono else self.update_bias

    @property
    def is_pointwise(self) -> bool:
        """Whether the reset gate comes after the matmul."""
        return self.reset == "after"

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> GRUParams | LinearParams:
        """Fresh parameters for inputs `[..., input_dim]`; raises ValueError for chrono without a gap."""
        weights_key, bias_key = jax.random.split(key)
        params = linear_params(self.initialization, weights_key, input_dim, self.hidden_dim, self.num_gates, dtype)
        zeros = jnp.zeros(self.hidden_dim, dtype)
        update_bias = jnp.full(self.hidden_dim, self.update_bias, dtype)
        if self.chrono:
            update_bias = chrono_bias(bias_key, self.hidden_dim, self.gap, dtype)
        params = params._replace(bias=jnp.concatenate([zeros, update_bias, zeros]))
        return GRUParams(*params, bias_hn=zeros) if self.reset == "after" else params

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> HiddenState:
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_dim), dtype))

    def update(
        self, params: GRUParams, state: HiddenState, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[HiddenState, Float[Array, "*B H"]]:
        """Gates, candidate, hidden state, with reset after the matmul."""
        x_r, x_z, x_n = jnp.split(x_proj, self.num_gates, axis=-1)
        h_r, h_z, h_n = jnp.split(h_proj, self.num_gates, axis=-1)
        r = jax.nn.sigmoid(x_r + h_r)
        return _mix(jax.nn.sigmoid(x_z + h_z), jnp.tanh(x_n + r * (h_n + params.bias_hn)), state)

    def step(self, params: Any, state: HiddenState, x: Real[Array, "*B D"]) -> tuple[HiddenState, Float[Array, "*B H"]]:
        """One time step, with the reset where `reset` says."""
        if self.reset == "after":
            return super().step(params, state, x)
        x_r, x_z, x_n = jnp.split(x @ params.w_ih + params.bias, self.num_gates, axis=-1)
        w_r, w_z, w_n = jnp.split(params.w_hh, self.num_gates, axis=-1)
        r = jax.nn.sigmoid(x_r + state.hidden @ w_r)
        z = jax.nn.sigmoid(x_z + state.hidden @ w_z)
        return _mix(z, jnp.tanh(x_n + (r * state.hidden) @ w_n), state)


def _mix(z: Array, n: Array, state: HiddenState) -> tuple[HiddenState, Array]:
    hidden = (1.0 - z) * n + z * state.hidden
    return HiddenState(hidden), hidden
