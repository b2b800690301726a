"""A cell's parameters, any pytree of arrays, as variables of flax.nnx: one for each array, under its own name."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


class Parameters(nnx.Module):
    """One `nnx.Param` an array: a NamedTuple's `w_ih` is the attribute `w_ih`, what is nested a module inside.

    `get_value` makes the tree again that it was built from; variables of Flax cells are taken as they are. A tree that
    is a single array has it under the name `array`, and a name that a module needs itself, `eval` say, gets a `_`.
    """

    _structure: Any = None
    _paths: tuple[tuple[str, ...], ...] = ()

    def __init__(self, tree: Any) -> None:
        leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_variable)
        self._structure = jax.tree.structure(tree)
        self._paths = tuple(tuple(map(_name, path)) or ("array",) for path, _ in leaves)
        if len(set(self._paths)) < len(leaves):
            raise ValueError(f"parameters: expected names that differ, got {self._paths}")
        for path, (_, leaf) in zip(self._paths, leaves, strict=True):
            _place(self, path, leaf if _is_variable(leaf) else nnx.Param(leaf))

    def get_value(self) -> Any:
        """The tree of arrays, as `cell.init` made it."""
        return self._tree_of([variable.get_value() for variable in self._variables()])

    def set_value(self, tree: Any) -> None:
        """Take the arrays of a tree of the same structure and shapes; raises ValueError for another."""
        values, variables = self._values_of(tree), self._variables()
        for path, variable, value in zip(self._paths, variables, values, strict=True):
            expected, shape = jnp.shape(variable.get_value()), getattr(value, "shape", ())
            if shape != expected:
                raise ValueError(f"parameters: {'.'.join(path)}: expected {list(expected)}, got {list(shape)}")
        for variable, value in zip(variables, values, strict=True):
            variable.set_value(value)

    # Not public: `nnx.tabulate` makes a row of every public method that is called.

    def _variables(self) -> list[nnx.Variable[Any]]:
        """The variables, in the order of the tree's leaves."""
        return [_at(self, path) for path in self._paths]

    def _tree_of(self, values: list[Any]) -> Any:
        """The tree with these values, one for each of `_variables`."""
        return jax.tree.unflatten(self._structure, jax.tree.leaves(values))

    def _values_of(self, tree: Any) -> list[Any]:
        """The values in such a tree, one for each of `_variables`; raises ValueError for another structure."""
        if jax.tree.structure(tree) != self._structure:
            raise ValueError(f"parameters: expected {self._structure}, got {jax.tree.structure(tree)}")
        leaves = jax.tree.leaves(tree, is_leaf=_is_variable)
        return [leaf.get_value() if _is_variable(leaf) else leaf for leaf in leaves]


class _Group(nnx.Module):
    """Parameters that are nested in others."""


def as_trees(state: nnx.State[Any, Any], model: nnx.Module) -> nnx.State[Any, Any]:
    """The parameters of `model` with those of each cell as one tree, `params`, its leaves in the cell's own order.

    nnx sorts by name, and a norm over all of them depends in its last bits on the order of its sum: runs and their
    checkpoints keep the order that they have had from the first version on.
    """
    flat = dict(nnx.to_flat_state(state))
    for path, cell in _cells(model):
        values = [flat.pop((*path, *name)).get_value() for name in cell._paths]
        flat[(*path[:-1], "params")] = nnx.Param(cell._tree_of(values))
    return nnx.from_flat_state(flat)


def as_variables(state: nnx.State[Any, Any], model: nnx.Module) -> nnx.State[Any, Any]:
    """The parameters of `model` as flax has them, from what `as_trees` made."""
    flat = dict(nnx.to_flat_state(state))
    for path, cell in _cells(model):
        values = cell._values_of(flat.pop((*path[:-1], "params")).get_value())
        for name, variable, value in zip(cell._paths, cell._variables(), values, strict=True):
            flat[(*path, *name)] = variable.replace(value)
    return nnx.from_flat_state(flat)


def from_old_state(old: Any, model: nnx.Module) -> nnx.State[Any, Any]:
    """The parameters of `model` from an earlier version's, where each cell's were one variable, `params`.

    `old` is its `nnx.state`, the plain dictionary of that, or what orbax restores of either without a target. Raises
    ValueError where an array is missing or has another shape.
    """
    found = {_old_names(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(old)}
    of_cells = {
        (*path, *names): (*map(str, path[:-1]), "params", *_old_names(old_path))
        for path, cell in _cells(model)
        for names, (old_path, _) in zip(cell._paths, jax.tree_util.tree_leaves_with_path(cell.get_value()), strict=True)
    }
    new = []
    for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        names = of_cells.get(path, tuple(map(str, path)))
        expected = f"parameters: expected {'/'.join(names)} {list(variable.shape)} in the old state, got "
        if names not in found:
            raise ValueError(expected + (", ".join("/".join(each) for each in found) or "nothing"))
        if jnp.shape(found[names]) != variable.shape:
            raise ValueError(f"{expected}{list(jnp.shape(found[names]))}")
        new.append((path, variable.replace(found[names])))
    return nnx.from_flat_state(new)


def _cells(model: nnx.Module) -> list[tuple[tuple[Any, ...], Parameters]]:
    return [(path, node) for path, node in nnx.iter_graph(model) if isinstance(node, Parameters)]


def _is_variable(leaf: Any) -> bool:
    return isinstance(leaf, nnx.Variable)


def _name(key: Any) -> str:
    """The attribute's name for a key of jax's, of a tree's path."""
    name = _text(key)
    while hasattr(Parameters, name):  # a method's, `eval` say
        name += "_"
    return name


def _text(key: Any) -> str:
    """Of a field, a dictionary, a sequence or a node of the user's own."""
    return str(next((getattr(key, each) for each in ("name", "key", "idx") if hasattr(key, each)), key))


def _old_names(path: tuple[Any, ...]) -> tuple[str, ...]:
    """A tree's path without what flax calls the inside of a variable, which a plain dictionary does not have."""
    return tuple(name for name in map(_text, path) if name != "value")


def _place(module: nnx.Module, path: tuple[str, ...], variable: nnx.Variable[Any]) -> None:
    for name in path[:-1]:
        if name not in vars(module):
            setattr(module, name, _Group())
        module = vars(module)[name]
    setattr(module, path[-1], variable)


def _at(module: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        module = vars(module)[name]
    return module
