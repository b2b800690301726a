"""The scan of a pointwise cell with a custom VJP, which stores less and multiplies matrices in bulk.

Autodiff of a scan stores what each step computed, and adds to the gradients of the weights at every step. A pointwise
cell can be taken apart instead: `jax.vjp` differentiates its pointwise `update`, one step at a time, and the linear
maps wait for the end of a chunk of steps, where one product serves them all. No gradient is derived by hand.

Backward, for each chunk, the last one first:

    x_proj = x W_ih + b, h_proj = hidden W_hh       of all its steps at once, unless their results are residuals
    for each step, the last one first:
        d pointwise_params, d state, d x_proj, d h_proj = vjp(update)(d state, d output)
        d state.hidden += d h_proj W_hhᵀ
    dW_ih += xᵀ d x_proj, dW_hh += hiddenᵀ d h_proj, db += Σ d x_proj, dx = d x_proj W_ihᵀ

where `hidden` is the hidden state before a step. pointwise.py says which cells can be taken apart; forward mode and
second derivatives are for the reference path of scan.py.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool, Float, Real

from lstm_jax.cells.base import LinearParams, PointwiseCell
from lstm_jax.choices import Backward
from lstm_jax.pointwise import adds_projections, project, without_weights
from lstm_jax.steps import add, product, read_step, sum_dtype, where, write_gates, write_step, zeros, zeros_like

MIN_CHUNK, MAX_CHUNK, NUM_CHUNKS = 8, 32, 16
"""A chunk is a sixteenth of the sequence, so that its arrays are small beside the residuals, within these bounds of
steps: enough for matrix products of good size, few enough to stay in cache."""

SAVED_PRIMITIVES = frozenset(
    {"tanh", "logistic", "exp", "exp2", "expm1", "log", "log1p", "erf", "sin", "cos", "sqrt", "rsqrt"}
    | {"dot_general", "split"}  # a product costs most; of projections, the gates that are needed are saved, not all
)
"""Primitives whose results mode `activations` saves where the backward pass needs them: they cost more to compute again
than to read."""


class StepMasks(NamedTuple):
    """Flags of each step, `[T, *B]` (or ones for *B); None where no step is masked."""

    valid: Bool[Array, "T ..."] | None
    """False at padding."""
    cut: Bool[Array, "T ..."] | None
    """Whether the gradient ends at the state before the step."""


def save_activations(primitive: Any, *operands: Any, **_: Any) -> bool:
    """Policy for `jax.checkpoint`: results of SAVED_PRIMITIVES, but no complex ones, which it can't save."""
    is_complex = any(jnp.issubdtype(operand.dtype, jnp.complexfloating) for operand in operands)
    return primitive.name in SAVED_PRIMITIVES and not is_complex


