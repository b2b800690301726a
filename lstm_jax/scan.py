"""The only scan over time: a cell over a sequence, with lengths, initial state and direction.

This is the reference path, differentiated by jax itself, forward and reverse mode. A memory-saving path for cells with
`is_pointwise` belongs here too, behind the same function.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from lstm_jax.cells.base import Cell, Params, State


def scan(
    cell: Cell,
    params: Params,
    inputs: Float[Array, "T *B D"],
    initial_state: State | None = None,
    *,
    lengths: Integer[Array, "*B"] | None = None,
    reverse: bool = False,
    return_outputs: bool = True,
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

    Returns:
      The state after the last step, and outputs `[T, *B, O]` or None.

    Flax's `nnx.RNN` does not zero outputs past `seq_lengths`; PyTorch does this with packed sequences.
    """
    num_steps, *batch_shape, _ = inputs.shape
    if initial_state is None:
        initial_state = cell.initial_state(tuple(batch_shape), inputs.dtype)

    if lengths is None:

        def step(state: State, x: Array) -> tuple[State, Array | None]:
            state, output = cell.step(params, state, x)
            return state, output if return_outputs else None

        return jax.lax.scan(step, initial_state, inputs, reverse=reverse)

    # int32 on both sides: what `lengths` come as, and whether x64 is on, must not matter.
    steps = jnp.arange(num_steps, dtype=jnp.int32).reshape(-1, *(1 for _ in batch_shape))
    valid = steps < lengths.astype(jnp.int32)[None]

    def masked_step(state: State, x_and_valid: tuple[Array, Array]) -> tuple[State, Array | None]:
        x, valid = x_and_valid
        # Inputs are masked too: a NaN that `where` hides from the result would still reach the gradient.
        new_state, output = cell.step(params, state, _where(valid, x, jnp.zeros_like(x)))
        new_state = jax.tree.map(lambda new, old: _where(valid, new, old), new_state, state)
        return new_state, _where(valid, output, jnp.zeros_like(output)) if return_outputs else None

    return jax.lax.scan(masked_step, initial_state, (inputs, valid), reverse=reverse)


def scan_last(
    cell: Cell,
    params: Params,
    inputs: Float[Array, "T *B D"],
    initial_state: State | None = None,
    *,
    lengths: Integer[Array, "*B"] | None = None,
) -> tuple[State, Float[Array, "*B O"]]:
    """`scan`, but with each sequence's last output alone: what a loss on the last step needs.

    Without `lengths` no other output is ever stored. Raises ValueError where T = 0: there is no last output; a
    sequence of length 0 among longer ones has a last output of zero.
    """
    if inputs.shape[0] == 0:
        raise ValueError("inputs: expected at least one step for a last output, got T = 0")
    if lengths is None:
        state, _ = scan(cell, params, inputs[:-1], initial_state, return_outputs=False)
        return cell.step(params, state, inputs[-1])
    state, outputs = scan(cell, params, inputs, initial_state, lengths=lengths)
    assert outputs is not None
    last_steps = jnp.maximum(lengths.astype(jnp.int32), 1) - 1  # in this order: 0 - 1 is 255 in uint8
    return state, jnp.take_along_axis(outputs, last_steps[None, ..., None], axis=0)[0]


def _where(valid: Array, new: Any, old: Any) -> Array:
    return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - valid.ndim)), new, old)
