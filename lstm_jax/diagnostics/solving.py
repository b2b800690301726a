"""Whether runs solve: trained one after the other in one process, by one program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lstm_jax.tasks.solved import SOLVED_EVALUATIONS
from lstm_jax.training import NO_UPDATES, Hypers, RunState, Training


class TrainedRun(NamedTuple):
    """How a run ended, and its last parameters; `solved_step` is None where it did not solve."""

    solved_step: int | None
    score: float
    params: Any


def train_runs(
    training: Training,
    seeds: Sequence[int],
    learning_rate: float,
    clip_norm: float,
    max_steps: int,
    eval_steps: int,
    starts: Sequence[Any] | None = None,
) -> list[TrainedRun]:
    """Train a run of each seed until it has solved, as a sweep counts it, or for `max_steps` updates.

    `starts` are the parameters to begin with, of each seed; None: fresh ones. In an `jax.enable_x64` block runs are in
    float64, but for what the task itself draws.
    """
    init, advance, evaluate = (jax.jit(each) for each in (training.init, training.advance, training.evaluate))
    found = []
    for place, seed in enumerate(seeds):
        hypers = Hypers(jnp.uint32(seed), jnp.float32(learning_rate), jnp.float32(clip_norm))
        state: RunState = init(hypers)
        if starts is not None:
            state = state._replace(params=starts[place])
        passed, step, score, steps = 0, 0, 0.0, [0]
        while step < max_steps and passed < SOLVED_EVALUATIONS:
            state, _ = advance(state, hypers, jnp.int32(min(eval_steps, max_steps - step)), NO_UPDATES)
            step = min(step + eval_steps, max_steps)
            steps.append(step)
            score = float(evaluate(state).score)
            passed = passed + 1 if training.task.is_solved(score) else 0
        solved = passed == SOLVED_EVALUATIONS
        found.append(TrainedRun(steps[-SOLVED_EVALUATIONS] if solved else None, score, state.params))
    return found
