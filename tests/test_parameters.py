"""Parameters of any form as variables of flax.nnx, one an array, and as the trees that runs hold."""

from __future__ import annotations

import copy
import pickle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import INPUT_DIM, KINDS, cell_of
from flax import nnx

from lstm_jax.layers import Recurrent, Stack
from lstm_jax.models.base import params_of
from lstm_jax.parameters import Parameters, as_trees, as_variables


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
    "names of methods": ({"eval": 1.0, "variables": 2.0}, {"eval_": 1.0, "variables_": 2.0}),
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
