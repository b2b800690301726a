"""How the memory of a cell drifts along training, before it has seen the fact and after: many seeds at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key

from lstm_jax.analysis.drifts import Seen
from lstm_jax.diagnostics.gates import retained, time_constants
from lstm_jax.diagnostics.measure import largest
from lstm_jax.diagnostics.rollout import flat, layer_of, rollout, vectors_of
from lstm_jax.diagnostics.signal import fact_signal
from lstm_jax.diagnostics.transport import transport
from lstm_jax.models.base import with_params
from lstm_jax.training import NO_UPDATES, Hypers, RunState, Training

NUM_BATCHES, NUM_SEQUENCES, NUM_FOLLOWED = 48, 256, 2
"""Batches for the signal, sequences for the noise, and those whose Jacobians are taken."""
EARLY = (0, 10, 25)
MAX_STEPS = 1600


def moments(max_steps: int) -> tuple[int, ...]:
    """After how many updates a run is measured: 0, 10, 25, then 50 and its doubles, and at its end."""
    doubled = (50 * 2**power for power in range(max_steps.bit_length()))
    return (*(step for step in (*EARLY, *doubled) if step < max_steps), max_steps)


class Drift(NamedTuple):
    """One run at one moment: what `analysis.drifts.Seen` has, and the signal by leaf of the parameters."""

    score: Float[Array, ""]
    time_constant: Float[Array, ""]
    transport: Float[Array, ""]
    noise: Float[Array, ""]
    state_noise: Float[Array, ""]
    signal: object


def measure(training: Training, state: RunState, key: Key[Array, ""]) -> Drift:
    """Measure a run of one recurrent layer on sequences drawn by `key`, with their true answers."""
    task, model = training.task, with_params(training.model, state.params)
    signal_key, sample_key = jax.random.split(key)
    batch = task.sample(sample_key, NUM_SEQUENCES)
    cell, params = layer_of(model)
    inputs: Any = batch.inputs
    seen = rollout(model, inputs)
    few = jax.tree.map(lambda leaf: leaf[:, :NUM_FOLLOWED], seen.states)
    shares = retained(cell, params, few, vectors_of(model, inputs[:, :NUM_FOLLOWED]))
    signal = fact_signal(
        lambda batch: jax.grad(lambda params: training.loss(params, batch))(state.params),
        lambda key: task.sample(key, training.batch_size),
        signal_key,
        num_batches=NUM_BATCHES,
    )
    small = jax.tree.map(lambda leaf: leaf[:, : training.batch_size], batch)
    return Drift(
        training.evaluate(state).score,
        _slowest(shares, [leaf.size // NUM_SEQUENCES for leaf in jax.tree.leaves(seen.last)]),
        transport(model, small, task.outputs).relative[task.distance],
        within(seen.logits[0], batch.targets[-1], task.outputs.width),
        within(flat(seen.last, batch_axes=1), batch.targets[-1], task.outputs.width),
        signal,
    )


def _slowest(shares: Float[Array, "T B F"], sizes: Sequence[int]) -> Float[Array, ""]:
    """The 90th percentile over units of the time constants of that part of the state, h or c, that keeps longest."""
    units = jnp.median(time_constants(shares), axis=(0, 1))
    parts = jnp.split(units, np.cumsum(sizes)[:-1])
    return jnp.max(jnp.stack([jnp.quantile(part, 0.9, method="lower") for part in parts]))


def within(values: Float[Array, "B F"], facts: Integer[Array, " B"], num_facts: int) -> Float[Array, ""]:
    """The standard deviation of values among sequences with the same fact, a root mean square over them."""
    members = jax.nn.one_hot(facts, num_facts, dtype=values.dtype)
    means = members.T @ values / jnp.maximum(members.sum(axis=0), 1.0)[:, None]
    return jnp.sqrt(jnp.mean(jnp.square(values - members @ means)))


def follow_lanes(
    training: Training, seeds: Sequence[int], learning_rate: float, clip_norm: float, steps: Sequence[int]
) -> list[Seen]:
    """Train a run of each seed, side by side, and measure all of them after each number of updates in `steps`."""
    number = len(seeds)
    hypers = Hypers(
        jnp.array(seeds, jnp.uint32), jnp.full(number, learning_rate, jnp.float32), jnp.full(number, clip_norm)
    )
    init = jax.jit(jax.vmap(training.init))
    advance = jax.jit(jax.vmap(training.advance, in_axes=(0, 0, None, None)))
    measured = jax.jit(jax.vmap(functools.partial(measure, training)))
    state, rows, before = init(hypers), [], 0
    for step in steps:
        if step:
            state, _ = advance(state, hypers, step - before, NO_UPDATES)
            before = step
        keys = jnp.stack([jax.random.fold_in(jax.random.key(seed), step) for seed in seeds])
        found = jax.device_get(measured(state, keys))
        for place, seed in enumerate(seeds):
            one = jax.tree.map(lambda leaf, place=place: leaf[place], found)
            rows.append(
                Seen(
                    seed, step, float(one.score), float(one.time_constant), float(one.transport), float(one.noise),
                    float(one.state_noise), largest(one.signal, "stack"),
                )
            )  # fmt: skip
    return rows
