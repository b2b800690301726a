"""Functions of one run for several, in lanes side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Int32


def lift(function: Callable[..., Any], num_lanes: int, in_axes: Any = 0) -> Callable[..., Any]:
    """`function` of one run as a function of `num_lanes` runs, stacked along a leading axis.

    One lane is not vmapped, since a batch axis of one costs time on CPU and changes the last bits.
    """
    if num_lanes > 1:
        return jax.vmap(function, in_axes=in_axes)

    def one_lane(*arguments: Any) -> Any:
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(arguments)
        lane = [
            jax.tree.map(lambda leaf: leaf[0], argument) if axis == 0 else argument
            for argument, axis in zip(arguments, axes, strict=True)
        ]
        return jax.tree.map(lambda leaf: leaf[None], function(*lane))

    return one_lane


def switch(index: Int32[Array, ""], branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`branches[index](*operands)`, as jax.lax.switch has it, and the same numbers.

    Under jax.vmap that computes all branches for all lanes. Here a branch that no lane takes is not computed: of lanes
    that take the same one, that alone. All that differs between lanes has to be in `operands`.
    """

    @custom_vmap
    def chosen(index: Array, operands: Any) -> Any:
        return jax.lax.switch(index, branches, *operands)

    @chosen.def_vmap
    def lanes(axis_size: int, is_batched: Any, index: Array, operands: Any) -> tuple[Any, Any]:
        axes = tuple(jax.tree.map(lambda batched: 0 if batched else None, each) for each in is_batched[1])
        of_lanes = [jax.vmap(branch, in_axes=axes, axis_size=axis_size) for branch in branches]
        if is_batched[0]:
            found = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(of_lanes[0], *operands))
            for place, branch in enumerate(of_lanes):
                found = _where(index == place, branch, operands, found)
        else:
            found = jax.lax.switch(index, of_lanes, *operands)
        return found, jax.tree.map(lambda _: True, found)

    return chosen(index, operands)


def _where(mine: Array, branch: Callable[..., Any], operands: Any, others: Any) -> Any:
    """What `branch` gives for the lanes that are `mine`; nothing is computed where there are none."""

    def compute(others: Any) -> Any:
        def choose(new: Array, old: Array) -> Array:
            return jnp.where(mine.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return jax.tree.map(choose, branch(*operands), others)

    return jax.lax.cond(mine.any(), compute, lambda others: others, others)
