"""Random walks on a small graph that end where they have to: strings of a grammar of a given length, drawn fairly.

From each state two branches go, equally likely. Given that a walk of n steps ends in certain states, it takes the first
branch at state s, with k steps left, with the probability

    W_{k-1}(first of s) / W_k(s),      W_k(s) = W_{k-1}(first of s) + W_{k-1}(second of s)

where W_0(s) is 1 for the states that it may end in, else 0: W counts the ways to get there.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32
from numpy.typing import NDArray

Branches = Sequence[tuple[int, int]]
"""Of each state, the states that its first and its second branch lead to."""


def ways(branches: Branches, num_steps: int, ends: Collection[int]) -> list[list[int]]:
    """The exact numbers W_k(s), `[num_steps + 1][state]`."""
    counts = [[int(state in ends) for state in range(len(branches))]]
    for _ in range(num_steps):
        counts.append([counts[-1][first] + counts[-1][second] for first, second in branches])
    return counts


def chances(branches: Branches, counts: list[list[int]]) -> NDArray[np.float32]:
    """`[step, state]`: how probably the first branch is taken; 0 where the end can't be reached."""
    rows = [
        [before[first] / total if total else 0.0 for (first, _), total in zip(branches, now, strict=True)]
        for before, now in itertools.pairwise(counts)
    ]
    return np.array(rows[::-1], np.float32)


def walk(
    branches: Branches, chances: NDArray[np.float32], uniforms: Float[Array, "N B"]
) -> tuple[Int32[Array, "N B"], Bool[Array, "N B"]]:
    """(states before each step, whether the first branch is taken) of walks from state 0."""
    after = jnp.asarray(np.array(branches, np.int32))

    def step(states: Array, drawn: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        row, uniform = drawn
        is_first = uniform < row[states]
        return jnp.where(is_first, after[states, 0], after[states, 1]), (states, is_first)

    start = jnp.zeros(uniforms.shape[1:], jnp.int32)
    found: tuple[Array, Array] = jax.lax.scan(step, start, (jnp.asarray(chances), uniforms))[1]
    return found


def shares(branches: Branches, chances: NDArray[np.float32]) -> NDArray[np.float64]:
    """`[step, state, branch]`: how often walks from state 0 take that branch at that step."""
    reached = np.eye(len(branches))[0]
    found = np.zeros((*chances.shape, 2))
    for row, taken in zip(chances.astype(np.float64), found, strict=True):
        taken[:] = reached[:, None] * np.stack([row, 1.0 - row], axis=1)
        reached = np.zeros(len(branches))
        for state, after in enumerate(branches):
            for branch in range(2):
                reached[after[branch]] += taken[state, branch]
    return found
