"""The largest curvature that an optimizer's step meets (Cohen et al. 2021; 2022 for Adam)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key


def sharpness(
    loss: Callable[[Any], Float[Array, ""]],
    params: Any,
    scales: Any,
    key: Key[Array, ""],
    *,
    num_iterations: int = 30,
) -> Float[Array, ""]:
    """The eigenvalue of P^(-1/2) H P^(-1/2) largest in size, with its sign: H the Hessian of `loss`, P `scales`.

    `scales`, of the form of `params`, is what the optimizer divides a gradient by: for Adam sqrt(v) + eps, ones for
    plain gradient descent. Times the learning rate it is to stay below 2 for gradient
    descent, and below (2 + 2 b1) / (1 - b1), 38, for Adam. By power iteration on Hessian-vector
    products, which takes second derivatives: of a scan only the path `autodiff` has them.
    """
    roots = jax.tree.map(jnp.sqrt, scales)

    def product(vector: Any) -> Any:
        tangent = jax.tree.map(jnp.divide, vector, roots)
        _, curved = jax.jvp(jax.grad(loss), (params,), (tangent,))
        return jax.tree.map(jnp.divide, curved, roots)

    def normalised(vector: Any) -> Any:
        norm = optax.tree.norm(vector)
        return jax.tree.map(lambda leaf: leaf / jnp.where(norm > 0.0, norm, 1.0), vector)

    keys = jax.random.split(key, len(jax.tree.leaves(params)))
    leaves = [
        jax.random.normal(own, leaf.shape, leaf.dtype) for own, leaf in zip(keys, jax.tree.leaves(params), strict=True)
    ]
    start = normalised(jax.tree.unflatten(jax.tree.structure(params), leaves))
    vector = jax.lax.fori_loop(0, num_iterations, lambda _, vector: normalised(product(vector)), start)
    quotient: Array = optax.tree.vdot(vector, product(vector))
    return quotient
