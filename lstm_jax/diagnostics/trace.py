"""The gates of a trained cell and what it holds, step by step, over sequences of one's choice."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from lstm_jax.cells.base import Cell, Params, State
from lstm_jax.diagnostics.gates import gates_of


class Trace(NamedTuple):
    """Each gate by its name while a step is made, and the memory after it: the cell state, else the hidden one."""

    gates: dict[str, Float[Array, "T B H"]]
    memory: Float[Array, "T B H"]


def trace(cell: Cell, params: Params, vectors: Float[Array, "T B D"]) -> Trace:
    """Run a layer over its inputs; raises ValueError for a cell whose gates have no names."""

    def step(state: State, x: Array) -> tuple[State, tuple[dict[str, Array], Array]]:
        gates = gates_of(cell, params, state, x)
        new, _ = cell.step(params, state, x)
        return new, (gates, getattr(new, "cell", new[0]))

    start = cell.initial_state(vectors.shape[1:-1], vectors.dtype)
    _, (gates, memory) = jax.lax.scan(step, start, vectors)
    return Trace(gates, memory)


def carried(memory: Float[Array, "N H"], facts: Integer[Array, " N"], num_facts: int) -> Float[Array, " H"]:
    """Of each unit, the share of its variance that the fact explains: R^2 of a linear probe of that unit alone."""
    members = jax.nn.one_hot(facts, num_facts, dtype=memory.dtype)
    counts = jnp.maximum(members.sum(axis=0), 1.0)[:, None]
    centred = memory - memory.mean(axis=0)
    between = jnp.sum(counts * jnp.square(members.T @ centred / counts), axis=0)
    total = jnp.sum(jnp.square(centred), axis=0)
    return jnp.where(total > 0.0, between / jnp.where(total > 0.0, total, 1.0), 0.0)
