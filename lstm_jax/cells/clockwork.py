"""The clockwork RNN: modules of units that tick at periods of 1, 2, 4, ... steps."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Key, Real

from lstm_jax.cells.base import Cell, Init
from lstm_jax.cells.initializers import linear_params


class ClockworkParams(NamedTuple):
    """Weights of the inputs, bias, and for each module those from itself and all slower ones, `[H - first, width]`."""

    w_ih: Float[Array, "D H"]
    w_hh: tuple[Float[Array, "F W"], ...]
    bias: Float[Array, " H"]


class ClockworkState(NamedTuple):
    """The hidden state, and the number of the step to come, from 0, modulo the longest period."""

    hidden: Float[Array, "*B H"]
    phase: Float[Array, "*B"]


@dataclasses.dataclass(frozen=True)
class Clockwork(Cell):
    """Clockwork RNN: units in `modules`, the fastest first, of which module k has the period 2^k:

        h'_k = tanh(x W_k + b_k + Σ_{j >= k} h_j R_jk)      at steps t = 0, 2^k, 2 * 2^k, ...
        h'_k = h_k                                          at all others

    so a module hears itself and the slower ones. Modules are as equal in size as the units allow, with at least one
    unit: with fewer units than modules there are as many modules as units. All modules tick at the first step.

    Koutnik, Greff, Gomez & Schmidhuber 2014, "A clockwork RNN", section 3: 9 modules for sequences of 320 steps, 7 for
    spoken words. Theirs has no bias. The phase is a number of its own kind in the state, which counts to 2^(modules-1)
    and is exact in each dtype, bfloat16 too, up to 9 modules.
    """

    modules: int = dataclasses.field(default=7, kw_only=True)
    initialization: Init = dataclasses.field(default="uniform", kw_only=True, metadata={"setting": "init"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.modules <= 16:
            raise ValueError(f"modules: expected 1 to 16, got {self.modules}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The units of each module."""
        return tuple(len(part) for part in np.array_split(range(self.hidden_dim), min(self.modules, self.hidden_dim)))

    @property
    def starts(self) -> tuple[int, ...]:
        """The first unit of each module."""
        return tuple(int(end) - size for end, size in zip(np.cumsum(self.sizes), self.sizes, strict=True))

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> ClockworkParams:
        """Fresh parameters for inputs `[..., input_dim]`: of the matrices of the menu, what the clockwork has."""
        w_ih, w_hh, bias = linear_params(self.initialization, key, input_dim, self.hidden_dim, 1, dtype)
        blocks = [w_hh[start:, start : start + size] for start, size in zip(self.starts, self.sizes, strict=True)]
        return ClockworkParams(w_ih, tuple(blocks), bias)

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> ClockworkState:
        return ClockworkState(jnp.zeros((*batch_shape, self.hidden_dim), dtype), jnp.zeros(batch_shape, dtype))

    def step(
        self, params: ClockworkParams, state: ClockworkState, x: Real[Array, "*B D"]
    ) -> tuple[ClockworkState, Float[Array, "*B H"]]:
        parts = [state.hidden[..., start:] @ w for start, w in zip(self.starts, params.w_hh, strict=True)]
        new = jnp.tanh(x @ params.w_ih + params.bias + jnp.concatenate(parts, axis=-1))
        hidden = jnp.where(self._ticks(state.phase), new, state.hidden)
        longest = 2 ** (len(self.sizes) - 1)
        phase = jnp.where(state.phase + 1 >= longest, state.phase + 1 - longest, state.phase + 1)
        return ClockworkState(hidden, phase), hidden

    def _ticks(self, phase: Float[Array, "*B"]) -> Bool[Array, "*B H"]:
        """Which units are computed anew in the step of that number."""
        periods = np.repeat(2 ** np.arange(len(self.sizes)), self.sizes)
        # floor: what is added to a state in diagnostics must not stop the clock
        return jnp.floor(phase).astype(jnp.int32)[..., None] % jnp.asarray(periods, jnp.int32) == 0
