"""Parameters of any form as variables of flax.nnx, one an array, and as the trees that runs hold."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from cell_cases import INPUT_DIM, KINDS, cell_of
from flax import nnx

from lstm_jax.cells.base import Cell
from lstm_jax.layers import Recurrent, Stack
from lstm_jax.models.base import params_of
from lstm_jax.parameters import Parameters, as_trees, as_variables, from_old_state


class Maps(NamedTuple):
    """Fields that don't come in the order of their names."""

    z: Any
    a: Any


TREES = {
    "namedtuple": (Maps(1.0, 2.0), {"a": 2.0, "z": 1.0}),
    "array": (3.0, {"array": 3.0}),
    "dictionary": ({"w": 1.0, "b": 2.0}, {"b": 2.0, "w": 1.0}),
    "nested": (
        {"gate": Maps([1.0, 2.0], (3.0,)), "out": 4.0},
        {"gate": {"a": {"0": 3.0}, "z": {"0": 1.0, "1": 2.0}}, "out": 4.0},
    ),
    "nothing there": (Maps(None, 2.0), {"a": 2.0}),
    "empty": ((), {}),
    "names of methods": ({"eval": 1.0, "get_value": 2.0}, {"eval_": 1.0, "get_value_": 2.0}),
    "names of its own": ({"_paths": 1.0, "_structure": {"_x": 2.0}}, {"_paths_": 1.0, "_structure_": {"_x": 2.0}}),
    "dots": ({"a.b": 1.0, "a": {"b": 2.0}}, {"a.b": 1.0, "a": {"b": 2.0}}),
    "numbers as keys": ({1: 1.0, 0: ((2.0,), 3.0)}, {"0": {"0": {"0": 2.0}, "1": 3.0}, "1": 1.0}),
    "nothing in it": ({"a": {}, "b": [None, 1.0]}, {"b": {"1": 1.0}}),
    "variables of Flax": (nnx.State({"k": {"b": nnx.Param(jnp.array(1.0))}}), {"k": {"b": 1.0}}),
}


def arrays_of(tree):
    return jax.tree.map(lambda number: jnp.full((2,), number), tree)


def assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize("name", TREES)
def test_every_array_is_a_variable_with_a_name(name):
    tree, names = TREES[name]
    parameters = Parameters(arrays_of(tree))
    assert_same(nnx.to_pure_dict(nnx.state(parameters)), arrays_of(names))
    assert all(type(leaf) is nnx.Param for _, leaf in nnx.to_flat_state(nnx.state(parameters)))


