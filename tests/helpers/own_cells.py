"""Cells as a user would write them outside of the package: named `own_cells:Normalised` wherever a cell is named."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from lstm_jax.cells.base import Cell, HiddenState, PointwiseCell
from lstm_jax.cells.initializers import input_weights, linear_params
from lstm_jax.cells.linear import LinearCell
from lstm_jax.cells.rnn import RNN


@dataclasses.dataclass(frozen=True)
class Normalised(Cell):
    """h' = tanh(layer_norm(x W + h R + b)), output (h', h' / 2): the norm mixes units, so the step is not pointwise."""

    gain: float = 1.5

    @property
    def output_dim(self) -> int:
        return 2 * self.hidden_dim

    def init(self, key, input_dim, dtype=jnp.float32):
        return linear_params("uniform", key, input_dim, self.hidden_dim, 1, dtype)

    def initial_state(self, batch_shape, dtype=jnp.float32):
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_dim), dtype))

    def step(self, params, state, x):
        total = x @ params.w_ih + params.bias + state.hidden @ params.w_hh
        centred = total - total.mean(axis=-1, keepdims=True)
        scale = jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-3)
        hidden = jnp.tanh(self.gain * centred * scale)
        return HiddenState(hidden), jnp.concatenate([hidden, 0.5 * hidden], axis=-1)


class LeakyParams(NamedTuple):
    """Linear maps and one more pointwise parameter."""

    w_ih: Any
    w_hh: Any
    bias: Any
    leak: Any


@dataclasses.dataclass(frozen=True)
class Leaky(PointwiseCell):
    """h' = σ(leak) h + (1 - σ(leak)) tanh(x W + b + h R): a pointwise cell with a parameter of its own."""

    num_gates: ClassVar[int] = 1
    gap: int | None = dataclasses.field(default=None, kw_only=True)

    def init(self, key, input_dim, dtype=jnp.float32):
        params = linear_params(self.initialization, key, input_dim, self.hidden_dim, 1, dtype)
        return LeakyParams(*params, leak=jnp.zeros(self.hidden_dim, dtype))

    def initial_state(self, batch_shape, dtype=jnp.float32):
        return HiddenState(jnp.zeros((*batch_shape, self.hidden_dim), dtype))

    def update(self, params, state, x_proj, h_proj):
        keep = jax.nn.sigmoid(params.leak)
        hidden = keep * state.hidden + (1.0 - keep) * jnp.tanh(x_proj + h_proj)
        return HiddenState(hidden), hidden


@dataclasses.dataclass(frozen=True)
class Exploding(Leaky):
    """Cannot even be initialised."""

    def init(self, key, input_dim, dtype=jnp.float32):
        raise RuntimeError("no luck")


@dataclasses.dataclass(frozen=True)
class Unsizable(Leaky):
    """Has as many parameters whatever its hidden_dim."""

    def init(self, key, input_dim, dtype=jnp.float32):
        return jnp.zeros(3, dtype)

    @property
    def output_dim(self):
        return 2


class FadingParams(NamedTuple):
    """Weights of the inputs, and how much each unit keeps."""

    w_ih: Any
    keep: Any


@dataclasses.dataclass(frozen=True)
class Fading(LinearCell):
    """h' = σ(keep) h + x W, output h' ** 2 + x W: linear in its state, of which it says no more than that."""

    def init(self, key, input_dim, dtype=jnp.float32):
        return FadingParams(
            input_weights("uniform", key, input_dim, self.hidden_dim, 1, dtype), jnp.zeros(self.hidden_dim)
        )

    def linear(self, params, x):
        return jax.nn.sigmoid(params.keep), x @ params.w_ih

    def output(self, params, hidden, x):
        return hidden**2 + x @ params.w_ih


@dataclasses.dataclass(frozen=True)
class FadingTwice(Fading):
    """Another step than its parts make."""

    def step(self, params, state, x):
        state, output = super().step(params, state, x)
        return state, 2.0 * output


class NotACell:
    """Has nothing that a cell has."""


@dataclasses.dataclass(frozen=True)
class NotEvenNearly:
    """A dataclass with a cell's field, but no cell."""

    hidden_dim: int


class Counting(nnx.SimpleCell):
    """A Flax cell that keeps more than parameters."""

    def __init__(self, in_features, hidden_features, **options):
        super().__init__(in_features, hidden_features, **options)
        self.calls = nnx.BatchStat(jnp.zeros(()))


@dataclasses.dataclass(frozen=True)
class FailsInTraining(Leaky):
    """Can be sized, but not trained."""

    def update(self, params, state, x_proj, h_proj):
        raise RuntimeError("no luck\nat all")


@dataclasses.dataclass(frozen=True)
class KillsItsProcess(Leaky):
    """Dies as a process does that runs out of memory."""

    def update(self, params, state, x_proj, h_proj):
        os.kill(os.getpid(), signal.SIGKILL)


@dataclasses.dataclass(frozen=True)
class Slow(RNN):
    """A time step takes seconds, so that one update takes longer than anybody waits for it."""

    def step(self, params, state, x):
        def wait(values):
            time.sleep(5)
            return values

        x = jax.lax.stop_gradient(x)
        x = jax.pure_callback(wait, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential")
        return super().step(params, state, x)


@dataclasses.dataclass(frozen=True)
class Huge(RNN):
    """Asks for an array of so many bytes a run, and never touches it: its loop makes no turn."""

    num_bytes: float = 1e9

    def step(self, params, state, x):
        def turn(value):
            return jnp.sort(value * jnp.arange(int(self.num_bytes / 4), dtype=jnp.float32))[-1]

        state, output = super().step(params, state, x)
        nothing = jax.lax.while_loop(lambda value: value > 1e30, turn, jax.lax.stop_gradient(output.ravel()[0]))
        return state, output + 0.0 * nothing
