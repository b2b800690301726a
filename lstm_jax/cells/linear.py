"""Cells that are linear in their state: what they say of themselves lets all steps be made at once."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Complex, Float, Real

from lstm_jax.cells.base import Cell, HiddenState


@dataclasses.dataclass(frozen=True)
class LinearCell(Cell):
    """A cell of the form

        decay, write = linear(params, x)        h' = decay * h + write        output = output(params, h', x)

    number by number, where neither decay nor write depends on h. `scan` can make all steps of such a cell at once
    (`backward="parallel"`). Where `linear` gives complex numbers `[*B, N]`, the hidden state `[*B, 2 N]` holds their
    real parts, then their imaginary parts. `linear` and `output` are pure, over any batch shape, and mix no sequences.
    A subclass that overrides `step` is run by its `step`.
    """

    @abc.abstractmethod
    def linear(self, params: Any, x: Real[Array, "*B D"]) -> tuple[Array, Array]:
        """What a step keeps of the state, and what it adds: `[*B, N]`, or what broadcasts to that."""

    @abc.abstractmethod
    def output(self, params: Any, hidden: Float[Array, "*B H"], x: Real[Array, "*B D"]) -> Float[Array, "*B O"]:
        """The output of a step whose new hidden state is `hidden`."""

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> HiddenState:
        """A hidden state of zeros, as wide as the cell has units."""
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_dim), dtype))

    def step(self, params: Any, state: HiddenState, x: Real[Array, "*B D"]) -> tuple[HiddenState, Float[Array, "*B O"]]:
        """One time step, as `linear` and `output` define it."""
        decay, write = self.linear(params, x)
        hidden = as_state(decay * as_linear(state.hidden, write) + write, state.hidden)
        return HiddenState(hidden), self.output(params, hidden, x)


def as_linear(hidden: Float[Array, "*B H"], write: Array) -> Array:
    """A hidden state as numbers of the kind that `write` has."""
    return as_complex(hidden) if jnp.iscomplexobj(write) else hidden


def as_state(values: Array, hidden: Float[Array, "*B H"]) -> Float[Array, "*C H"]:
    """The other way round, in the dtype of `hidden`, or where all are real numbers in that of `values`."""
    if not jnp.iscomplexobj(values):
        return values
    return jnp.concatenate([values.real, values.imag], axis=-1).astype(hidden.dtype)


def as_complex(values: Float[Array, "*B M"]) -> Complex[Array, "*B N"]:
    """Real parts, then imaginary parts, as complex numbers; of half precision there are none, so in single."""
    full = values if jnp.finfo(values.dtype).bits >= 32 else values.astype(jnp.float32)
    return jax.lax.complex(*jnp.split(full, 2, axis=-1))
