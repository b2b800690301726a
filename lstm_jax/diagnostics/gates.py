"""How long the units of a cell keep what they hold, and how fast its states drift apart."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lstm_jax.cells.base import Cell, Params, State
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
