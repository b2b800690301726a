"""Runs in float64, to see whether it is rounding that stops a cell."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from lstm_jax.training import NO_UPDATES, ChunkMetrics, Hypers, RunState, Training


@dataclasses.dataclass(frozen=True)
class Double(Training):
    """A run whose parameters, moments and states are float64: call it with 64 bits enabled.

    It starts from the same parameters; its batches are others, since jax draws whole numbers of 64 bits then.
    """

    def init(self, hypers: Hypers) -> RunState:
        """The state before the first update."""
        state = super().init(hypers)
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), state.params)
        return state._replace(params=params, opt_state=self._optimizer(hypers, 0).init(params))

    def advance(
        self, state: RunState, hypers: Hypers, num_updates: Any, metrics: ChunkMetrics = NO_UPDATES
    ) -> tuple[RunState, ChunkMetrics]:
        """Make `num_updates` updates."""
        loss, norm = (jnp.asarray(value, jnp.float64) for value in metrics[:2])
        return super().advance(state, hypers, num_updates, metrics._replace(train_loss=loss, grad_norm=norm))
