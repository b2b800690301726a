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


@functools.partial(jax.jit, static_argnums=(0, 2))
def sample(task, key, size):
    """A batch, as one program: operation by operation, each would be compiled for each shape."""
    return task.sample(key, size)


@functools.partial(jax.jit, static_argnums=(0, 1))
def held_out_anew(task, size):
    """A held-out set, as one program too."""
    return task.held_out(size)


@functools.cache
def batch_of(task, size=200, seed=0):
    return jax.tree.map(np.asarray, sample(task, jax.random.key(seed), size))


@functools.cache
def held_out(task, size):
    return jax.tree.map(np.asarray, held_out_anew(task, size))


def traced(function, *arguments):
    """What a function computes: its operations and the numbers in them, found anew at each call."""
    found = jax.make_jaxpr(lambda *arguments: function(*arguments))(*arguments)
    return str(found.jaxpr), [np.asarray(each).tobytes() for each in found.consts]
