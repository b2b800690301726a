"""What the tests of cells, scan and layers share: cells by name, parameters away from zero, a Python loop as oracle."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lstm_jax.cells import CELLS, make_cell
from lstm_jax.scan import scan

HIDDEN_DIM, INPUT_DIM = 5, 3

# Every registered name, by its default settings; a cell that is registered tomorrow is tested without a line here.
SETTINGS = ["rnn@init=orthogonal", "gru@reset=before", "gru@chrono=true", "gru@update_bias=2.5"]
SETTINGS += ["lstm@init=orthogonal,forget_bias=0", "lstm@chrono=true", "rnn@activation=relu"]
OURS = [*CELLS, *SETTINGS]
OWN = ["own_cells:Normalised@gain=2", "own_cells:Leaky@init=orthogonal"]
FLAX = ["flax.nnx:LSTMCell", "flax.nnx:GRUCell", "flax.nnx:SimpleCell", "flax.nnx:OptimizedLSTMCell"]
ALL = OURS + OWN + FLAX
# One of each kind of step, where settings only change how parameters start.
KINDS = [*CELLS, "gru@reset=before", *OWN, *FLAX]
# Of each form that a step may have a cell: the most common; a hidden state of another width than the output; no
# pointwise update. Those that are linear in their state have tests of their own.
OF_EACH_FORM = {"rnn", "gru", "lstm", "cornn", "gru@reset=before", *OWN, *FLAX}


def marks_of(name):
    """Of a test that costs seconds a cell: a registered cell of no form of its own is left to `make test-faults`."""
    return pytest.mark.long if name in CELLS and name not in OF_EACH_FORM else ()


def costly(names, *others):
    """Parameters of such a test: each name with each of the others' values."""
    return [
        pytest.param(name, *values, marks=marks_of(name)) for name in names for values in itertools.product(*others)
    ]


def cell_of(name, hidden_dim=HIDDEN_DIM):
    """The cell of that name, told a gap."""
    return make_cell(name, hidden_dim, gap=40)


@functools.cache
def params_of(cell, input_dim=INPUT_DIM, dtype=jnp.float32):
    """The cell's own initial parameters plus noise: at zero biases, a bias in the wrong place would not show."""
    params = _initial_params(cell, input_dim)
    return add_noise(jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), params), 1, 0.3)


@functools.cache
def _initial_params(cell, input_dim):
    # always in float32, so that the generators are compiled once
    with jax.enable_x64(False):
        return cell.init(jax.random.key(0), input_dim)


def add_noise(tree, seed, scale=1.0):
    """Each leaf plus normal noise. By NumPy: operation by operation, jax would compile each for each shape."""
    rng = np.random.default_rng(seed)

    def noisy(leaf):
        return jnp.asarray((np.asarray(leaf) + scale * rng.normal(size=leaf.shape)).astype(leaf.dtype))

    return jax.tree.map(noisy, tree)


def model_with_noise(build, seed=0, scale=0.5):
    """What `build()` makes, its parameters normal numbers of NumPy: none is zero, and there is nothing to compile."""
    graphdef, params = nnx.split(nnx.eval_shape(build))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), params)
    return nnx.merge(graphdef, add_noise(zeros, seed + 1, scale))


def inputs_of(num_steps, batch_shape=(2,), input_dim=INPUT_DIM, dtype=jnp.float32, seed=7):
    """Normal inputs `[T, *B, D]`."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=(num_steps, *batch_shape, input_dim)).astype(dtype))


def state_of(cell, batch_shape=(2,), dtype=jnp.float32, seed=8):
    """A state away from zero; of positive numbers, as those have to be that something is divided by."""
    return jax.tree.map(jnp.abs, add_noise(cell.initial_state(batch_shape, dtype), seed, 0.5))


def python_loop(cell, params, inputs, state, *, lengths=None, reverse=False):
    """The oracle of `scan`: each sequence by itself, its valid steps only, one after another."""
    step = jax.jit(cell.step)  # compiled once, where operation by operation each would be compiled
    if lengths is None:
        lengths = [inputs.shape[0]] * inputs.shape[1]
    finals, columns = [], []
    for b, length in enumerate(int(length) for length in lengths):
        state_b = jax.tree.map(lambda leaf, b=b: leaf[b], state)
        column = [jnp.zeros(cell.output_dim, inputs.dtype)] * inputs.shape[0]
        for t in range(length - 1, -1, -1) if reverse else range(length):
            state_b, column[t] = step(params, state_b, inputs[t, b])
        finals.append(state_b)
        columns.append(jnp.stack(column) if column else jnp.zeros((0, cell.output_dim), inputs.dtype))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *finals), jnp.stack(columns, axis=1)


@functools.partial(jax.jit, static_argnums=0, static_argnames=("reverse", "return_outputs"))
def jit_scan(cell, params, inputs, state=None, lengths=None, reverse=False, return_outputs=True):
    """`scan`, compiled; one cache for all tests."""
    return scan(cell, params, inputs, state, lengths=lengths, reverse=reverse, return_outputs=return_outputs)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _call(graphdef, state, static, arguments, options):
    return nnx.merge(graphdef, state)(*arguments, **options, **dict(static))


def call(module, *arguments, static=(), **options):
    """`module(*arguments, **options)`, compiled; `static` holds pairs of names and values that are no arrays.

    A scan that is not compiled as part of something is compiled anew at each call.
    """
    return _call(*nnx.split(module), tuple(static), arguments, options)


def weighted_sum(tree, seed=9):
    """A scalar that depends on each number of `tree`, with fixed normal weights."""
    rng = np.random.default_rng(seed)
    return sum(jnp.sum(leaf * jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype)) for leaf in jax.tree.leaves(tree))
