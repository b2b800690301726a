"""The only scan over time: a cell over a sequence, with lengths, initial state and direction.

The reference path is differentiated by jax itself, in forward and reverse mode, and keeps 14 arrays of `[T, B, H]` for
an LSTM. What is kept for the backward pass instead is the caller's choice (`Backward`): memory_saving.py has the path
of cells with `is_pointwise`, the steps of others are rematerialised.
"""

from __future__ import annotations

import functools
import operator
import typing
from collections.abc import Callable
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from lstm_jax.cells.base import Cell, Params, PointwiseCell, State
from lstm_jax.memory_saving import Marks, keep_activations, pointwise_scan, where

Backward = Literal["autodiff", "activations", "states", "checkpoint"]
"""What a forward pass keeps for the backward pass, from the most to the least: all that jax's autodiff asks for;
results of tanh, σ and the like; the state before every step; the state before every chunk of steps."""


def scan(
    cell: Cell,
    params: Params,
    inputs: Float[Array, "T *B D"],
    initial_state: State | None = None,
    *,
    lengths: Integer[Array, "*B"] | None = None,
    reverse: bool = False,
    return_outputs: bool = True,
    backward: Backward = "autodiff",
    truncation: int | None = None,
) -> tuple[State, Float[Array, "T *B O"] | None]:
    """Run `cell` over time: `state_t, output_t = cell.step(params, state_{t-1}, inputs_t)`.

    Args:
      cell: the cell; static.
      params: what `cell.init` made.
      inputs: time-major `[T, *B, D]`; T may be 0.
      initial_state: the state before the first step; `cell.initial_state` where None.
      lengths: integers in [0, T], steps `t >= lengths` are padding: they leave the state as it is, their outputs are
        zero and their inputs, whatever they are (NaN too), reach neither results nor gradients. All T where None.
      reverse: from the last step to the first; with `lengths`, from each sequence's last valid step. Outputs stay
        aligned with inputs.
      return_outputs: whether to keep the outputs of all steps; where the last state is enough, False saves the memory.
      backward: what to keep for the backward pass; static. Gradients agree to rounding. Only `autodiff` has a forward
        mode and second derivatives.
      truncation: static; of how many steps, counted from the last one, a gradient goes back through the state: the
        states before steps T - k, T - 2k, ... (T the length of the sequence) pass none on, so that a loss at the last
        step sees k steps and no loss sees more (truncated backpropagation). No limit where None.

    Returns:
      The state after the last step, and outputs `[T, *B, O]` or None. Raises ValueError for a truncation below 1 or an
      unknown `backward`.

    Flax's `nnx.RNN` does not zero outputs past `seq_lengths`; PyTorch does this with packed sequences.
    """
    num_steps, *batch_shape, _ = inputs.shape
    if initial_state is None:
        initial_state = cell.initial_state(tuple(batch_shape), inputs.dtype)
    marks = _marks(num_steps, len(batch_shape), lengths, reverse, truncation)
    return _scan(cell, params, inputs, initial_state, marks, reverse, return_outputs, backward)


def scan_last(
    cell: Cell,
    params: Params,
    inputs: Float[Array, "T *B D"],
    initial_state: State | None = None,
    *,
    lengths: Integer[Array, "*B"] | None = None,
    backward: Backward = "autodiff",
    truncation: int | None = None,
) -> tuple[State, Float[Array, "*B O"]]:
    """`scan`, but with each sequence's last output alone: what a loss on the last step needs.

    Without `lengths` no other output is ever stored. Raises ValueError where T = 0: there is no last output; a
    sequence of length 0 among longer ones has a last output of zero.
    """
    if inputs.shape[0] == 0:
        raise ValueError("inputs: expected at least one step for a last output, got T = 0")
    if lengths is None:
        if initial_state is None:
            initial_state = cell.initial_state(inputs.shape[1:-1], inputs.dtype)
        marks = _marks(inputs.shape[0], inputs.ndim - 2, None, False, truncation)
        before, last = (jax.tree.map(lambda leaf, part=part: leaf[part], (inputs, marks)) for part in (slice(-1), -1))
        state, _ = _scan(cell, params, before[0], initial_state, before[1], False, False, backward)
        return _step(cell, params, state, last)
    state, outputs = scan(
        cell, params, inputs, initial_state, lengths=lengths, backward=backward, truncation=truncation
    )
    assert outputs is not None
    last_steps = jnp.maximum(lengths.astype(jnp.int32), 1) - 1  # in this order: 0 - 1 is 255 in uint8
    return state, jnp.take_along_axis(outputs, last_steps[None, ..., None], axis=0)[0]


