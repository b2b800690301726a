"""Arrays with time in front, `[T, ...]`: read, write and mask one step, add up over all of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped


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


def on_mesh_as(array: Array, other: Any) -> Array:
    """`array` on a mesh as `other` is, whose axes are its last ones; untouched where there is no mesh.

    The carry of a loop has to be so from the start: in `jax.shard_map` vary over the same axes, and on a mesh with
    explicit axes be sharded over the same ones.
    """
    array = _varying(array, _varies_over(other))
    mesh, spec = _mesh(other), _spec(other)
    return _sharded(array, mesh, (None,) * (array.ndim - len(spec)) + spec) if any(spec) else array


def alike(params: Any, inputs: Array, state: Any, lengths: Array | None) -> tuple[Any, Array, Any, Array | None]:
    """What a scan is given, untouched where there is no mesh.

    In `jax.shard_map` all of it varies over the axes that any of it varies over: then so does whatever is computed from
    it, and gradients of what did not are summed by jax. On a mesh with explicit axes, inputs, state and lengths are
    sharded over the batch as any of them is, and nothing is over anything else: parameters are gathered, and their
    gradients are sharded as they were.
    """
    given = (params, inputs, state, lengths)
    axes = frozenset().union(*map(_varies_over, jax.tree.leaves(given)))
    if axes:
        given = jax.tree.map(lambda leaf: _varying(leaf, axes), given)
    mesh = next((mesh for mesh in map(_mesh, jax.tree.leaves(given)) if mesh is not None), None)
    if mesh is None:
        return given
    params, inputs, state, lengths = given
    batch = _batch_spec(inputs, [leaf for leaf in (*jax.tree.leaves(state), lengths) if leaf is not None])

    def over_batch(leaf: Array) -> Array:
        is_batch = leaf.shape[: len(batch)] == inputs.shape[1:-1]
        return _sharded(leaf, mesh, (*(batch if is_batch else ()), *(None,) * (leaf.ndim - is_batch * len(batch))))

    params = jax.tree.map(lambda leaf: _sharded(leaf, mesh, (None,) * jnp.ndim(leaf)), params)
    return params, _sharded(inputs, mesh, (None, *batch, None)), *jax.tree.map(over_batch, (state, lengths))


def _batch_spec(inputs: Array, others: list[Array]) -> tuple[Any, ...]:
    """What each axis of the batch is sharded over, where inputs `[T, *B, D]` or another `[*B, ...]` is; each once."""
    num_axes = inputs.ndim - 2
    specs = [_spec(inputs)[1:-1], *(_spec(other) for other in others if other.shape[:num_axes] == inputs.shape[1:-1])]
    batch: list[Any] = []
    for index in range(num_axes):
        taken = {name for each in batch for name in _names(each)}
        free = (spec[index] for spec in specs if not taken & set(_names(spec[index])))
        batch.append(next((each for each in free if each is not None), None))
    return tuple(batch)


def _names(over: Any) -> tuple[Any, ...]:
    """The axes of a mesh in one entry of a PartitionSpec."""
    return over if isinstance(over, tuple) else () if over is None else (over,)


def _varying(array: Array, axes: frozenset[Any]) -> Array:
    missing = tuple(sorted(axes - _varies_over(array)))
    return jax.lax.pcast(array, missing, to="varying") if missing else array


def _varies_over(value: Any) -> frozenset[Any]:
    value = _typed(value)
    manual = getattr(value, "manual_axis_type", None)  # called vma before jax 0.10
    return frozenset(manual.varying if manual is not None else getattr(value, "vma", None) or ())


def _mesh(value: Any) -> Any:
    """The mesh with explicit axes that an array is on; None where it is on no such mesh."""
    mesh = getattr(getattr(_typed(value), "sharding", None), "mesh", None)
    return mesh if getattr(mesh, "explicit_axes", None) else None


def _spec(value: Any) -> tuple[Any, ...]:
    """What each axis is sharded over, of a mesh with explicit axes."""
    spec = () if _mesh(value) is None else tuple(_typed(value).sharding.spec)
    return spec + (None,) * (jnp.ndim(value) - len(spec))


def _typed(value: Any) -> Any:
    """Shape, dtype and place of an array or a number, or of what stands for one."""
    return value if isinstance(value, jax.ShapeDtypeStruct) else jax.typeof(value)


def _sharded(array: Array, mesh: Any, spec: tuple[Any, ...]) -> Array:
    """`array` sharded so: by the mesh's name, for there may be no other in the context."""
    if spec != _spec(array):
        array = jax.sharding.reshard(array, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec)))
    return array


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
    if any(_spec(a)) or any(_spec(b)):  # what is sharded can't be reshaped, and where the sum goes must be said
        over = tuple(range(a.ndim - 1))
        columns = jax.sharding.PartitionSpec(_spec(a)[-1], _spec(b)[-1])
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
