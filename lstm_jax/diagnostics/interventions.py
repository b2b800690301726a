"""Runs in whose training one thing is changed, to see whether what is said of it is its cause."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32, Key, UInt32

from lstm_jax.tasks.base import Batch
from lstm_jax.training import Hypers, RunState, Training

Intervention = Literal["none", "random answers", "frozen readout", "zero readout", "frozen gate"]
INTERVENTIONS: tuple[Intervention, ...] = get_args(Intervention)
GATE_STEPS = 1000
"""Updates for which a frozen gate is frozen."""
KEEPING_GATES = {"gru": 1, "lstm": 1, "coupled_lstm": 0}
"""Which of a cell's gates, side by side, keeps the state."""


@dataclasses.dataclass(frozen=True)
class Intervened(Training):
    """A run of one recurrent layer with a change.

    random answers    it is trained on answers that are drawn anew: nothing can be learned, the noise is the same
    frozen readout    the readout stays as it was drawn
    zero readout      it stays at zero, so that no gradient reaches the cell: a control in which nothing may move
    frozen gate       the parameters of gate `gate`, which keeps the state, are not trained for the first GATE_STEPS
                      updates; Adam's moments of them are zero until then
    """

    intervention: Intervention = "none"
    gate: int | None = None

    def __post_init__(self) -> None:
        if self.intervention == "frozen gate" and self.gate is None:
            raise ValueError(f"gate: none given; expected that of a cell with one: {', '.join(KEEPING_GATES)}")

    def init(self, hypers: Hypers) -> RunState:
        """The state before the first update."""
        state = super().init(hypers)
        if self.intervention != "zero readout":
            return state
        return state._replace(params=_in("readout", jnp.zeros_like, state.params))

    def train_batch(
        self, key: Key[Array, ""], step: Int32[Array, ""], shape: int = 0, apart: UInt32[Array, " E"] | None = None
    ) -> Batch:
        """The batch of an update."""
        batch = super().train_batch(key, step, shape, apart)
        if self.intervention != "random answers":
            return batch
        others = self.task.sample(jax.random.fold_in(key, 1), self.batch_size)
        return batch._replace(targets=others.targets)

    def _gradient(
        self, state: RunState, batch_key: Array, dropout_key: Array, apart: UInt32[Array, " E"] | None = None
    ) -> tuple[tuple[Array, Any], Any]:
        value, gradient = super()._gradient(state, batch_key, dropout_key, apart)
        if self.intervention in ("frozen readout", "zero readout"):
            gradient = _in("readout", jnp.zeros_like, gradient)
        elif self.intervention == "frozen gate":
            gradient = _in("stack", lambda leaf: self._without_gate(leaf, state.step), gradient)
        return value, gradient

    def _without_gate(self, leaf: Array, step: Array) -> Array:
        """Zeros for the gate's columns, where a leaf has those of all gates."""
        assert self.gate is not None, "checked when it was made"
        config: Any = self.model
        hidden_dim = config.cells[0].hidden_dim
        if leaf.shape[-1] <= hidden_dim:
            return leaf
        gate = slice(self.gate * hidden_dim, (self.gate + 1) * hidden_dim)
        return jnp.where(step < GATE_STEPS, leaf.at[..., gate].set(0.0), leaf)


def _in(group: str, change: Callable[[Array], Array], params: Any) -> Any:
    """`params`, changed where the path has `group` in it."""
    return jax.tree.map_with_path(
        lambda path, leaf: change(leaf) if group in jax.tree_util.keystr(path) else leaf, params
    )
