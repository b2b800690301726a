"""What a memory-saving path can't be asked for: forward mode and second derivatives, refused wherever they are taken.

jax itself would refuse the first without naming a cure, and give second derivatives that are wrong where the gradient
is truncated: it would differentiate a backward pass that is not the derivative of its forward pass.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

_CURE = "keeps less than jax's autodiff does: expected its gradient in reverse mode alone; give backward='autodiff'"


def reverse_only(tree: Any) -> Any:
    """`tree` as it is, but what is computed from it has a gradient in reverse mode and no other derivative.

    Forward mode and second derivatives through it raise TypeError, under jit and vmap too.
    """
    return jax.tree.map(lambda leaf: _marked(leaf) if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf, tree)


@jax.custom_jvp
def _marked(leaf: Array) -> Array:
    return leaf


@_marked.defjvp
def _marked_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return primals[0], _tangent.bind(tangents[0])


@jax.custom_jvp
def _gradient(leaf: Array) -> Array:
    return leaf


@_gradient.defjvp
def _gradient_jvp(*_: Any) -> Any:
    raise TypeError(f"second derivative of a scan that {_CURE}")


def _forward_mode(*_: Any, **__: Any) -> Any:
    raise TypeError(f"forward-mode derivative of a scan that {_CURE}")


# The tangent of what is marked. Reverse mode turns it into the cotangent before anything is computed, so whatever does
# compute it is forward mode.
_tangent = Primitive("reverse_only")
_tangent.def_abstract_eval(lambda leaf: leaf)
_tangent.def_impl(_forward_mode)
mlir.register_lowering(_tangent, _forward_mode)
ad.deflinear2(_tangent, lambda cotangent, _: [cotangent if type(cotangent) is ad.Zero else _gradient(cotangent)])
batching.primitive_batchers[_tangent] = lambda leaves, axes: (_tangent.bind(*leaves), axes[0])
