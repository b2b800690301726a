"""A run trained from its seed, and diagnosed along the way."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lstm_jax.analysis.causes import AtDistance, Moment
from lstm_jax.diagnostics.measure import USUAL, Diagnosis, Effort, Quiet, diagnose, largest, log_spaced
from lstm_jax.tasks.base import Task
from lstm_jax.tasks.gap import Gap
from lstm_jax.tasks.solved import SOLVED_EVALUATIONS
from lstm_jax.training import NO_UPDATES, Hypers, RunState, Training

RECURRENT = "stack"
"""In the paths of the parameters of recurrent layers, whose signal is reported; the embedding has its own."""


@dataclass(frozen=True)
class Followed:
    """What was seen of one run; `solved_step` is None where it did not solve."""

    solved_step: int | None
    moments: tuple[Moment, ...]
    by_distance: tuple[AtDistance, ...]


@functools.cache
def quiet_form(task: Task) -> Quiet | None:
    """How sequences of the task look without distractors: of `gap`, with one filler for all; None where not known.

    The same object for the same task, since it is static in a jitted program.
    """
    if not isinstance(task, Gap) or task.filler != "random":
        return None
    return functools.partial(_one_filler, task.num_facts, task.num_facts + task.num_fillers)


def _one_filler(first: int, end: int, inputs: Any) -> Any:
    return jnp.where((inputs >= first) & (inputs < end), first, inputs)


def follow(
    cell: str,
    training: Training,
    seed: int,
    learning_rate: float,
    clip_norm: float,
    steps: Sequence[int],
    eval_steps: int,
    effort: Effort = USUAL,
) -> Followed:
    """Train a run, diagnose it after each number of updates in `steps`, and when it has solved or the last is reached.

    `cell` is the label of the rows. A run that has solved is diagnosed once more and ends there.
    """
    hypers = Hypers(jnp.uint32(seed), jnp.float32(learning_rate), jnp.float32(clip_norm))
    init, advance, evaluate = (jax.jit(each) for each in (training.init, training.advance, training.evaluate))
    state: RunState = init(hypers)
    moments: list[Moment] = []
    far: list[AtDistance] = []
    passed, solved_step, step = 0, None, 0
    while True:
        score = float(evaluate(state).score)
        passed = passed + 1 if step > 0 and training.task.is_solved(score) else 0
        if passed == SOLVED_EVALUATIONS:
            solved_step = step - (SOLVED_EVALUATIONS - 1) * eval_steps
        is_last = step >= max(steps) or solved_step is not None
        if step in steps or is_last:
            moment, own = _seen(cell, training, state, seed, learning_rate, score, effort)
            moments.append(moment)
            far += own
        if is_last:
            return Followed(solved_step, tuple(moments), tuple(far))
        state, _ = advance(state, hypers, eval_steps, NO_UPDATES)
        step += eval_steps


def at_ends(
    cell: str, training: Training, seed: int, learning_rate: float, clip_norm: float, last: RunState,
    solved_step: int | None, effort: Effort = USUAL,
) -> Followed:  # fmt: skip
    """Diagnose a run before its first update, and at its last state, which somebody has kept; trains nothing."""
    hypers = Hypers(jnp.uint32(seed), jnp.float32(learning_rate), jnp.float32(clip_norm))
    evaluate = jax.jit(training.evaluate)
    found = [
        _seen(cell, training, state, seed, learning_rate, float(evaluate(state).score), effort)
        for state in (jax.jit(training.init)(hypers), last)
    ]
    return Followed(solved_step, tuple(moment for moment, _ in found), tuple(row for _, far in found for row in far))


def _seen(
    cell: str, training: Training, state: RunState, seed: int, learning_rate: float, score: float, effort: Effort
) -> tuple[Moment, list[AtDistance]]:
    """The rows of one state, whose key is that of its seed and its updates."""
    step, distances = int(state.step), log_spaced(training.task.distance)
    key = jax.random.fold_in(jax.random.key(seed), step)
    rate, quiet = jnp.float32(learning_rate), quiet_form(training.task)
    found = diagnose(training, state, rate, key, distances, effort, quiet)
    moment = _moment(cell, training, seed, learning_rate, step, score, found)
    return moment, _by_distance(cell, training, seed, step, distances, found)


def _moment(
    cell: str, training: Training, seed: int, learning_rate: float, step: int, score: float, found: Diagnosis
) -> Moment:
    quiet = None if found.quiet is None else float(found.quiet.accuracy[-1])
    of_embedding = largest(found.signal, "embedding") if training.task.inputs.width is None else None
    return Moment(
        cell, training.task.gap, seed, learning_rate, step, score,
        float(found.transport[-1]), bool(found.vanished[-1]), float(found.memory.accuracy[-1]), quiet,
        float(found.memory.separation[-1]), largest(found.signal, RECURRENT), of_embedding,
        _finite(found.sharpness), _finite(jnp.median(found.time_constants)),
        _finite(jnp.quantile(found.time_constants, 0.9, method="lower")), float(found.exponent),
    )  # fmt: skip


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if abs(number) < float("inf") else None


def _by_distance(
    cell: str, training: Training, seed: int, step: int, distances: Sequence[int], found: Diagnosis
) -> list[AtDistance]:
    return [
        AtDistance(
            cell, training.task.gap, seed, step, distance,
            float(found.transport[index]), bool(found.vanished[index]), float(found.memory.accuracy[index]),
            None if found.quiet is None else float(found.quiet.accuracy[index]),
            float(found.memory.separation[index]),
        )
        for index, distance in enumerate(distances)
    ]  # fmt: skip
