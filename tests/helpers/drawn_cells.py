"""Pointwise cells put together at random, as a user might: what they do with their projections, and with `step`."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from lstm_jax.cells.base import PointwiseCell
from lstm_jax.cells.initializers import linear_params


class DrawnParams(NamedTuple):
    """Linear maps, a parameter of the cell's own, and a field that stays empty."""

    w_ih: Any
    w_hh: Any
    bias: Any
    own: Any
    nothing: Any


class DrawnState(NamedTuple):
    """`kept [*B, H]` or `[*B, 2 H]`, and a counter that may be missing."""

    hidden: Any
    kept: Any
    count: Any


@dataclasses.dataclass(frozen=True)
class Drawn(PointwiseCell):
    """`mix` makes the hidden state of the projections, `keep` goes into the state, `give` is the output."""

    num_gates: ClassVar[int] = 2
    mix: str = "sum"
    keep: str = "old"
    give: str = "hidden"
    counts: bool = False
    reads_weights: bool = False

    @property
    def output_dim(self):
        return {"hidden": 1, "wide": 3, "x_proj": 2, "h_proj": 2, "constant": 1}[self.give] * self.hidden_dim

    def init(self, key, input_dim, dtype=jnp.float32):
        params = linear_params(self.initialization, key, input_dim, self.hidden_dim, 2, dtype)
        return DrawnParams(*params, own=jnp.zeros(self.hidden_dim, dtype), nothing=None)

    def initial_state(self, batch_shape, dtype=jnp.float32):
        zeros = jnp.zeros((*batch_shape, self.hidden_dim), dtype)
        kept = zeros if self.keep == "old" else jnp.concatenate([zeros, zeros], -1)
        return DrawnState(zeros, kept, jnp.zeros(batch_shape, jnp.int32) if self.counts else None)

    def update(self, params, state, x_proj, h_proj):
        both = {
            "sum": lambda: x_proj + h_proj,
            "twice": lambda: (x_proj + h_proj) + 0.5 * (h_proj + x_proj),
            "difference": lambda: x_proj - h_proj,
            "double": lambda: (x_proj + x_proj) * 0.5 + 0.0 * h_proj,
            "product": lambda: x_proj * jnp.tanh(h_proj),
            "nested": lambda: jax.nn.silu(x_proj) + h_proj,
        }[self.mix]()
        a, b = jnp.split(both, 2, -1)
        old = state.kept[..., : self.hidden_dim]
        hidden = jnp.tanh(a * params.own + 0.5 * old) * jax.nn.sigmoid(b) + 0.1
        if self.reads_weights:
            hidden = hidden + 0.1 * jnp.tanh(params.w_hh.sum())
        kept = {
            "old": lambda: hidden + 0.3 * old,
            "x_proj": lambda: x_proj,
            "h_proj": lambda: h_proj,
            "sum": lambda: x_proj + h_proj,
        }[self.keep]()
        output = {
            "hidden": hidden,
            "wide": jnp.concatenate([hidden, 2 * old, hidden * old], -1),
            "x_proj": x_proj,
            "h_proj": h_proj,
            "constant": jnp.ones_like(hidden),
        }[self.give]
        return DrawnState(hidden, kept, None if state.count is None else state.count + 1), output


def _halved(state):
    return state._replace(hidden=0.5 * state.hidden)


@dataclasses.dataclass(frozen=True)
class OwnStep(Drawn):
    """Changes what its parent's step gives."""

    def step(self, params, state, x):
        state, output = super().step(params, state, x)
        return _halved(state), output


@dataclasses.dataclass(frozen=True)
class BelowOwnStep(OwnStep):
    """Has another update, and a step that is two classes above."""

    def update(self, params, state, x_proj, h_proj):
        state, output = super().update(params, state, x_proj, 0.5 * h_proj)
        return state, output + 1.0


class _Mixin:
    def step(self, params, state, x):
        return super().step(params, _halved(state), x)


@dataclasses.dataclass(frozen=True)
class MixedIn(_Mixin, Drawn):
    """Has its step from the side."""


@dataclasses.dataclass(frozen=True)
class OwnUpdate(Drawn):
    """Has another update, and the step of `PointwiseCell`."""

    def update(self, params, state, x_proj, h_proj):
        state, output = super().update(params, state, 2.0 * x_proj, h_proj)
        return _halved(state), output


@dataclasses.dataclass(frozen=True)
class SameStep(Drawn):
    """Overrides step, and changes nothing."""

    def step(self, params, state, x):
        return super().step(params, state, x)


@dataclasses.dataclass(frozen=True)
class OnTheInstance(Drawn):
    """Has a step on each instance."""

    def __post_init__(self):
        super().__post_init__()
        step = super().step
        object.__setattr__(self, "step", lambda params, state, x: step(params, _halved(state), x))


CLASSES = [Drawn, OwnStep, BelowOwnStep, MixedIn, OwnUpdate, SameStep, OnTheInstance]
TAKEN_APART = {Drawn, OwnUpdate, SameStep}
