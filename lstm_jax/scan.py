"""The only scan over time: a cell over a sequence, with lengths, initial state and direction.

The reference path is differentiated by jax itself, in forward and reverse mode, and keeps 14 arrays of `[T, B, H]` for
an LSTM. What is kept for the backward pass instead is the caller's choice (`Backward`): memory_saving.py has the path
of cells that pointwise.py finds can be taken apart, the steps of others are rematerialised. linear_scan.py makes all
steps at once of cells that are linear in their state.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import sys
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Real

from lstm_jax.cells.base import Cell, Params, PointwiseCell, State, check_state
from lstm_jax.choices import Backward
from lstm_jax.derivatives import reverse_only
from lstm_jax.linear_scan import is_linear, linear_scan
from lstm_jax.memory_saving import StepMasks, pointwise_scan, save_activations
from lstm_jax.mesh import alike, on_mesh_as
from lstm_jax.pointwise import can_be_taken_apart, form
from lstm_jax.steps import checked_lengths, where

__all__ = ["Backward", "scan", "scan_last"]


def scan(
    cell: Cell,
    params: Params,
    inputs: Real[Array, "T *B D"],
    initial_state: State | None = None,
    *,
    lengths: ArrayLike | Sequence[int] | None = None,
    reverse: bool = False,
    return_outputs: bool = True,
    backward: Backward = "autodiff",
    truncation: int | None = None,
) -> tuple[State, Float[Array, "T *B O"] | None]:
    """Run `cell` over time: `state_t, output_t = cell.step(params, state_{t-1}, inputs_t)`.

    Args:
      cell: the cell; static.
      params: what `cell.init` made.
      inputs: time-major `[T, *B, D]`; T may be 0, D not.
      initial_state: the state before the first step; where None, `cell.initial_state` in the dtype that `inputs @ w`
        has, the result type of inputs and parameters (integers count as no more than their kind: with float32
        parameters they are float32). A given state is promoted to what `cell.step` makes of it.
      lengths: integers in [0, T] in the shape of the batch, steps `t >= lengths` are padding: they leave the state as
        it is, their outputs are zero and their inputs, whatever they are (NaN too), reach neither results nor
        gradients. Where lengths are traced, those out of bounds count as the nearest bound. All T where None.
      reverse: from the last step to the first; with `lengths`, from each sequence's last valid step. Outputs stay
        aligned with inputs.
      return_outputs: whether to keep the outputs of all steps; where the last state is enough, False saves the memory.
      backward: what to keep for the backward pass; static. Gradients agree to rounding. Of a cell that is taken apart
        only `autodiff` has a forward mode and second derivatives: TypeError elsewhere.
      truncation: static; of how many steps, counted from the last one, a gradient goes back through the state: the
        states before steps T - k, T - 2k, ... (T the length of the sequence) pass none on, so that a loss at the last
        step sees k steps and no loss sees more (truncated backpropagation). No limit where None.

    Returns:
      The state after the last step, and outputs `[T, *B, O]` or None. Raises ValueError for inputs or lengths that
      don't fit, a step that returns another form of state, a truncation below 1 or an unknown `backward`.

    On a mesh with explicit axes (in `jax.set_mesh`) inputs, state and lengths are sharded over the batch as any of
    them is; parameters, and whatever is sharded over something else, are gathered for the scan.

    Flax's `nnx.RNN` does not zero outputs past `seq_lengths`; PyTorch does this with packed sequences.
    """
    given = _checked(cell, params, inputs, initial_state, lengths, backward)
    masks = _masks(given, reverse, truncation)
    return _scan(given, given.inputs, masks, reverse, return_outputs)


def scan_last(
    cell: Cell,
    params: Params,
    inputs: Real[Array, "T *B D"],
    initial_state: State | None = None,
    *,
    lengths: ArrayLike | Sequence[int] | None = None,
    backward: Backward = "autodiff",
    truncation: int | None = None,
) -> tuple[State, Float[Array, "*B O"]]:
    """`scan`, but with each sequence's last output alone: what a loss on the last step needs.

    Without `lengths` no other output is ever stored. Raises ValueError where T = 0: there is no last output; a
    sequence of length 0 among longer ones has a last output of zero.
    """
    if inputs.shape[0] == 0:
        raise ValueError("inputs: expected at least one step for a last output, got T = 0")
    given = _checked(cell, params, inputs, initial_state, lengths, backward)
    masks = _masks(given, False, truncation)
    if given.lengths is None:
        before, last = (
            jax.tree.map(lambda leaf, slice_=slice_: leaf[slice_], (given.inputs, masks)) for slice_ in (slice(-1), -1)
        )
        state, _ = _scan(given, before[0], before[1], False, False)
        return _step(cell, given.params, state, last)
    state, outputs = _scan(given, given.inputs, masks, False, True)
    assert outputs is not None
    last_steps = jnp.maximum(given.lengths, 1) - 1
    return state, jnp.take_along_axis(outputs, last_steps[None, ..., None], axis=0)[0]


@dataclasses.dataclass(frozen=True)
class _Given:
    """What a scan was given, checked, and made to fit."""

    cell: Cell
    params: Params
    inputs: Array
    state: State
    lengths: Array | None
    backward: Backward
    apart: bool
    """Whether the cell is taken apart: a matter of the cell, not of how many steps there are."""


def _checked(
    cell: Cell, params: Params, inputs: Array, state: State | None, lengths: Any, backward: Backward
) -> _Given:
    if backward not in typing.get_args(Backward):
        raise ValueError(f"backward: expected one of {', '.join(typing.get_args(Backward))}, got {backward!r}")
    if inputs.shape[-1] == 0:
        raise ValueError(f"inputs: expected [T, *B, D] with at least one feature, D, got {list(inputs.shape)}")
    num_steps, *batch_shape, _ = inputs.shape
    lengths = None if lengths is None else checked_lengths(lengths, tuple(batch_shape), num_steps)
    if state is None:
        state = cell.initial_state(tuple(batch_shape), _float_dtype(inputs, params))
    else:
        check_state(cell, state)
    x = jax.ShapeDtypeStruct(inputs.shape[1:], inputs.dtype)
    params, inputs, state, lengths = alike(params, inputs, jax.tree.map(jnp.asarray, state), lengths)
    x = jax.eval_shape(lambda inputs: inputs[0], inputs) if num_steps else x
    state = _promoted(cell, params, state, x)
    apart = backward not in ("autodiff", "parallel") and can_be_taken_apart(cell, params, state, x)
    if apart:  # here, so that no path and no number of steps has what another has not
        params, state, inputs = reverse_only((params, state, inputs))
    return _Given(cell, params, inputs, state, lengths, backward, apart)


def _float_dtype(inputs: Array, params: Params) -> Any:
    """The dtype of `inputs @ w`: of what has a fraction among inputs and parameters, jax's default else."""
    leaves = [leaf for leaf in jax.tree.leaves(params) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]
    dtype = jnp.result_type(inputs, *leaves)
    return dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.result_type(float)


