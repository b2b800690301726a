"""Several devices: how a loop's arrays have to lie in `jax.shard_map`, and on a mesh with explicit axes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


def on_mesh_as(array: Array, other: Any) -> Array:
    """`array` on a mesh as `other` is, whose axes are its last ones; untouched where there is no mesh.

    The carry of a loop has to be so from the start: in `jax.shard_map` vary over the same axes, and on a mesh with
    explicit axes be sharded over the same ones.
    """
    array = _varying(array, _varies_over(other))
    mesh, spec = _mesh(other), spec_of(other)
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
    specs = [
        spec_of(inputs)[1:-1],
        *(spec_of(other) for other in others if other.shape[:num_axes] == inputs.shape[1:-1]),
    ]
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


def spec_of(value: Any) -> tuple[Any, ...]:
    """What each axis is sharded over, of a mesh with explicit axes."""
    spec = () if _mesh(value) is None else tuple(_typed(value).sharding.spec)
    return spec + (None,) * (jnp.ndim(value) - len(spec))


def _typed(value: Any) -> Any:
    """Shape, dtype and place of an array or a number, or of what stands for one."""
    return value if isinstance(value, jax.ShapeDtypeStruct) else jax.typeof(value)


def _sharded(array: Array, mesh: Any, spec: tuple[Any, ...]) -> Array:
    """`array` sharded so: by the mesh's name, for there may be no other in the context."""
    if spec != spec_of(array):
        array = jax.sharding.reshard(array, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec)))
    return array