def chunk_of(num_steps: int) -> int:
    """Steps per chunk; a divisor of the sequence's, if one is near."""
    about = min(num_steps, max(MIN_CHUNK, min(MAX_CHUNK, num_steps // NUM_CHUNKS)))
    near = range(about, about // 2, -1)
    return next((chunk for chunk in near if num_steps % chunk == 0), about)


def pointwise_scan(
    cell: PointwiseCell,
    params: Any,
    inputs: Real[Array, "T *B D"],
    initial_state: Any,
    masks: StepMasks,
    mode: Backward,
    return_outputs: bool,
) -> tuple[Any, Float[Array, "T *B O"] | None]:
    """The state after the last step and the outputs, T > 0, of a cell that can be taken apart.

    It is differentiated in reverse, with the residuals of `mode`:

    - `activations`: hidden states, and what the pullback of `update` needs of results of tanh, σ and the like;
    - `states`: the state before every step; the projections of a chunk are recomputed;
    - `checkpoint`: the state before every chunk; the forward pass of a chunk is recomputed.
    """
    num_steps = inputs.shape[0]
    inputs = inputs.astype(jnp.result_type(inputs, params.w_ih))
    only_sum = adds_projections(cell, params, initial_state, inputs[0])
    scan = _PointwiseScan(cell, mode, return_outputs, num_steps, chunk_of(num_steps), only_sum)

    @jax.custom_vjp
    def run(*arguments: Any) -> Any:
        return scan.forward(*arguments)[0]

    def forward(*arguments: Any) -> Any:
        values = jax.tree.map(lambda leaf: leaf.value, arguments)
        results, residuals = scan.forward(*values)
        return results, (*values, residuals)

    def backward(saved: Any, cotangents: Any) -> Any:
        return *scan.backward(*saved, *cotangents), None

    run.defvjp(forward, backward, symbolic_zeros=True)
    results: tuple[Any, Any] = run(params, initial_state, inputs, masks)
    return results


class _Activations(NamedTuple):
    """Residuals of mode `activations`: of every step."""

    hidden: Array
    pullback: Any


@dataclasses.dataclass(frozen=True)
class _PointwiseScan:
    """Everything static about one such scan, and its two passes."""

    cell: PointwiseCell
    mode: Backward
    return_outputs: bool
    num_steps: int
    chunk: int
    only_sum: bool
    """Whether `update` needs no more of x_proj and h_proj than their sum."""

    def project(self, params: Any, x: Array, hidden: Array) -> tuple[Array, ...]:
        """(x_proj, h_proj), or where that is enough their sum alone."""
        x_proj, h_proj = project(params, x, hidden)
        return (x_proj + h_proj,) if self.only_sum else (x_proj, h_proj)

    def update(
        self, valid: Array | None, pointwise_params: Any, state: Any, projections: tuple[Array, ...]
    ) -> tuple[Any, Array]:
        """The pointwise part of a step; padding leaves the state as it is."""
        x_proj = projections[0]
        h_proj = jnp.zeros_like(x_proj) if self.only_sum else projections[1]
        new_state, output = self.cell.update(pointwise_params, state, x_proj, h_proj)
        if valid is None:
            return new_state, output
        return jax.tree.map(functools.partial(where, valid), new_state, state), where(valid, output, None)

    def forward(self, params: Any, state: Any, inputs: Array, masks: StepMasks) -> tuple[Any, Any]:
        """((last state, outputs), residuals)."""
        pointwise_params = without_weights(params)

        def step(carry: Any, t: Array) -> Any:
            state, starts = carry
            # Read here instead of scanned over: under vmap, scan would first make a copy with time in front.
            x, valid = read_step((inputs, masks.valid), t)
            projections = self.project(params, where(valid, x, None), state.hidden)
            update: Callable[..., Any] = functools.partial(self.update, valid)
            residuals = None
            if self.mode == "activations":
                update = jax.checkpoint(update, policy=save_activations, prevent_cse=False)
                (new_state, output), pullback = jax.vjp(update, pointwise_params, state, projections)
                residuals = _Activations(state.hidden, pullback)
            else:
                new_state, output = update(pointwise_params, state, projections)
                if self.mode == "states":
                    residuals = state
                else:  # written at each step, the last time at the one whose state is wanted: a branch costs more
                    starts = write_step(starts, state, (t + self.chunk - 1) // self.chunk)
            return (new_state, starts), (output if self.return_outputs else None, residuals)

        starts = None
        if self.mode == "checkpoint":
            num_starts = -(-self.num_steps // self.chunk) + 1  # one more, for what no chunk begins with
            starts = zeros(num_starts, state)
        carry, (outputs, residuals) = jax.lax.scan(step, (state, starts), jnp.arange(self.num_steps))
        state, starts = carry
        return (state, outputs), starts if self.mode == "checkpoint" else residuals

    def backward(
        self,
        params: Any,
        initial_state: Any,
        inputs: Array,
        masks: StepMasks,
        residuals: Any,
        d_state: Any,
        d_outputs: Any,
    ) -> tuple[Any, Any, Array]:
        """The gradients of parameters, initial state and inputs."""
        d_state = jax.tree.map(_instantiated, d_state, initial_state, is_leaf=_is_zero)
        wanted = d_outputs is not None and not _is_zero(d_outputs)
        chunks = _BackwardPass(
            self,
            params,
            without_weights(params),
            params.w_hh.T,  # out here, for XLA would transpose it at each step
            inputs,
            masks,
            residuals,
            d_outputs if wanted else None,
            None if wanted else self.zero_output(params, initial_state, inputs),
        )
        linear = LinearParams(params.w_ih, params.w_hh, params.bias)
        like = (chunks.pointwise_params, linear)
        totals = jax.tree.map(lambda leaf: zeros_like(leaf).astype(sum_dtype(leaf)), like)
        d_projections = zeros(self.chunk, jax.eval_shape(self.project, params, inputs[0], initial_state.hidden))
        carry = (d_state, totals, d_projections, zeros_like(inputs))
        carry, _ = jax.lax.scan(chunks.chunk_backward, carry, jnp.arange(chunks.num_chunks), reverse=True)
        d_state, (d_pointwise, d_linear), _, d_inputs = carry
        d_params = d_pointwise._replace(**d_linear._asdict())
        return jax.tree.map(lambda gradient, param: gradient.astype(param.dtype), d_params, params), d_state, d_inputs

    def zero_output(self, params: Any, state: Any, inputs: Array) -> Array:
        """Zeros in the shape of a step's output."""
        update = functools.partial(self.update, None)
        projections = jax.eval_shape(self.project, params, inputs[0], state.hidden)
        _, output = jax.eval_shape(update, without_weights(params), state, projections)
        return zeros_like(output)


class _Chunk(NamedTuple):
    """A window of K steps from `start` on, of which rows `first` to `first + count` are the chunk.

    `states` and `projections` are None in mode `activations`.
    """

    start: Array
    first: Array
    count: Any
    inputs: Array
    masks: StepMasks
    hidden: Array
    states: Any
    projections: Any


@dataclasses.dataclass(frozen=True)
class _BackwardPass:
    """The backward pass of a scan, chunk by chunk: its arrays, and one method for each thing that it does."""

    scan: _PointwiseScan
    params: Any
    pointwise_params: Any
    w_hh_t: Array
    inputs: Array
    masks: StepMasks
    residuals: Any
    d_outputs: Array | None
    zero_d_output: Array | None
    """The cotangent of a step's output, where `d_outputs` is None: no output is wanted."""

    @property
    def num_chunks(self) -> int:
        """Chunks of the sequence, of which the last may be short."""
        return -(-self.scan.num_steps // self.scan.chunk)

    def chunk_backward(self, carry: Any, number: Array) -> tuple[Any, None]:
        """Go back through a chunk; the carry is gradients of state, parameters, projections and inputs."""
        d_state, (d_pointwise, d_linear), d_projections, d_inputs = carry
        chunk = self.load_chunk(number)
        step = functools.partial(self.step_backward, chunk)
        carry = jax.lax.fori_loop(0, chunk.count, step, (d_state, d_pointwise, d_projections))
        d_state, d_pointwise, d_projections = carry
        d_linear = self.add_weight_gradients(d_linear, chunk, d_projections)
        d_x = (d_projections[0] @ self.params.w_ih.T).astype(self.inputs.dtype)
        d_inputs = jax.lax.dynamic_update_slice_in_dim(d_inputs, d_x, chunk.start, 0)
        return (d_state, (d_pointwise, d_linear), d_projections, d_inputs), None

    def load_chunk(self, number: Array) -> _Chunk:
        """Inputs, states and projections of a chunk: residuals, or recomputed from them."""
        size, num_steps = self.scan.chunk, self.scan.num_steps
        # The last chunk may be short. Its window is as long as any and begins in the chunk before: those rows of
        # d_projections are still zero when it adds up, and those of d_inputs are written once more after it.
        begin = number * size
        start = jnp.minimum(begin, num_steps - size)
        num_last = num_steps - (self.num_chunks - 1) * size
        count = jnp.where(number == self.num_chunks - 1, num_last, size) if num_last < size else size
        window = functools.partial(jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=size)
        x, masks = jax.tree.map(window, (self.inputs, self.masks))
        x = where(masks.valid, x, None)
        first = begin - start
        if self.scan.mode == "activations":
            return _Chunk(start, first, count, x, masks, window(self.residuals.hidden), None, None)
        if self.scan.mode == "states":
            states = jax.tree.map(window, self.residuals)
        else:
            states = self.recompute_states(read_step(self.residuals, number), x, masks, first, count)
        projections = self.scan.project(self.params, x, states.hidden)
        return _Chunk(start, first, count, x, masks, states.hidden, states, projections)

    def recompute_states(self, state: Any, x: Array, masks: StepMasks, first: Array, count: Any) -> Any:
        """The state before each step of a chunk, from that before its first: rows `first` to `first + count`."""

        def step(i: Array, carry: Any) -> Any:
            state, states = carry
            row = first + i
            states = write_step(states, state, row)
            projections = self.scan.project(self.params, read_step(x, row), state.hidden)
            state, _ = self.scan.update(read_step(masks.valid, row), self.pointwise_params, state, projections)
            return state, states

        return jax.lax.fori_loop(0, count, step, (state, zeros(self.scan.chunk, state)))[1]

    def step_backward(self, chunk: _Chunk, i: Array, carry: Any) -> Any:
        """Go back through the i-th step of a chunk, counted from its last."""
        d_state, d_pointwise, d_projections = carry
        row = chunk.first + chunk.count - 1 - i
        valid, cut = read_step(chunk.masks, row)
        if self.scan.mode == "activations":
            pullback = read_step(self.residuals.pullback, chunk.start + row)
        else:
            update = functools.partial(self.scan.update, valid)
            at = read_step(chunk.states, row), read_step(chunk.projections, row)
            _, pullback = jax.vjp(update, self.pointwise_params, *at)
        d_output = self.zero_d_output if self.d_outputs is None else read_step(self.d_outputs, chunk.start + row)
        d_pointwise_here, d_state, d_here = pullback((d_state, d_output))
        d_projections = write_gates(d_projections, d_here, row, self.scan.cell.num_gates)
        # Read back what was written, else XLA computes it a second time for the product.
        d_h_proj = read_step(d_projections[-1], row)
        d_state = d_state._replace(hidden=d_state.hidden + (d_h_proj @ self.w_hh_t).astype(d_state.hidden.dtype))
        if cut is not None:
            d_state = jax.tree.map(functools.partial(where, ~cut, other=None), d_state)
        return d_state, add(d_pointwise, d_pointwise_here), d_projections

    def add_weight_gradients(self, d_linear: LinearParams, chunk: _Chunk, d_projections: Any) -> LinearParams:
        """Add the gradients of the linear maps, one product each over all steps of a chunk."""
        d_x_proj, d_h_proj = d_projections[0], d_projections[-1]
        over_steps = tuple(range(d_x_proj.ndim - 1))
        d_bias = jnp.sum(d_x_proj, over_steps, dtype=d_linear.bias.dtype)
        gradients = LinearParams(product(chunk.inputs, d_x_proj), product(chunk.hidden, d_h_proj), d_bias)
        total: LinearParams = add(d_linear, gradients)
        return total


def _is_zero(value: Any) -> bool:
    return isinstance(value, SymbolicZero)


def _instantiated(cotangent: Any, like: Array) -> Array:
    return zeros_like(like) if _is_zero(cotangent) else cotangent