def _promoted(cell: Cell, params: Params, state: State, x: Any) -> State:
    """`state` in the dtypes that `cell.step` gives back; raises ValueError where that is another form of state."""

    def promoted(leaf: Any, new: Any) -> Any:
        if leaf.dtype == new.dtype or not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        return leaf.astype(jnp.promote_types(leaf.dtype, new.dtype))

    new, _ = jax.eval_shape(cell.step, params, state, x)
    if form(state)[1] == form(new)[1]:
        state = jax.tree.map(on_mesh_as, state, new)
    if form(state) != form(new) and form(state)[1] == form(new)[1]:
        state = jax.tree.map(promoted, state, new)
        new, _ = jax.eval_shape(cell.step, params, state, x)
    if form(state) != form(new):
        describe = [jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", each) for each in (state, new)]
        raise ValueError(
            f"{type(cell).__name__}.step: expected a state of the form that it was given, {describe[0]}, "
            f"got {describe[1]}"
        )
    return state


def _step(cell: Cell, params: Params, state: State, at: tuple[Array, StepMasks]) -> tuple[State, Array]:
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
    given: _Given, inputs: Array, masks: StepMasks, reverse: bool, return_outputs: bool
) -> tuple[State, Array | None]:
    cell, params, backward = given.cell, given.params, given.backward
    num_steps = inputs.shape[0]
    if num_steps and backward == "parallel" and is_linear(cell):
        return linear_scan(cell, params, inputs, given.state, masks, reverse, return_outputs)
    if num_steps and given.apart:
        pointwise, (inputs, masks) = cast(PointwiseCell, cell), _in_order((inputs, masks), reverse)
        state, outputs = pointwise_scan(pointwise, params, inputs, given.state, masks, backward, return_outputs)
        return state, _in_order(outputs, reverse)

    def plain_step(state: State, at: tuple[Array, StepMasks]) -> tuple[State, Array | None]:
        state, output = _step(cell, params, state, at)
        return state, output if return_outputs else None

    step: Callable[..., Any] = plain_step
    if backward == "activations":
        step = jax.checkpoint(step, policy=save_activations, prevent_cse=False)
    if backward == "states":
        step = jax.checkpoint(step, prevent_cse=False)
    scan_steps = functools.partial(jax.lax.scan, step, reverse=reverse)
    if backward == "checkpoint" and num_steps > 1:
        return _in_chunks(scan_steps, given.state, (inputs, masks), num_steps, reverse)
    return scan_steps(given.state, (inputs, masks))


