"""The runs of a cell as arrays over seeds, gaps and learning rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_jax.arrays import Floats, Integers
from lstm_jax.sweeps.store.records import Run


@dataclass(frozen=True)
class RunTable:
    """The runs of one cell: axes in ascending order, then arrays [S, G, L] that are 0 where there is no such run.

    `finished` and `solved` are 0 or 1. `steps` is the updates until solved, or the budget where the run did not solve.
    `progress` is the final score where `scored` is 1, on a scale from 0 at chance to 1 at solved. A `failed` run (a
    crash) is as absent as one that was never started; a diverged run is finished, unsolved and at chance.
    """

    cell: str
    seeds: Integers
    gaps: Integers
    learning_rates: Floats
    finished: Floats
    solved: Floats
    steps: Floats
    scored: Floats
    progress: Floats


def budget_of(runs: Sequence[Run]) -> int:
    """Return the budget in updates: the most that any run made.

    A diverged run stops early but can never solve, so it is censored here and not where it stopped.
    """
    return max((run.steps for run in runs), default=0)


def final_score(run: Run) -> float | None:
    """Return the score that a run ended with: chance where it overflowed, None where it was never evaluated."""
    if run.score is not None and math.isfinite(run.score) and run.status != "diverged":
        return run.score
    return run.chance if run.status in ("diverged", "solved") else None


def tabulate(runs: Sequence[Run]) -> list[RunTable]:
    """Arrange runs as one table per cell, cells in order of first appearance.

    Raises ValueError where two finished runs share cell, gap, learning rate and seed: they are of two sweeps.
    """
    budget = budget_of(runs)
    by_cell: dict[str, list[Run]] = {}
    for run in runs:
        by_cell.setdefault(run.cell, []).append(run)
    tables = []
    for cell, own in by_cell.items():
        done = [run for run in own if run.status != "failed"]
        if done:
            tables.append(_tabulate_cell(cell, done, budget))
    return tables


def _tabulate_cell(cell: str, runs: list[Run], budget: int) -> RunTable:
    seeds, seed_index = np.unique(np.array([run.seed for run in runs], dtype=np.int64), return_inverse=True)
    gaps, gap_index = np.unique(np.array([run.gap for run in runs], dtype=np.int64), return_inverse=True)
    rates, rate_index = np.unique(np.array([run.learning_rate for run in runs]), return_inverse=True)
    index = (seed_index, gap_index, rate_index)
    shape = (len(seeds), len(gaps), len(rates))
    flat = np.ravel_multi_index(index, shape)
    if len(np.unique(flat)) < len(flat):
        values, counts = np.unique(flat, return_counts=True)
        seed, gap, rate = np.unravel_index(values[counts > 1][0], shape)
        raise ValueError(
            f"expected one run per cell, gap, learning rate and seed, got several of {cell} at gap {gaps[gap]}, "
            f"learning rate {rates[rate]:g}, seed {seeds[seed]}: analyse one task and one size at a time"
        )

    def scatter(values: NDArray[Any]) -> Floats:
        array = np.zeros(shape)
        array[index] = values
        return array

    solved = np.array([run.status == "solved" and run.solved_step is not None for run in runs])
    steps = np.array([run.solved_step or 0 for run in runs])
    score = np.array([math.nan if (score := final_score(run)) is None else score for run in runs])
    chance, solved_at = (np.array([getattr(run, name) for run in runs]) for name in ("chance", "solved_at"))
    progress = (score - chance) / (solved_at - chance)
    scored = np.isfinite(progress)
    return RunTable(
        cell,
        seeds,
        gaps,
        rates,
        finished=scatter(np.ones(len(runs))),
        solved=scatter(np.array([run.status == "solved" for run in runs])),
        steps=scatter(np.where(solved, steps, budget)),
        scored=scatter(scored),
        progress=scatter(np.where(scored, progress, 0.0)),
    )
