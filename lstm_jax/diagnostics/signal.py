"""How far a far fact stands out of the gradient's noise, as the optimizer sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from lstm_jax.tasks.base import Batch

ADAM_EPS = 1e-8


def fact_signal(
    gradient: Callable[[Batch], Any],
    sample: Callable[[Array], Batch],
    key: Key[Array, ""],
    *,
    num_batches: int,
    eps: float = ADAM_EPS,
) -> Any:
    """Return, for each leaf of the gradient, the share of its second moment that is the fact's.

    Of each batch, the gradient with its labels less that with the labels permuted among the sequences. Over K batches,
    its squared mean m^2 (unbiased, so it may be negative where there is nothing) against its second moment v: the mean
    over the leaf of m^2 / (v + eps^2), with Adam's eps, below which a gradient counts for nothing. Noise is about 1/K;
    one over the figure is about how many batches it takes until the fact stands out (McCandlish et al. 2018 have the
    same ratio for the whole gradient).

    Raises ValueError for fewer than two batches.
    """
    if num_batches < 2:
        raise ValueError(f"num_batches: expected at least 2, got {num_batches}")

    def one(totals: tuple[Any, Any], key: Array) -> tuple[tuple[Any, Any], None]:
        batch_key, label_key = jax.random.split(key)
        batch = sample(batch_key)
        order = jax.random.permutation(label_key, batch.targets.shape[1])
        difference = jax.tree.map(
            jnp.subtract, gradient(batch), gradient(batch._replace(targets=batch.targets[:, order]))
        )
        sums = jax.tree.map(jnp.add, totals[0], difference)
        return (sums, jax.tree.map(lambda total, each: total + each**2, totals[1], difference)), None

    shapes = jax.eval_shape(lambda: gradient(sample(key)))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    (sums, squares), _ = jax.lax.scan(one, (zeros, zeros), jax.random.split(key, num_batches))

    def figure(total: Array, square: Array) -> Array:
        mean_squared = (total**2 - square) / (num_batches * (num_batches - 1))
        return jnp.mean(mean_squared / (square / num_batches + eps**2))

    return jax.tree.map(figure, sums, squares)
