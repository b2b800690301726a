"""How long the units of a cell keep what they hold, and how fast its states drift apart."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lstm_jax.cells.base import Cell, Params, State
from lstm_jax.cells.coupled_lstm import CoupledLSTM
from lstm_jax.cells.gru import GRU
from lstm_jax.cells.lstm import LSTM
from lstm_jax.diagnostics.rollout import flat


def retained(cell: Cell, params: Params, states: State, vectors: Float[Array, "T B D"]) -> Float[Array, "T B F"]:
    """The share of each number of the state that a step keeps: the diagonal of d state' / d state, before each step.

    No knowledge of the cell is needed. Of an LSTM's cell state it is the forget gate, of a GRU's hidden state the
    update gate and what its candidate adds.
    """

    def one(state: State, x: Array) -> Array:
        diagonal: Array = jnp.diagonal(_jacobian(cell, params, state, x))
        return diagonal

    shares: Array = jax.vmap(jax.vmap(one))(states, vectors)
    return shares


@functools.singledispatch
def gates_of(cell: Cell, params: Params, state: State, x: Float[Array, "*B D"]) -> dict[str, Float[Array, "*B H"]]:
    """The gates of a step by their names, each between 0 and 1; raises ValueError for a cell whose gates nobody named.

    The one that keeps the state is called forget or update.
    To name those of a cell of your own: `@gates_of.register` a function of its class.
    """
    raise ValueError(f"cell: {type(cell).__name__} has no gates with names; expected one of lstm, coupled_lstm, gru")


@gates_of.register
def _(cell: LSTM, params: Params, state: State, x: Array) -> dict[str, Array]:
    i, f, _, o = jnp.split(x @ params.w_ih + params.bias + state.hidden @ params.w_hh, 4, axis=-1)
    return {"forget": jax.nn.sigmoid(f), "input": jax.nn.sigmoid(i), "output": jax.nn.sigmoid(o)}


@gates_of.register
def _(cell: CoupledLSTM, params: Params, state: State, x: Array) -> dict[str, Array]:
    f, _, o = jnp.split(x @ params.w_ih + params.bias + state.hidden @ params.w_hh, 3, axis=-1)
    return {"forget": jax.nn.sigmoid(f), "input": 1.0 - jax.nn.sigmoid(f), "output": jax.nn.sigmoid(o)}


@gates_of.register
def _(cell: GRU, params: Params, state: State, x: Array) -> dict[str, Array]:
    r, z, _ = jnp.split(x @ params.w_ih + params.bias, 3, axis=-1)
    h_r, h_z, _ = jnp.split(state.hidden @ params.w_hh, 3, axis=-1)
    return {"update": jax.nn.sigmoid(z + h_z), "reset": jax.nn.sigmoid(r + h_r)}


def time_constants(retained: Float[Array, "*B F"]) -> Float[Array, "*B F"]:
    """-1 / log |k| in steps, of values of which a step keeps the share k; infinite from 1 on, 0 where nothing is."""
    size = jnp.abs(retained)
    inside = (size > 0.0) & (size < 1.0)
    steps = -1.0 / jnp.log(jnp.where(inside, size, 0.5))
    return jnp.where(inside, steps, jnp.where(size >= 1.0, jnp.inf, 0.0))


def lyapunov_exponents(cell: Cell, params: Params, states: State, vectors: Float[Array, "T B D"]) -> Float[Array, " F"]:
    """The exponents of d state_T / d state_0 along a sequence, per step and largest first, in the mean over the batch.

    By QR decompositions (Benettin et al. 1980): the logarithms of the diagonals of R, divided by T.
    """
    number = flat(jax.tree.map(lambda leaf: leaf[:1, :1], states)).shape[-1]

    def of_sequence(states: State, vectors: Array) -> Array:
        def step(carry: tuple[Array, Array], at: tuple[State, Array]) -> tuple[tuple[Array, Array], None]:
            basis, total = carry
            basis, triangle = jnp.linalg.qr(_jacobian(cell, params, *at) @ basis)
            return (basis, total + jnp.log(jnp.abs(jnp.diagonal(triangle)))), None

        start = (jnp.eye(number, dtype=vectors.dtype), jnp.zeros(number, vectors.dtype))
        (_, total), _ = jax.lax.scan(step, start, (states, vectors))
        return total / len(vectors)

    exponents = jax.vmap(of_sequence, in_axes=1)(states, vectors)
    return -jnp.sort(-exponents.mean(axis=0))


def _jacobian(cell: Cell, params: Params, state: State, x: Array) -> Float[Array, "F F"]:
    """d state' / d state of one sequence, all values of a state side by side."""
    leaves, structure = jax.tree.flatten(state)
    sizes = [leaf.size for leaf in leaves]

    def step(values: Array) -> Array:
        parts = jnp.split(values, list(itertools.accumulate(sizes))[:-1])
        shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        new, _ = cell.step(params, jax.tree.unflatten(structure, shaped), x)
        return flat(new, batch_axes=0)

    jacobian: Array = jax.jacfwd(step)(flat(state, batch_axes=0))
    return jacobian
