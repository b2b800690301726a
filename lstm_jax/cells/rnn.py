"""The vanilla recurrent network (Elman 1990)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from lstm_jax.cells.base import HiddenState, LinearParams, PointwiseCell
from lstm_jax.cells.initializers import linear_params


@dataclasses.dataclass(frozen=True)
class RNN(PointwiseCell):
    """Vanilla RNN: h' = tanh(x W + b + h R), or with `activation` relu, h' = max(0, x W + b + h R).

    Elman 1990, "Finding structure in time". With relu and `initialization` identity it is the IRNN of Le et al. 2015.
    PyTorch's `nn.RNN` has a second bias, which adds to b; `nnx.SimpleCell` is the same cell.
    """

    num_gates: ClassVar[int] = 1
    activation: Literal["tanh", "relu"] = dataclasses.field(default="tanh", kw_only=True, metadata={"before": "tanh"})

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LinearParams:
        return linear_params(self.initialization, key, input_dim, self.hidden_dim, self.num_gates, dtype)

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> HiddenState:
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_dim), dtype))

    def update(
        self, params: LinearParams, state: HiddenState, x_proj: Float[Array, "*B H"], h_proj: Float[Array, "*B H"]
    ) -> tuple[HiddenState, Float[Array, "*B H"]]:
        hidden = jnp.tanh(x_proj + h_proj) if self.activation == "tanh" else jax.nn.relu(x_proj + h_proj)
        return HiddenState(hidden), hidden
