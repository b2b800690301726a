"""One initialisation menu for all cells, so that cells are compared on equal terms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from lstm_jax.cells.base import Init, LinearParams

IDENTITY_INPUT_DEVIATION = 0.001
"""Of the input weights of `identity`: Le et al. 2015, section 3."""


def linear_params(
    init: Init, key: Key[Array, ""], input_dim: int, hidden_dim: int, num_gates: int, dtype: DTypeLike
) -> LinearParams:
    """Weights `[D, G*H]` and `[H, G*H]` by the menu, and a zero bias `[G*H]`.

    - `uniform`: both in U(-1/sqrt(H), 1/sqrt(H)), as PyTorch draws weights (which draws biases so too; ours are zero).
    - `orthogonal`: an orthogonal `[H, H]` matrix for each gate, and for each gate's inputs Glorot and Bengio's (2010)
      uniform over `[D, H]`. Flax's `OptimizedLSTMCell` makes one `[H, 4H]` matrix orthogonal instead, which leaves
      each gate at singular values of about 1/2.
    - `identity`: the identity for each gate, and N(0, 0.001²) for inputs: Le et al. 2015, "A simple way to initialize
      recurrent networks of rectified linear units".

    Raises ValueError for another menu item, or sizes below 1.
    """
    input_key, hidden_key = jax.random.split(key)
    return LinearParams(
        input_weights(init, input_key, input_dim, hidden_dim, num_gates, dtype),
        recurrent_weights(init, hidden_key, hidden_dim, num_gates, dtype),
        jnp.zeros(num_gates * hidden_dim, dtype),
    )


def input_weights(
    init: Init, key: Key[Array, ""], input_dim: int, hidden_dim: int, num_gates: int, dtype: DTypeLike
) -> Float[Array, "D GH"]:
    """The weights of the inputs, as `linear_params` has them."""
    check_sizes(input_dim, hidden_dim)
    shape = (input_dim, num_gates * hidden_dim)
    if init == "uniform":
        bound = hidden_dim**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)
    if init == "orthogonal":
        glorot = jax.nn.initializers.glorot_uniform()
        return jnp.concatenate([glorot(k, (input_dim, hidden_dim), dtype) for k in jax.random.split(key, num_gates)], 1)
    if init == "identity":
        return jax.random.normal(key, shape, dtype) * jnp.asarray(IDENTITY_INPUT_DEVIATION, dtype)
    raise ValueError(f"init: expected 'uniform', 'orthogonal' or 'identity', got {init!r}")


def recurrent_weights(
    init: Init, key: Key[Array, ""], hidden_dim: int, num_gates: int, dtype: DTypeLike
) -> Float[Array, "H GH"]:
    """The recurrent weights, as `linear_params` has them."""
    if init == "uniform":
        shape = (hidden_dim, num_gates * hidden_dim)
        return jax.random.uniform(key, shape, dtype, -(hidden_dim**-0.5), hidden_dim**-0.5)
    if init == "identity":
        return jnp.tile(jnp.eye(hidden_dim, dtype=dtype), (1, num_gates))
    orthogonal = jax.nn.initializers.orthogonal()
    full = dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32  # the QR decomposition has no half precision
    gates = [orthogonal(k, (hidden_dim, hidden_dim), full) for k in jax.random.split(key, num_gates)]
    return jnp.concatenate(gates, axis=1).astype(dtype)


def check_sizes(input_dim: int, hidden_dim: int) -> None:
    """Raise ValueError where a cell would have no inputs or no units."""
    for name, size in (("input_dim", input_dim), ("hidden_dim", hidden_dim)):
        if size < 1:
            raise ValueError(f"{name}: expected at least 1, got {size}")


def chrono_bias(key: Key[Array, ""], hidden_dim: int, gap: int | None, dtype: DTypeLike) -> Float[Array, " H"]:
    """Forget biases log(u), u ~ U(1, gap - 1): time constants spread up to the gap. One draw a unit.

    A unit whose forget gate rests at sigmoid(b) forgets over about 1 + exp(b) steps. Tallec & Ollivier 2018, "Can
    recurrent neural networks warp time?", equation 16, with T_max = gap. Raises ValueError where no gap was told.
    """
    if gap is None:
        raise ValueError("chrono=true needs to be told the gap: give gap=...")
    return jnp.log(jax.random.uniform(key, (hidden_dim,), dtype, 1.0, max(gap - 1.0, 1.0)))
