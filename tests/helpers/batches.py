"""Batches of tasks, drawn once for all tests of a process."""

from __future__ import annotations

import functools

import jax
import numpy as np

from lstm_jax.tasks import make_task


def made(name, gap):
    """The task at that gap, or at the smallest that it has."""
    try:
        return make_task(name, gap)
    except ValueError:
        return make_task(name, make_task(name, 20).least_gap)


@functools.cache
def batch_of(task, size=200, seed=0):
    """As one program: operation by operation, each would be compiled for each shape."""
    sample = jax.jit(task.sample, static_argnums=1)
    return jax.tree.map(np.asarray, sample(jax.random.key(seed), size))


@functools.cache
def held_out(task, size):
    """As one program too."""
    return jax.tree.map(np.asarray, jax.jit(lambda: task.held_out(size))())