@pytest.mark.parametrize("name", TREES)
def test_the_tree_comes_back(name):
    """Also from a copy, however it is made."""
    tree = arrays_of(TREES[name][0])
    for way in (lambda each: each, nnx.clone, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
        parameters = way(Parameters(tree))
        assert_same(parameters.get_value(), tree)
        assert nnx.graphdef(parameters) == nnx.graphdef(Parameters(tree))
        assert hash(nnx.graphdef(parameters)) == hash(nnx.graphdef(Parameters(tree)))


def test_set_value():
    parameters = Parameters(arrays_of(Maps(1.0, 2.0)))
    parameters.set_value(arrays_of(Maps(3.0, 4.0)))
    assert_same(parameters.get_value(), arrays_of(Maps(3.0, 4.0)))
    assert_same(parameters.z[...], jnp.full((2,), 3.0))
    with pytest.raises(ValueError, match=r"parameters: expected PyTreeDef\(.*Maps.*got PyTreeDef"):
        parameters.set_value({"a": jnp.ones(2), "z": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"parameters: a: expected \[2\], got \[3\]"):
        parameters.set_value(Maps(jnp.ones(2), jnp.ones(3)))
    assert_same(parameters.get_value(), arrays_of(Maps(3.0, 4.0)))


def test_a_variable_may_be_replaced():
    """As in any module of Flax: by a shared one, say."""
    one, other = (Recurrent(cell_of("lstm"), INPUT_DIM, rngs=nnx.Rngs(seed)) for seed in (0, 1))
    other.params.w_hh = one.params.w_hh
    np.testing.assert_array_equal(other.params.get_value().w_hh, one.params.get_value().w_hh)
    assert len(jax.tree.leaves(nnx.state(nnx.List([one, other])))) == 5


def test_names_that_are_the_same_are_refused():
    with pytest.raises(ValueError, match="parameters: expected names that differ"):
        Parameters({"a": {1: jnp.ones(2)}, "b": Twice()})


@jax.tree_util.register_pytree_with_keys_class
class Twice:
    """A node with two children of one name."""

    def tree_flatten_with_keys(self):
        return [(jax.tree_util.DictKey("a"), jnp.ones(2)), (jax.tree_util.DictKey("a"), jnp.ones(2))], None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls()


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Pieces:
    """A node with fields."""

    first: Any
    second: Any


@jax.tree_util.register_pytree_with_keys_class
class OwnKeys:
    """A node whose keys are of no class of jax's."""

    def __init__(self, *children):
        self.children = children

    def tree_flatten_with_keys(self):
        return [(f"child{index}", child) for index, child in enumerate(self.children)], None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def test_nodes_of_the_users_own():
    tree = Pieces(jnp.ones(2), OwnKeys(jnp.zeros(2), Pieces(jnp.full(2, 3.0), None)))
    parameters = Parameters(tree)
    names = {"first": jnp.ones(2), "second": {"child0": jnp.zeros(2), "child1": {"first": jnp.full(2, 3.0)}}}
    assert_same(nnx.to_pure_dict(nnx.state(parameters)), names)
    for copied in (nnx.merge(*nnx.split(parameters)), copy.deepcopy(parameters)):
        assert_same(jax.tree.leaves(copied.get_value()), jax.tree.leaves(tree))
    with pytest.raises(ValueError, match=r"expected names that differ, got \(\('eval_',\), \('eval_',\)\)"):
        Parameters({"eval": jnp.ones(2), "eval_": jnp.ones(2)})


@dataclasses.dataclass(frozen=True)
class OneArray(Cell):
    """A cell whose parameters are a single array."""

    def init(self, key, input_dim, dtype=jnp.float32):
        return jax.random.normal(key, (self.hidden_dim,), dtype)

    def initial_state(self, batch_shape, dtype=jnp.float32):
        return jnp.zeros((*batch_shape, self.hidden_dim), dtype)

    def step(self, params, state, x):
        state = params * state + x
        return state, state


# Checkpoints of earlier versions


class OldLayer(nnx.Module):
    """As Recurrent was: all parameters of the cell one variable."""

    def __init__(self, cell, rngs):
        self.params = nnx.Param(cell.init(rngs.params(), INPUT_DIM))


class OldLayers(nnx.Module):
    """As Stack was, and something that stayed as it was."""

    def __init__(self, cells, rngs):
        self.layers = nnx.List([OldLayer(cell, rngs) for cell in cells])
        self.readout = nnx.Linear(2, 2, rngs=rngs)


class NewLayers(nnx.Module):
    """The same of today."""

    def __init__(self, cells, rngs):
        self.layers = nnx.List([Recurrent(cell, INPUT_DIM, rngs=rngs) for cell in cells])
        self.readout = nnx.Linear(2, 2, rngs=rngs)


def test_a_checkpoint_of_an_earlier_version(tmp_path):
    """The state as it was, the plain dictionary, and what orbax makes of both."""
    cells = [cell_of("lstm"), OneArray(INPUT_DIM), cell_of("flax.nnx:GRUCell")]
    old = OldLayers(cells, nnx.Rngs(0))
    state = nnx.state(old)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.save(tmp_path / "plain", nnx.to_pure_dict(state))
        checkpointer.wait_until_finished()
        restored = [checkpointer.restore(tmp_path / name) for name in ("state", "plain")]
    for each in (state, nnx.to_pure_dict(state), *restored):
        new = NewLayers(cells, nnx.Rngs(1))
        nnx.update(new, from_old_state(each, new))
        for old_layer, layer in zip(old.layers, new.layers, strict=True):
            assert_same(layer.params.get_value(), old_layer.params.get_value())
        assert_same(new.readout.kernel[...], old.readout.kernel[...])


def test_a_checkpoint_of_another_model():
    old = nnx.state(OldLayers([cell_of("rnn")], nnx.Rngs(0)))
    for cell, message in [
        (cell_of("gru"), r"expected layers/0/params/bias \[15\] in the old state, got \[5\]"),
        (cell_of("flax.nnx:GRUCell"), "expected layers/0/params/dense_h/kernel .* got layers/0/params/w_ih, "),
    ]:
        with pytest.raises(ValueError, match=message):
            from_old_state(old, NewLayers([cell], nnx.Rngs(0)))
    with pytest.raises(ValueError, match="got nothing"):
        from_old_state({}, NewLayers([cell_of("gru")], nnx.Rngs(0)))


@pytest.mark.parametrize("name", KINDS)
def test_trees_of_a_run(name):
    """Each cell's parameters as `init` made them, in the order of its fields; and back."""
    cell = cell_of(name)
    stack = Stack([cell, cell], cell.output_dim, rngs=nnx.Rngs(0))
    trees = params_of(stack)
    for index, layer in enumerate(stack.layers):
        assert_same(trees["layers"][index]["params"].get_value(), layer.params.get_value())
    assert_same(
        jax.tree.leaves(trees),
        [leaf for layer in stack.layers for leaf in jax.tree.leaves(layer.params.get_value())],
    )
    assert_same(as_variables(trees, stack), nnx.state(stack))
    assert_same(as_trees(as_variables(trees, stack), stack), trees)
