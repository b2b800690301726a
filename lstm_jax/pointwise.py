"""Whether a cell can be taken apart into linear maps and a pointwise update: by its program, not by its word.

The memory-saving scan never calls `cell.step`, so it may run a cell only where its own parts make the same step. What a
class says of itself (`is_pointwise`) can opt out, but never in.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jaxtyping import Array

from lstm_jax.cells.base import Cell, LinearParams, PointwiseCell


def can_be_taken_apart(cell: Cell, params: Any, state: Any, x: Any) -> bool:
    """Whether linear maps and `update` make the step that `cell.step` makes, with arrays that have gradients.

    `state` and `x` are those before one step, or their shapes and dtypes. What can't be taken apart in any way, be it
    that `update` asks for the weights, is no error: the reference path runs it, or says what is wrong.
    """
    if not (isinstance(cell, PointwiseCell) and cell.is_pointwise):
        return False
    leaves = [*jax.tree.leaves((params, state)), *(getattr(state, "hidden", None),)]
    if not all(hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        return False  # a counter, say, has no gradient to carry
    if not (_has_fields(params, LinearParams._fields) and _has_fields(state, ("hidden",))):
        return False
    width = jnp.shape(params.bias)
    shapes = ((x.shape[-1], *width), (jnp.shape(params.w_hh)[0], *width))
    if len(width) != 1 or (jnp.shape(params.w_ih), jnp.shape(params.w_hh)) != shapes:
        return False
    if state.hidden.shape != (*x.shape[:-1], shapes[1][0]):
        return False
    try:
        projections = jax.eval_shape(project, params, x, state.hidden)
        new_state, output = jax.eval_shape(cell.update, without_weights(params), state, *projections)
        if form(new_state) != form(state) or not _is_floating(output):
            return False
        return _steps_as_pointwise_cells_do(cell, params, state, x)
    except Exception:
        return False


def adds_projections(cell: PointwiseCell, params: Any, state: Any, x: Any) -> bool:
    """Whether all that `update` does with x_proj and h_proj is to add them to each other, once."""
    projections = jax.eval_shape(project, params, x, state.hidden)
    jaxpr = jax.make_jaxpr(cell.update)(without_weights(params), state, *projections).jaxpr
    pair = jaxpr.invars[-2:]

    def num_used(atoms: Any) -> int:
        return sum(atom is var for atom in atoms for var in pair)

    # What an equation holds inside of it, it is given as an argument. A result may be either of the pair, untouched.
    users = [equation for equation in jaxpr.eqns if num_used(equation.invars)]
    if num_used(jaxpr.outvars) or len(users) != 1 or users[0].primitive.name != "add":
        return False
    return all(num_used([atom]) for atom in users[0].invars) and users[0].invars[0] is not users[0].invars[1]


def project(params: Any, x: Array, hidden: Array) -> tuple[Array, Array]:
    """(x_proj, h_proj), the linear maps of a step."""
    return x @ params.w_ih + params.bias, hidden @ params.w_hh


def without_weights(params: Any) -> Any:
    """The pointwise parameters: the linear maps are not for `update`."""
    return params._replace(w_ih=None, w_hh=None, bias=None)


def form(tree: Any) -> Any:
    """What two states must share: structure, shapes and dtypes."""
    return tuple(jax.tree.flatten(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)))


def _has_fields(value: Any, names: tuple[str, ...]) -> bool:
    """Whether it is a NamedTuple with these among its fields."""
    return isinstance(value, tuple) and set(names) <= set(getattr(value, "_fields", ()))


def _is_floating(value: Any) -> bool:
    return hasattr(value, "dtype") and bool(jnp.issubdtype(value.dtype, jnp.floating))


def _steps_as_pointwise_cells_do(cell: PointwiseCell, params: Any, state: Any, x: Any) -> bool:
    """Whether `step` is that of `PointwiseCell`, or another that is the same program, operation by operation."""
    if getattr(cell.step, "__func__", None) is PointwiseCell.step:
        return True

    def pointwise_step(params: Any, state: Any, x: Array) -> Any:
        return cell.update(without_weights(params), state, *project(params, x, state.hidden))

    ours, theirs = (jax.make_jaxpr(step)(params, state, x) for step in (pointwise_step, cell.step))
    return _same(ours, theirs)


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two programs, or two settings of an operation, are the same; False where that can't be seen."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, ClosedJaxpr):
        return _same(list(ours.consts), list(theirs.consts)) and _same(ours.jaxpr, theirs.jaxpr)
    if isinstance(ours, Jaxpr):
        return _same_programs(ours, theirs)
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, np.ndarray | jax.Array):
        return ours is theirs or (
            not isinstance(ours, jax.core.Tracer)
            and not isinstance(theirs, jax.core.Tracer)
            and (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            and np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
        )
    return bool(ours is theirs or ours == theirs)


def _same_programs(ours: Jaxpr, theirs: Jaxpr) -> bool:
    names: dict[Any, Any] = {}

    def same_atoms(some: Any, others: Any) -> bool:
        def same(one: Any, other: Any) -> bool:
            if isinstance(one, Literal) or isinstance(other, Literal):
                return type(one) is type(other) and one.aval == other.aval and _same(one.val, other.val)
            return names.get(one) is other

        return len(some) == len(others) and all(map(same, some, others))

    def bound(some: Any, others: Any) -> bool:
        names.update(zip(some, others, strict=False))
        return len(some) == len(others) and all(one.aval == other.aval for one, other in zip(some, others, strict=True))

    return (
        bound([*ours.constvars, *ours.invars], [*theirs.constvars, *theirs.invars])
        and len(ours.eqns) == len(theirs.eqns)
        and all(
            one.primitive is other.primitive
            and same_atoms(one.invars, other.invars)
            and _same(one.params, other.params)
            and bound(one.outvars, other.outvars)
            for one, other in zip(ours.eqns, theirs.eqns, strict=True)
        )
        and same_atoms(ours.outvars, theirs.outvars)
    )
