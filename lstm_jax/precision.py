"""The precision of a model's matrix products, as the option `--precision` names it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import jax

from lstm_jax.choices import Precision

_BY_JAX: Mapping[Precision, str] = {
    "float32": "highest",  # on a GPU jax's default would be TF32
    "tf32": "tensorfloat32",
    "bfloat16": "BF16_BF16_F32",
}
"""A device without such matrix products, as a CPU is, takes float32's."""


def matrix_products(precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """A `with` block in which matrix products are traced with this precision."""
    context: contextlib.AbstractContextManager[Any] = jax.default_matmul_precision(_BY_JAX[precision])
    return context
