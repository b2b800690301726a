"""All steps at once of a cell that is linear in its state: an associative scan over time.

Two steps after one another, h' = a h + b and h'' = a' h' + b', are one: h'' = (a' a) h + (a' b + b'). So T of them are
made in a tree of depth log2 T (Blelloch 1990; Martin & Cundy 2018 for recurrent networks).

No gradient is derived by hand. The states solve the linear system h_t - a_t h_{t-1} = b_t, and jax is told so: it
differentiates a solution by solving once more, in forward and reverse mode and as often as asked. The transposed
system is the same scan the other way. Of the scan itself, h and a are kept.
"""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from lstm_jax.cells.base import Cell, HiddenState
from lstm_jax.cells.linear import LinearCell, as_linear, as_state
from lstm_jax.memory_saving import StepMasks
from lstm_jax.mesh import on_mesh_as
from lstm_jax.steps import where


def is_linear(cell: Cell) -> bool:
    """Whether its steps can be made at once: it is a `LinearCell`, whose step is its own."""
    return isinstance(cell, LinearCell) and getattr(cell.step, "__func__", None) is LinearCell.step


def linear_scan(
    cell: Cell,
    params: Any,
    inputs: Real[Array, "T *B D"],
    state: HiddenState,
    masks: StepMasks,
    reverse: bool,
    return_outputs: bool,
) -> tuple[HiddenState, Float[Array, "T *B O"] | None]:
    """The state after the last step and the outputs, T > 0, of a cell that `is_linear`."""
    cell = cast(LinearCell, cell)
    x = where(masks.valid, inputs, None)
    decay, write = cell.linear(params, x)
    decay = on_mesh_as(jnp.broadcast_to(decay, write.shape), write)
    # Padding leaves the state as it is.
    decay, write = where(masks.valid, decay, jnp.ones_like(decay)), where(masks.valid, write, None)
    start = as_linear(state.hidden, write)[None].astype(write.dtype)
    if masks.cut is not None:
        # The state before such a step is a number like any other: it is added, not multiplied through.
        at = _shifted(jax.lax.stop_gradient(_states(decay, write, start, reverse)), reverse, start)
        write = write + where(masks.cut, decay * jax.lax.stop_gradient(at), None)
        decay = where(masks.cut, jnp.zeros_like(decay), decay)
    hidden = as_state(_states(decay, write, start, reverse), state.hidden)
    outputs = where(masks.valid, cell.output(params, hidden, x), None) if return_outputs else None
    return HiddenState(hidden[0 if reverse else -1]), outputs


def _states(decay: Array, write: Array, start: Array, reverse: bool) -> Array:
    """h_t = a_t h_{t-1} + b_t for all t, from `start`."""
    zero = jnp.zeros_like(write)
    write = write + decay * _shifted(zero, reverse, start)

    def left_over(states: Array) -> Array:
        return states - decay * _shifted(states, reverse, zero[:1])

    def solve(_: Any, values: Array) -> Array:
        return _accumulated(decay, values, reverse)

    def solve_transposed(_: Any, values: Array) -> Array:
        return _accumulated(_shifted(decay, not reverse, zero[:1]), values, not reverse)

    states: Array = jax.lax.custom_linear_solve(left_over, write, solve, solve_transposed)
    return states


def _shifted(values: Array, reverse: bool, first: Array) -> Array:
    """What stands at the step before, and `first` before the first one."""
    return jnp.concatenate([values[1:], first] if reverse else [first, values[:-1]])


def _accumulated(decay: Array, write: Array, reverse: bool) -> Array:
    def both(one: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
        return other[0] * one[0], other[0] * one[1] + other[1]

    states: Array = jax.lax.associative_scan(both, (decay, write), reverse=reverse)[1]
    return states