def _in_order(tree: Any, reverse: bool) -> Any:
    """What comes in the order of time, in the order of the scan, or the other way round."""
    return jax.tree.map(lambda leaf: jnp.flip(leaf, 0), tree) if reverse else tree


def _masks(given: _Given, reverse: bool, truncation: int | None) -> StepMasks:
    """Which steps are no padding, and before which a gradient ends."""
    if truncation is not None and operator.index(truncation) < 1:
        raise ValueError(f"truncation: expected at least 1 step, got {truncation}")
    num_steps = given.inputs.shape[0]
    # int32 on both sides: whether x64 is on must not matter.
    steps = jnp.arange(num_steps, dtype=jnp.int32).reshape(-1, *(1 for _ in given.inputs.shape[1:-1]))
    ends = jnp.int32(num_steps) if given.lengths is None else given.lengths[None]
    valid = None if given.lengths is None else steps < ends
    if truncation is None:
        return StepMasks(valid, None)
    remaining = steps + 1 if reverse else ends - steps
    cut = remaining % truncation == 0
    return StepMasks(valid, cut if valid is None else cut & valid)


def _in_chunks(
    scan_steps: Callable[..., Any], state: State, steps: Any, num_steps: int, reverse: bool
) -> tuple[State, Array | None]:
    """`scan_steps` in chunks of about √T steps, of each of which the backward pass keeps the state before it alone."""
    chunk = max(1, round(num_steps**0.5))
    num_chunks = num_steps // chunk
    scan_chunk = jax.checkpoint(scan_steps, prevent_cse=False)
    whole, rest = (
        jax.tree.map(lambda leaf, slice_=slice_: leaf[slice_], steps)
        for slice_ in (slice(num_chunks * chunk), slice(num_chunks * chunk, None))
    )
    whole = jax.tree.map(lambda leaf: leaf.reshape(num_chunks, chunk, *leaf.shape[1:]), whole)
    pieces = []
    for piece in ("rest", "whole") if reverse else ("whole", "rest"):
        if piece == "whole":
            state, outputs = jax.lax.scan(scan_chunk, state, whole, reverse=reverse)
            outputs = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), outputs)
        else:
            state, outputs = scan_chunk(state, rest)
        pieces.append(outputs)
    if reverse:
        pieces.reverse()
    return state, None if pieces[0] is None else jnp.concatenate(pieces)


class _Callable(types.ModuleType):
    """Python binds `lstm_jax.scan` to this module once it is imported: so the module is the function, too."""

    __wrapped__ = staticmethod(scan)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return scan(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