def _step(cell: Cell, params: Params, state: State, at: tuple[Array, Marks]) -> tuple[State, Array]:
    """One step: padding is left as it is, and no gradient passes where it is cut."""
    x, (valid, cut) = at
    if cut is not None:
        state = jax.tree.map(lambda leaf: where(cut, jax.lax.stop_gradient(leaf), leaf), state)
    # Inputs are masked too: a NaN that `where` hides from the result would still reach the gradient.
    new_state, output = cell.step(params, state, where(valid, x, None))
    if valid is None:
        return new_state, output
    return jax.tree.map(functools.partial(where, valid), new_state, state), where(valid, output, None)


def _scan(
    cell: Cell,
    params: Params,
    inputs: Array,
    initial_state: State,
    marks: Marks,
    reverse: bool,
    return_outputs: bool,
    backward: Backward,
) -> tuple[State, Array | None]:
    num_steps = inputs.shape[0]
    if backward not in typing.get_args(Backward):
        raise ValueError(f"backward: expected one of {', '.join(typing.get_args(Backward))}, got {backward!r}")
    can_be_taken_apart = cell.is_pointwise and all(
        jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in jax.tree.leaves(initial_state)
    )  # a counter, say, has no gradient to carry
    if num_steps and backward != "autodiff" and can_be_taken_apart:
        state, outputs = pointwise_scan(
            cast(PointwiseCell, cell),
            params,
            _in_order(inputs, reverse),
            initial_state,
            _in_order(marks, reverse),
            backward,
            return_outputs,
        )
        return state, _in_order(outputs, reverse)

    def plain_step(state: State, at: tuple[Array, Marks]) -> tuple[State, Array | None]:
        state, output = _step(cell, params, state, at)
        return state, output if return_outputs else None

    step: Callable[..., Any] = plain_step
    if backward == "activations":
        step = jax.checkpoint(step, policy=keep_activations, prevent_cse=False)
    if backward == "states":
        step = jax.checkpoint(step, prevent_cse=False)
    scan_steps = functools.partial(jax.lax.scan, step, reverse=reverse)
    if backward == "checkpoint" and num_steps > 1:
        return _in_chunks(scan_steps, initial_state, (inputs, marks), num_steps, reverse)
    return scan_steps(initial_state, (inputs, marks))


def _in_order(tree: Any, reverse: bool) -> Any:
    """What comes in the order of time, in the order of the scan, or the other way round."""
    return jax.tree.map(lambda leaf: jnp.flip(leaf, 0), tree) if reverse else tree


def _marks(num_steps: int, num_axes: int, lengths: Array | None, reverse: bool, truncation: int | None) -> Marks:
    """Which steps are no padding, and before which a gradient ends."""
    if truncation is not None and operator.index(truncation) < 1:
        raise ValueError(f"truncation: expected at least 1 step, got {truncation}")
    # int32 on both sides: what `lengths` come as, and whether x64 is on, must not matter.
    steps = jnp.arange(num_steps, dtype=jnp.int32).reshape(-1, *(1 for _ in range(num_axes)))
    ends = jnp.int32(num_steps) if lengths is None else lengths.astype(jnp.int32)[None]
    valid = None if lengths is None else steps < ends
    if truncation is None:
        return Marks(valid, None)
    remaining = steps + 1 if reverse else ends - steps
    cut = remaining % truncation == 0
    return Marks(valid, cut if valid is None else cut & valid)


def _in_chunks(
    scan_steps: Callable[..., Any], state: State, steps: Any, num_steps: int, reverse: bool
) -> tuple[State, Array | None]:
    """`scan_steps` in chunks of about √T steps, of each of which the backward pass keeps the state before it alone."""
    chunk = max(1, round(num_steps**0.5))
    num_chunks = num_steps // chunk
    scan_chunk = jax.checkpoint(scan_steps, prevent_cse=False)
    whole, rest = (
        jax.tree.map(lambda leaf, part=part: leaf[part], steps)
        for part in (slice(num_chunks * chunk), slice(num_chunks * chunk, None))
    )
    whole = jax.tree.map(lambda leaf: leaf.reshape(num_chunks, chunk, *leaf.shape[1:]), whole)
    parts = []
    for part in ("rest", "whole") if reverse else ("whole", "rest"):
        if part == "whole":
            state, outputs = jax.lax.scan(scan_chunk, state, whole, reverse=reverse)
            outputs = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), outputs)
        else:
            state, outputs = scan_chunk(state, rest)
        parts.append(outputs)
    if reverse:
        parts.reverse()
    return state, None if parts[0] is None else jnp.concatenate(parts)
