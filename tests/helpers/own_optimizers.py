"""Optimizers as a user would bring them: named `own_optimizers:Name` wherever an optimizer is named."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax


def signs(learning_rate, decay=0.9, kind="plain"):
    """Steps of one size, in the direction of a mean of gradients."""
    if kind != "plain":
        raise ValueError(f"kind: expected plain, got {kind}")

    def update(updates, state, params=None):
        del params
        mean = jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, state, updates)
        return jax.tree.map(lambda each: -learning_rate * jnp.sign(each), mean), mean

    return optax.GradientTransformation(lambda params: jax.tree.map(jnp.zeros_like, params), update)


@dataclasses.dataclass(frozen=True)
class Plain:
    """Gradient descent; no class of optax, but it has what one has."""

    learning_rate: Any
    factor: float = 1.0

    def init(self, params):
        del params
        return ()

    def update(self, updates, state, params=None):
        del params
        return jax.tree.map(lambda each: -self.learning_rate * self.factor * each, updates), state


def growing(learning_rate):
    """Counts its updates in another type than it began with."""
    inner = optax.sgd(learning_rate)
    return optax.GradientTransformation(
        lambda params: (jnp.int32(0),),
        lambda updates, state, params: (inner.update(updates, inner.init(params))[0], (state[0] + 0.5,)),
    )


def with_key(learning_rate):
    """Keeps a key as a key."""
    inner = optax.sgd(learning_rate)
    return optax.GradientTransformation(
        lambda params: jax.random.key(0),
        lambda updates, state, params: (inner.update(updates, inner.init(params))[0], state),
    )


def decided(learning_rate):
    """Branches on a rate that is traced."""
    return optax.sgd(learning_rate if learning_rate > 0.01 else 0.01)


def nothing(learning_rate):
    """Returns no optimizer."""
    del learning_rate


def demanding(learning_rate, momentum):
    """Has a setting without a default."""
    return optax.sgd(learning_rate, momentum)


def without_rate(momentum=0.9):
    """Is given no learning rate."""
    return optax.sgd(0.1, momentum)
