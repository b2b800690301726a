"""The scan of a pointwise cell with a backward pass of its own, which keeps less and multiplies matrices in bulk.

Plain autodiff of a scan keeps whatever each step computed, and adds to the gradients of the weights at every step. A
pointwise cell can be taken apart instead: `jax.vjp` differentiates its pointwise `update`, one step at a time, and the
linear maps wait for the end of a chunk of steps, where one product serves them all. No gradient is derived by hand.

Backward, for each chunk, the last one first:

    x_proj = x W_ih + b, h_proj = hidden W_hh       of all its steps at once, unless what they gave was kept
    for each step, the last one first:
        d extra, d state, d x_proj, d h_proj = vjp(update)(d state, d output);  d state.hidden += d h_proj W_hhᵀ
    dW_ih += xᵀ d x_proj, dW_hh += hiddenᵀ d h_proj, db += Σ d x_proj, dx = d x_proj W_ihᵀ

where `hidden` is the hidden state before a step and `extra` are the pointwise parameters. Which cells can be taken
apart is for pointwise.py to say; forward mode and second derivatives are for the reference path of scanning.py.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool, Float, Real, Shaped

from lstm_jax.cells.base import LinearParams, PointwiseCell
from lstm_jax.pointwise import adds_projections, project, without_weights

Mode = Literal["activations", "states", "checkpoint"]

MIN_CHUNK, MAX_CHUNK, NUM_CHUNKS = 8, 32, 16
"""A chunk is a sixteenth of the sequence, so that what it needs is small beside what is kept, within these bounds of
steps: enough for matrix products of good size, few enough to stay in cache."""

KEPT = frozenset(
    {"tanh", "logistic", "exp", "exp2", "expm1", "log", "log1p", "erf", "sin", "cos", "sqrt", "rsqrt"}
    | {"dot_general", "split"}  # a product costs most; of projections, the gates that are needed are kept, not all
)
"""Primitives whose results mode `activations` keeps where the backward pass needs them: they cost more to compute again
than to read."""


class Marks(NamedTuple):
    """What is said of each step, `[T, *B]` (or ones for *B); None where there is nothing to say."""

    valid: Bool[Array, "T ..."] | None
    """Whether the step is none of padding."""
    cut: Bool[Array, "T ..."] | None
    """Whether the gradient ends at the state before the step."""


def keep_activations(primitive: Any, *_: Any, **__: Any) -> bool:
    """Policy for `jax.checkpoint`: results of the primitives in KEPT."""
    return primitive.name in KEPT


def chunk_of(num_steps: int) -> int:
    """Steps of a chunk; one that divides the sequence, if it is near."""
    about = min(num_steps, max(MIN_CHUNK, min(MAX_CHUNK, num_steps // NUM_CHUNKS)))
    near = range(about, about // 2, -1)
    return next((chunk for chunk in near if num_steps % chunk == 0), about)


def pointwise_scan(
    cell: PointwiseCell,
    params: Any,
    inputs: Real[Array, "T *B D"],
    initial_state: Any,
    marks: Marks,
    mode: Mode,
    return_outputs: bool,
) -> tuple[Any, Float[Array, "T *B O"] | None]:
    """The state after the last step and the outputs, T > 0, of a cell that can be taken apart.

    It is differentiated in reverse, with what `mode` keeps:

    - `activations`: hidden states, and what the pullback of `update` needs of results of tanh, σ and the like;
    - `states`: the state before every step; the projections of a chunk are computed again;
    - `checkpoint`: the state before every chunk; the forward pass of a chunk is made again.
    """
    num_steps = inputs.shape[0]
    inputs = inputs.astype(jnp.result_type(inputs, params.w_ih))
    adds = adds_projections(cell, params, initial_state, inputs[0])
    way = _Way(cell, mode, return_outputs, num_steps, chunk_of(num_steps), adds)

    @jax.custom_vjp
    def run(*arguments: Any) -> Any:
        return way.forward(*arguments)[0]

    def forward(*arguments: Any) -> Any:
        values = jax.tree.map(lambda leaf: leaf.value, arguments)
        results, kept = way.forward(*values)
        return results, (*values, kept)

    def backward(residuals: Any, cotangents: Any) -> Any:
        return *way.backward(*residuals, *cotangents), None

    run.defvjp(forward, backward, symbolic_zeros=True)
    results: tuple[Any, Any] = run(params, initial_state, inputs, marks)
    return results


@dataclasses.dataclass(frozen=True)
class _Way:
    """All that is static about one such scan, and its two passes."""

    cell: PointwiseCell
    mode: Mode
    return_outputs: bool
    num_steps: int
    chunk: int
    adds: bool
    """Whether `update` needs no more of x_proj and h_proj than their sum."""

    # The cell, taken apart

    def project(self, params: Any, x: Array, hidden: Array) -> tuple[Array, ...]:
        """(x_proj, h_proj), or where that is enough their sum alone."""
        x_proj, h_proj = project(params, x, hidden)
        return (x_proj + h_proj,) if self.adds else (x_proj, h_proj)

    def update(self, valid: Array | None, extra: Any, state: Any, projections: tuple[Array, ...]) -> tuple[Any, Array]:
        """The pointwise part of a step, padding left as it is."""
        x_proj = projections[0]
        h_proj = jnp.zeros_like(x_proj) if self.adds else projections[1]
        new_state, output = self.cell.update(extra, state, x_proj, h_proj)
        if valid is None:
            return new_state, output
        return jax.tree.map(functools.partial(where, valid), new_state, state), where(valid, output, None)

    # Forward

    def forward(self, params: Any, state: Any, inputs: Array, marks: Marks) -> tuple[Any, Any]:
        """((last state, outputs), what is kept)."""
        extra = without_weights(params)

        def step(carry: Any, t: Array) -> Any:
            state, starts = carry
            # Read here instead of scanned over: under vmap, scan would first make a copy with time in front.
            x, valid = _at((inputs, marks.valid), t)
            projections = self.project(params, where(valid, x, None), state.hidden)
            update: Callable[..., Any] = functools.partial(self.update, valid)
            kept = None
            if self.mode == "activations":
                update = jax.checkpoint(update, policy=keep_activations, prevent_cse=False)
                (new_state, output), pullback = jax.vjp(update, extra, state, projections)
                kept = state.hidden, pullback
            else:
                new_state, output = update(extra, state, projections)
                if self.mode == "states":
                    kept = state
                else:  # written at each step, the last time at the one whose state is wanted: a branch costs more
                    starts = _put(starts, state, (t + self.chunk - 1) // self.chunk)
            return (new_state, starts), (output if self.return_outputs else None, kept)

        starts = None
        if self.mode == "checkpoint":
            num_starts = -(-self.num_steps // self.chunk) + 1  # one more, for what no chunk begins with
            starts = jax.tree.map(functools.partial(_zeros, num_starts), state)
        carry, (outputs, kept) = jax.lax.scan(step, (state, starts), jnp.arange(self.num_steps))
        state, starts = carry
        return (state, outputs), starts if self.mode == "checkpoint" else kept

    # Backward

    def backward(
        self, params: Any, initial_state: Any, inputs: Array, marks: Marks, kept: Any, d_state: Any, d_outputs: Any
    ) -> tuple[Any, Any, Array]:
        """The gradients of parameters, initial state and inputs."""
        num_chunks = -(-self.num_steps // self.chunk)
        num_last = self.num_steps - (num_chunks - 1) * self.chunk
        d_state = jax.tree.map(_instantiated, d_state, initial_state, is_leaf=_is_zero)
        d_outputs = None if _is_zero(d_outputs) else d_outputs
        extra = without_weights(params)
        w_hh_t = params.w_hh.T  # out here, for XLA would transpose it at each step
        linear = LinearParams(params.w_ih, params.w_hh, params.bias)
        no_output_wanted = None if d_outputs is not None else self.zero_output(params, initial_state, inputs)
        totals = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, _sum_dtype(leaf)), (extra, linear))
        x_proj = jax.eval_shape(self.project, params, inputs[0], initial_state.hidden)
        d_projections = jax.tree.map(functools.partial(_zeros, self.chunk), x_proj)

        def of_chunk(carry: Any, number: Array) -> tuple[Any, None]:
            d_state, (d_extra, d_linear), d_projections, d_inputs = carry
            # The last chunk may be short. Its window is as long as any and begins in the chunk before: those rows of
            # d_projections are still zero when it adds up, and those of d_inputs are written once more after it.
            first = number * self.chunk
            begin = jnp.minimum(first, self.num_steps - self.chunk)
            count = jnp.where(number == num_chunks - 1, num_last, self.chunk) if num_last < self.chunk else self.chunk
            window = functools.partial(jax.lax.dynamic_slice_in_dim, start_index=begin, slice_size=self.chunk)
            x, marks_here = jax.tree.map(window, (inputs, marks))
            x = where(marks_here.valid, x, None)
            if self.mode == "activations":
                hidden, states, projections = window(kept[0]), None, None
            else:
                if self.mode == "states":
                    states = jax.tree.map(window, kept)
                else:
                    states = self.again(params, _at(kept, number), x, marks_here, first - begin, count)
                hidden = states.hidden
                projections = self.project(params, x, hidden)

            def step(i: Array, carry: Any) -> Any:
                d_state, d_extra, d_projections = carry
                row = first - begin + count - 1 - i
                valid, cut = _at(marks_here, row)
                if self.mode == "activations":
                    pullback = _at(kept[1], begin + row)
                else:
                    update = functools.partial(self.update, valid)
                    _, pullback = jax.vjp(update, extra, _at(states, row), _at(projections, row))
                d_output = no_output_wanted if d_outputs is None else _at(d_outputs, begin + row)
                d_extra_here, d_state, d_here = pullback((d_state, d_output))
                d_projections = self.put(d_projections, d_here, row)
                # Read back what was written, else XLA computes it a second time for the product.
                d_h_proj = _at(d_projections[-1], row)
                d_state = d_state._replace(hidden=d_state.hidden + (d_h_proj @ w_hh_t).astype(d_state.hidden.dtype))
                if cut is not None:
                    d_state = jax.tree.map(functools.partial(where, ~cut, other=None), d_state)
                return d_state, _add(d_extra, d_extra_here), d_projections

            carry = d_state, d_extra, d_projections
            d_state, d_extra, d_projections = jax.lax.fori_loop(0, count, step, carry)
            d_x_proj, d_h_proj = d_projections[0], d_projections[-1]
            over_steps = tuple(range(d_x_proj.ndim - 1))
            d_bias = jnp.sum(d_x_proj, over_steps, dtype=d_linear.bias.dtype)
            gradients = LinearParams(_product(x, d_x_proj), _product(hidden, d_h_proj), d_bias)
            d_x = (d_x_proj @ params.w_ih.T).astype(inputs.dtype)
            d_inputs = jax.lax.dynamic_update_slice_in_dim(d_inputs, d_x, begin, 0)
            return (d_state, (d_extra, _add(d_linear, gradients)), d_projections, d_inputs), None

        carry = (d_state, totals, d_projections, jnp.zeros_like(inputs))
        carry, _ = jax.lax.scan(of_chunk, carry, jnp.arange(num_chunks), reverse=True)
        d_state, (d_extra, d_linear), _, d_inputs = carry
        d_params = d_extra._replace(**d_linear._asdict())
        return jax.tree.map(lambda gradient, param: gradient.astype(param.dtype), d_params, params), d_state, d_inputs

    def again(self, params: Any, state: Any, x: Array, marks: Marks, first: Array, count: Any) -> Any:
        """The state before each step of a chunk, from that before its first: rows `first` to `first + count`."""

        def step(i: Array, carry: Any) -> Any:
            state, states = carry
            row = first + i
            states = _put(states, state, row)
            projections = self.project(params, x[row], state.hidden)
            state, _ = self.update(_at(marks.valid, row), without_weights(params), state, projections)
            return state, states

        states = jax.tree.map(functools.partial(_zeros, self.chunk), state)
        return jax.lax.fori_loop(0, count, step, (state, states))[1]

    def zero_output(self, params: Any, state: Any, inputs: Array) -> Array:
        """Zeros in the shape of a step's output."""
        update = functools.partial(self.update, None)
        projections = jax.eval_shape(self.project, params, inputs[0], state.hidden)
        _, output = jax.eval_shape(update, without_weights(params), state, projections)
        return jnp.zeros(output.shape, output.dtype)

    def put(self, buffers: tuple[Array, ...], values: tuple[Array, ...], row: Array) -> tuple[Array, ...]:
        """Write a step's gradients into their row, gate by gate.

        XLA then writes each gate from the loop that computes it; put side by side first, all four would be computed in
        one loop with a branch for each number, which on a CPU takes several times as long.
        """
        width = values[0].shape[-1]
        num_gates = self.cell.num_gates if width % self.cell.num_gates == 0 else 1
        for gate, piece in enumerate(zip(*(jnp.split(value, num_gates, -1) for value in values), strict=True)):
            first = gate * (width // num_gates)
            buffers = tuple(
                jax.lax.dynamic_update_slice(buffer, value[None], (row, *(0,) * (value.ndim - 1), first))
                for buffer, value in zip(buffers, piece, strict=True)
            )
        return buffers


def where(valid: Array | None, new: Array, other: Array | None) -> Array:
    """`new` where `valid`, or everywhere if that is None; `other`, or zero, elsewhere."""
    if valid is None:
        return new
    valid = valid.reshape(valid.shape + (1,) * (new.ndim - valid.ndim))
    return jnp.where(valid, new, jnp.zeros_like(new) if other is None else other)


def _is_zero(value: Any) -> bool:
    return isinstance(value, SymbolicZero)


def _instantiated(cotangent: Any, like: Array) -> Array:
    return jnp.zeros_like(like) if _is_zero(cotangent) else cotangent


def _sum_dtype(leaf: Array) -> Any:
    """Sums over many steps are kept in float32 at least."""
    return jnp.dtype(jnp.float32) if jnp.finfo(leaf.dtype).bits < 32 else leaf.dtype


def _zeros(length: int, leaf: Any) -> Array:
    return jnp.zeros((length, *leaf.shape), leaf.dtype)


def _at(tree: Any, index: Array) -> Any:
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), tree)


def _put(tree: Any, values: Any, index: Array) -> Any:
    return jax.tree.map(lambda leaf, value: jax.lax.dynamic_update_index_in_dim(leaf, value, index, 0), tree, values)


def _add(totals: Any, more: Any) -> Any:
    return jax.tree.map(lambda total, value: total + value.astype(total.dtype), totals, more)


def _product(a: Shaped[Array, "K *B M"], b: Shaped[Array, "K *B N"]) -> Float[Array, "M N"]:
    """Σ aᵀ b over steps and sequences; 2-D, contracted over the first axis: XLA transposes other forms in memory."""
    dtype = jnp.promote_types(a.dtype, b.dtype)
    a, b = a.reshape(-1, a.shape[-1]).astype(dtype), b.reshape(-1, b.shape[-1]).astype(dtype)
    return jax.lax.dot_general(a, b, (((0,), (0,)), ((), ())), preferred_element_type=_sum_dtype(a))
