"""How well a state still tells the fact, d steps later: a linear probe, on sequences that it was not fitted to."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

RIDGE = 1e-3
"""Of the ridge penalty, a share of the mean variance of the features."""


class Memory(NamedTuple):
    """Of the states at D distances: the probe's accuracy, and trace(S_w^-1 S_b), their spread between classes."""

    accuracy: Float[Array, " D"]
    separation: Float[Array, " D"]


def memory(
    states: Float[Array, "D N F"], labels: Integer[Array, " N"], num_classes: int, ridge: float = RIDGE
) -> Memory:
    """Fit a ridge classifier (one against all) on one half of the sequences and score it on the other, and vice versa.

    Features are centred and scaled by the half that is fitted to; a unit that does not vary there says nothing. The
    separation is of all sequences, S_w with the same penalty. Raises ValueError for fewer than 4 sequences.
    """
    number = states.shape[1]
    if number < 4:
        raise ValueError(f"states: expected at least 4 sequences, got {number}")
    middle = number // 2
    halves = (slice(None, middle), slice(middle, None))

    def one(features: Float[Array, "N F"]) -> tuple[Array, Array]:
        right = [
            _right(features[fitted], labels[fitted], features[tested], labels[tested], num_classes, ridge)
            for fitted, tested in (halves, halves[::-1])
        ]
        return jnp.concatenate(right).mean(), _separation(features, labels, num_classes, ridge)

    return Memory(*jax.lax.map(one, states))


def _scaled(features: Array, by: Array) -> Array:
    mean, deviation = by.mean(axis=0), by.std(axis=0)
    return (features - mean) / jnp.where(deviation > 1e-30, deviation, jnp.inf)


def _right(fitted: Array, labels: Array, tested: Array, answers: Array, num_classes: int, ridge: float) -> Array:
    """Whether the probe that is fitted to some sequences is right on others; ties are as good as a guess."""
    x, other = _scaled(fitted, fitted), _scaled(tested, fitted)
    targets = jax.nn.one_hot(labels, num_classes, dtype=x.dtype)
    shares = targets.mean(axis=0)
    gram = x.T @ x + ridge * len(x) * jnp.eye(x.shape[1], dtype=x.dtype)
    weights = jnp.linalg.solve(gram, x.T @ (targets - shares))
    return (jnp.argmax(other @ weights + shares, axis=1) == answers).astype(x.dtype)


def _separation(features: Array, labels: Array, num_classes: int, ridge: float) -> Array:
    x = _scaled(features, features)
    members = jax.nn.one_hot(labels, num_classes, dtype=x.dtype)
    counts = jnp.maximum(members.sum(axis=0), 1.0)
    means = (members.T @ x) / counts[:, None]
    within = x - members @ means
    s_w = within.T @ within / len(x) + ridge * jnp.eye(x.shape[1], dtype=x.dtype)
    s_b = (means * counts[:, None]).T @ means / len(x)
    return jnp.trace(jnp.linalg.solve(s_w, s_b))
