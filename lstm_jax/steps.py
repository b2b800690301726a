"""Arrays with time in front, `[T, ...]`: read, write and mask one step, add up over all of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from lstm_jax.mesh import on_mesh_as, spec_of


def where(valid: Array | None, new: Array, other: Array | None) -> Array:
    """`new` where `valid`, or everywhere if that is None; `other`, or zero, elsewhere."""
    if valid is None:
        return new
    valid = valid.reshape(valid.shape + (1,) * (new.ndim - valid.ndim))
    return jnp.where(valid, new, jnp.zeros_like(new) if other is None else other)


def zeros(num_steps: int, tree: Any) -> Any:
    """Room for `num_steps` values like `tree`, on a mesh as they are."""
    return jax.tree.map(lambda leaf: on_mesh_as(jnp.zeros((num_steps, *leaf.shape), leaf.dtype), leaf), tree)


def zeros_like(leaf: Any) -> Array:
    """Zeros like an array, or its shape and dtype, on a mesh as it is."""
    return on_mesh_as(jnp.zeros(leaf.shape, leaf.dtype), leaf)


def read_step(tree: Any, index: Array) -> Any:
    """The values of one step."""
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), tree)


def write_step(tree: Any, values: Any, index: Array) -> Any:
    """`tree` with the values of one step replaced."""
    return jax.tree.map(lambda leaf, value: jax.lax.dynamic_update_index_in_dim(leaf, value, index, 0), tree, values)


def write_gates(arrays: tuple[Array, ...], values: tuple[Array, ...], index: Array, num_gates: int) -> Any:
    """`arrays` `[T, ..., G*H]` with the values of one step replaced, gate by gate.

    XLA then writes each gate from the loop that computes it; put side by side first, all of them would be computed in
    one loop with a branch for each number, which on a CPU takes several times as long.
    """
    width = values[0].shape[-1]
    num_gates = num_gates if width % num_gates == 0 else 1
    for gate, of_gate in enumerate(zip(*(jnp.split(value, num_gates, -1) for value in values), strict=True)):
        first = gate * (width // num_gates)
        arrays = tuple(
            jax.lax.dynamic_update_slice(array, value[None], (index, *(0,) * (value.ndim - 1), first))
            for array, value in zip(arrays, of_gate, strict=True)
        )
    return arrays


def add(totals: Any, values: Any) -> Any:
    """The sums, in the dtypes of `totals`."""
    return jax.tree.map(lambda total, value: total + value.astype(total.dtype), totals, values)


def sum_dtype(leaf: Array) -> Any:
    """The dtype for sums over many steps: float32 at least."""
    return jnp.dtype(jnp.float32) if jnp.finfo(leaf.dtype).bits < 32 else leaf.dtype


def product(a: Shaped[Array, "K *B M"], b: Shaped[Array, "K *B N"]) -> Float[Array, "M N"]:
    """Σ aᵀ b over steps and sequences; 2-D, contracted over the first axis: XLA transposes other forms in memory."""
    dtype = jnp.promote_types(a.dtype, b.dtype)
    if any(spec_of(a)) or any(spec_of(b)):  # what is sharded can't be reshaped, and where the sum goes must be said
        over = tuple(range(a.ndim - 1))
        columns = jax.sharding.PartitionSpec(spec_of(a)[-1], spec_of(b)[-1])
        return jax.lax.dot_general(
            a.astype(dtype),
            b.astype(dtype),
            ((over, over), ((), ())),
            preferred_element_type=sum_dtype(a),
            out_sharding=columns,
        )
    a, b = a.reshape(-1, a.shape[-1]).astype(dtype), b.reshape(-1, b.shape[-1]).astype(dtype)
    return jax.lax.dot_general(a, b, (((0,), (0,)), ((), ())), preferred_element_type=sum_dtype(a))


def checked_lengths(lengths: Any, batch_shape: tuple[int, ...], num_steps: int) -> Array:
    """Lengths as int32 in [0, T]; raises ValueError for others where they are not traced."""
    if not isinstance(lengths, jax.Array):
        lengths = np.asarray(lengths)
        lengths = lengths if lengths.size else lengths.astype(np.int32)  # an empty list is of floats
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(f"lengths: expected integers, got {lengths.dtype}")
    if lengths.shape != batch_shape:
        raise ValueError(f"lengths: expected the shape of the batch, {list(batch_shape)}, got {list(lengths.shape)}")
    if not isinstance(lengths, jax.core.Tracer) and lengths.size:
        values = np.asarray(lengths)  # by NumPy: under jit, jax would trace even this
        least, most = int(values.min()), int(values.max())
        if least < 0 or most > num_steps:
            raise ValueError(f"lengths: expected 0 to T = {num_steps}, got {least if least < 0 else most}")
    # clipped before they are made int32, which a larger type may not fit into
    return jnp.clip(jnp.asarray(lengths), 0, min(num_steps, int(jnp.iinfo(lengths.dtype).max))).astype(jnp.int32)
