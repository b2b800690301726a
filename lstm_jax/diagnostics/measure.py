"""All diagnostics of one state of a run, jitted as one program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Integer, Key

from lstm_jax.diagnostics.gates import lyapunov_exponents, retained, time_constants
from lstm_jax.diagnostics.memory import Memory, memory
from lstm_jax.diagnostics.rollout import flat, layer_of, rollout, vectors_of
from lstm_jax.diagnostics.sharpness import sharpness
from lstm_jax.diagnostics.signal import ADAM_EPS, fact_signal
from lstm_jax.diagnostics.transport import transport
from lstm_jax.models.base import with_params
from lstm_jax.precision import matrix_products
from lstm_jax.tasks.base import Batch
from lstm_jax.training import RunState, Training

Quiet = Callable[[Integer[Array, "T B"]], Integer[Array, "T B"]]
"""Makes of sequences the same without distractors."""


class Effort(NamedTuple):
    """How much is measured: batches for the signal, sequences for the probe, and those whose Jacobians are taken."""

    num_batches: int = 128
    num_probed: int = 1024
    num_followed: int = 4
    num_iterations: int = 20


USUAL = Effort()
START = 1e-6
"""How far apart the first states of sequences without distractors lie: a cell's own noise, or chaos, makes it more."""
_ADAM_B2 = 0.999


class Diagnosis(NamedTuple):
    """One state of a run, by the D distances that were asked for; noise of `signal` is about one over its batches.

    `transport` is G(d), `vanished` whether it is lost in float32, `memory` the probe's on the states d steps after the
    fact, and `quiet` without distractors (None where a task has no such form). `signal` has the form of the
    parameters. `sharpness` is the largest curvature times the learning rate, as the optimizer scales it.
    `time_constants` are medians over steps and sequences, of each number of the state; `exponent` is the
    largest Lyapunov exponent.
    """

    transport: Float[Array, " D"]
    vanished: Bool[Array, " D"]
    memory: Memory
    quiet: Memory | None
    signal: Any
    sharpness: Float[Array, ""]
    time_constants: Float[Array, " F"]
    exponent: Float[Array, ""]


def fact_step(training: Training) -> int:
    """The step at which the fact is given whose answer is asked for at the last step, `distance` steps in between."""
    return training.task.num_steps - 2 - training.task.distance


@functools.partial(jax.jit, static_argnames=("training", "distances", "effort", "quiet"))
def diagnose(
    training: Training,
    state: RunState,
    learning_rate: Float[Array, ""],
    key: Key[Array, ""],
    distances: tuple[int, ...],
    effort: Effort = USUAL,
    quiet: Quiet | None = None,
) -> Diagnosis:
    """Measure a state of a run of one recurrent layer, on sequences that are drawn by `key`.

    Distances count the steps between the fact and a state, 0 for the state that the fact has just entered, up to the
    task's own. Raises ValueError for a model of another kind, or one that is not on the path `autodiff`.
    """
    if getattr(training.model, "backward", "autodiff") != "autodiff":
        raise ValueError("training: expected a model on the path autodiff, which has second derivatives")
    signal_key, sample_key, power_key, start_key = jax.random.split(key, 4)
    task, model = training.task, with_params(training.model, state.params)
    batch = task.sample(sample_key, effort.num_probed)
    with matrix_products(training.precision):
        small = _first(batch, training.batch_size)
        moved = transport(model, small, task.outputs)
        signal = fact_signal(
            lambda batch: jax.grad(lambda params: training.loss(params, batch))(state.params),
            lambda key: task.sample(key, training.batch_size),
            signal_key,
            num_batches=effort.num_batches,
        )
        # A state is the one before a step; its distance from the end, T - 1 less the step.
        places = jnp.array([fact_step(training) + 1 + distance for distance in distances])
        from_end = jnp.array(distances)
        inputs: Any = batch.inputs
        probed = _probe(model, inputs, batch, places, task.outputs.width)
        plain = None if quiet is None else _probe(model, quiet(inputs), batch, places, task.outputs.width, start_key)
        constants, exponent = _dynamics(model, inputs[:, : effort.num_followed])
        curvature = _sharpness(training, state, small, learning_rate, power_key, effort.num_iterations)
    return Diagnosis(
        moved.relative[from_end], moved.vanished[from_end], probed, plain, signal, curvature, constants, exponent
    )


def log_spaced(distance: int) -> tuple[int, ...]:
    """0, 1, 2, 4, 8, ... and the distance itself."""
    powers = [2**power for power in range(distance.bit_length()) if 2**power < distance]
    return (0, *powers, distance)


def largest(signal: Any, group: str) -> float:
    """The largest figure among the leaves whose path has `group` in it."""
    leaves: Sequence[tuple[Any, Any]] = jax.tree_util.tree_flatten_with_path(signal)[0]
    return max(float(value) for path, value in leaves if group in jax.tree_util.keystr(path))


def _first(batch: Batch, size: int) -> Batch:
    first: Batch = jax.tree.map(lambda leaf: leaf[:, :size], batch)
    return first


def _probe(
    model: Any, inputs: Array, batch: Batch, places: Array, num_classes: int, key: Array | None = None
) -> Memory:
    """Probe the states at `places`; with a key, of sequences whose first states differ by START."""
    perturbation = None
    if key is not None:
        shapes = jax.eval_shape(lambda: rollout(model, inputs)).states
        keys = jax.random.split(key, len(jax.tree.leaves(shapes)))
        perturbation = jax.tree.unflatten(
            jax.tree.structure(shapes),
            [
                jnp.zeros(leaf.shape, leaf.dtype).at[0].set(START * jax.random.normal(own, leaf.shape[1:], leaf.dtype))
                for own, leaf in zip(keys, jax.tree.leaves(shapes), strict=True)
            ],
        )
    states = flat(rollout(model, inputs, perturbation).states)
    return memory(states[places], batch.targets[-1], num_classes)


def _dynamics(model: Any, inputs: Array) -> tuple[Array, Array]:
    cell, params = layer_of(model)
    vectors, states = vectors_of(model, inputs), rollout(model, inputs).states
    constants = time_constants(retained(cell, params, states, vectors))
    return jnp.median(constants, axis=(0, 1)), lyapunov_exponents(cell, params, states, vectors)[0]


def _sharpness(
    training: Training, state: RunState, batch: Batch, learning_rate: Array, key: Array, num_iterations: int
) -> Array:
    """The learning rate times the largest curvature, under Adam's second moments where the optimizer has such.

    Before the first update these are what they would be after it: the squares of a batch's gradient.
    """

    def loss(params: Any) -> Array:
        return training.loss(params, batch)

    moments = optax.tree.get(state.opt_state, "nu")
    scales = jax.tree.map(jnp.ones_like, state.params)
    if moments is not None:
        seen = 1.0 - _ADAM_B2 ** jnp.maximum(state.step, 1).astype(learning_rate.dtype)
        first = jax.tree.map(jnp.abs, jax.grad(loss)(state.params))
        scales = jax.tree.map(
            lambda moment, size: jnp.where(state.step > 0, jnp.sqrt(moment / seen), size) + ADAM_EPS, moments, first
        )
    return learning_rate * sharpness(loss, state.params, scales, key, num_iterations=num_iterations)
