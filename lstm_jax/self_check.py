"""A job's own comparison, before it trains: its cell on the path that was chosen, against a loop over `cell.step`."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Real

from lstm_jax.cells.base import Cell, Params
from lstm_jax.choices import Backward
from lstm_jax.linear_scan import is_linear
from lstm_jax.pointwise import can_be_taken_apart
from lstm_jax.scan import scan

NUM_STEPS, BATCH_SIZE = 3, 2
TOLERANCE = 1e-3
"""Of the norm of each array, in float32: a thousand times what rounding makes in so few steps."""
COMPILER_OPTIONS = {"xla_backend_optimization_level": "0", "xla_cpu_use_fusion_emitters": False}
"""On a CPU: half the time to compile what runs once."""


def check_model(config: Any) -> None:
    """`check_backward` of each of a model's cells; a model without cells has none to check.

    `config` is a config of `lstm_jax.models`. Raises ValueError in one line.
    """
    for cell in dict.fromkeys(getattr(config, "cells", ())):
        _check_cell(cell, config.input_dim, config.backward, config.truncation)


@functools.cache  # a process may do many jobs of a cell
def _check_cell(cell: Cell, input_dim: int, backward: Backward, truncation: int | None) -> None:
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), input_dim))
    inputs = jax.ShapeDtypeStruct((NUM_STEPS, BATCH_SIZE, input_dim), jnp.float32)
    params, inputs = _noise((params, inputs))
    check_backward(cell, params, inputs, backward, truncation)


def check_backward(
    cell: Cell,
    params: Params,
    inputs: Real[Array, "T *B D"] | Real[np.ndarray, "T *B D"],
    backward: Backward,
    truncation: int | None = None,
) -> None:
    """Compare last state, outputs and gradients with those of a loop over `cell.step`, of a few steps.

    Where the scan itself loops over `cell.step` there is nothing to compare. Raises ValueError in one line for a
    difference of more than `TOLERANCE`.
    """
    state = jax.eval_shape(lambda params, inputs: scan(cell, params, inputs[:0])[0], params, inputs)
    x = jax.ShapeDtypeStruct(inputs.shape[1:], inputs.dtype)
    has_own_path = is_linear(cell) if backward == "parallel" else can_be_taken_apart(cell, params, state, x)
    if backward == "autodiff" or not has_own_path:
        return

    def everything(backward: Backward, *arguments: Any) -> dict[str, Any]:
        def loss(params: Params, inputs: Array, state: Any) -> Any:
            results = scan(cell, params, inputs, state, backward=backward, truncation=truncation)
            # each number counts, and by another weight
            return sum(jnp.sum(jnp.sin(leaf + t)) for t, leaf in enumerate(jax.tree.leaves(results))), results

        (_, results), gradients = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(*arguments)
        return dict(zip(RESULTS, (*results, *gradients), strict=True))

    @functools.partial(jax.jit, compiler_options=COMPILER_OPTIONS if jax.default_backend() == "cpu" else None)
    def both(*arguments: Any) -> list[dict[str, Any]]:
        return [everything(each, *arguments) for each in (backward, "autodiff")]  # which loops over `cell.step`

    with jax.default_matmul_precision("highest"):  # on a GPU float32 would mean TF32
        actual, expected = both(params, inputs, _noise(state))
    for name in RESULTS:
        difference = max(map(_difference, jax.tree.leaves(actual[name]), jax.tree.leaves(expected[name])), default=0.0)
        if not difference <= TOLERANCE:
            raise ValueError(
                f"cell {type(cell).__name__}, backward {backward!r}: its {name} differ by {difference:.1e} (relative) "
                f"from those of a loop over its step, expected at most {TOLERANCE:.0e}: train it with "
                "--backward autodiff"
            )


def _noise(shapes: Any) -> Any:
    """Normal numbers, of a size at which sums over a row are of order one. By NumPy, which compiles nothing."""
    rng = np.random.default_rng(0)

    def noise(leaf: Any) -> Any:
        return (rng.normal(size=leaf.shape) * max(leaf.shape[-2:-1] or (1,)) ** -0.5).astype(leaf.dtype)

    # a leaf of another kind, a key say, stays as it is: a cell that has one is not taken apart
    return jax.tree.map(lambda leaf: noise(leaf) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, shapes)


RESULTS = ("last states", "outputs", "gradients of parameters", "gradients of inputs", "gradients of the first state")


def _difference(actual: Any, expected: Any) -> float:
    """Relative in the norm; infinite where one of both alone is no number."""
    actual, expected = (np.asarray(each, np.float64) for each in (actual, expected))
    finite = np.isfinite(expected)
    if (finite != np.isfinite(actual)).any():
        return float("inf")
    actual, expected = actual[finite], expected[finite]
    return float(np.linalg.norm(actual - expected)) / max(float(np.linalg.norm(expected)), 1e-6)
