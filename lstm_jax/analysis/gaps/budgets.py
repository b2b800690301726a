"""Horizons by budget: a run says when it solved, so one sweep holds the answer for every smaller number of updates."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from lstm_jax.analysis.gaps.horizon import Bound, Horizon, evidence_of, horizon_of
from lstm_jax.sweeps.stages.run_table import tabulate
from lstm_jax.sweeps.store.records import Record, Run

NUM_BUDGETS = 10
EVALUATIONS = 3
"""In a row, that solved means: `solved_step` is the first of them."""
FLOPS_PER_PARAM = 6
"""Operations per parameter, sequence and time step: two forward, four backward (Kaplan et al. 2020, section 2.1)."""


@dataclass(frozen=True)
class HorizonAtBudget:
    """The horizon of a cell had it been given `budget` updates: a row of horizon_by_budget.csv.

    `horizon`, the interval and `bound` are as in horizon.csv, at the learning rate that the tuning seeds choose for
    that budget among those that report seeds were trained at. `sequences` is the budget in sequences seen; `seconds`
    (measured) and `flops` (6 per parameter, sequence and time step) are what it takes at the measured gap nearest to
    the horizon.
    """

    cell: str
    budget: int
    learning_rate: float
    horizon: float | None
    ci_low: float | None
    ci_high: float | None
    bound: Bound
    num_seeds: int
    sequences: int
    seconds: float
    flops: float


def budgets(max_steps: int, eval_steps: int) -> list[int]:
    """Return about ten budgets in updates, each 2^(1/2) times the one before, up to `max_steps`.

    But for the last, multiples of `eval_steps`, and none that is too small to solve in.
    """
    wanted = (max_steps * 2.0 ** (-step / 2.0) for step in range(1, NUM_BUDGETS))
    found = {int(budget / eval_steps + 1e-9) * eval_steps for budget in wanted}
    return sorted({max_steps, *(budget for budget in found if EVALUATIONS * eval_steps <= budget < max_steps)})


def at_budget(record: Record, budget: int, eval_steps: int) -> Run:
    """Return the run as it would have ended with that budget: solved where the third evaluation falls within it."""
    run = record.run
    if run.status == "solved" and run.solved_step is not None:
        if run.solved_step + (EVALUATIONS - 1) * eval_steps <= budget:
            return run
    elif run.steps <= budget:
        return run
    before = [point for point in record.curve if point.step <= budget]
    score, loss = (before[-1].score, before[-1].loss) if before else (None, None)
    return dataclasses.replace(
        run, status="unsolved", solved_step=None, steps=min(run.steps, budget), score=score, loss=loss
    )


def horizons_by_budget(
    records: Sequence[Record],
    tuning_seeds: Collection[int],
    *,
    max_steps: int,
    eval_steps: int,
    batch_size: int,
    num_steps: Callable[[int], int],
) -> list[HorizonAtBudget]:
    """Estimate the horizon of every cell at each of `budgets`; `num_steps` gives the time steps of a gap.

    Cells come in order of first appearance, budgets ascending. Raises ValueError where a cell has several learning
    rates and there are no tuning seeds.
    """
    reported = reported_rates(records, tuning_seeds)
    own = [record for record in records if record.run.learning_rate in reported.get(record.run.cell, ())]
    cells = list(dict.fromkeys(record.run.cell for record in own))
    rows = []
    for budget in budgets(max_steps, eval_steps):
        tables = tabulate([at_budget(record, budget, eval_steps) for record in own])
        for found in map(horizon_of, evidence_of(tables, tuning_seeds)):
            runs = [record.run for record in own if record.run.cell == found.cell]
            seconds, per_sequence = _cost(found, runs, num_steps)
            rows.append(
                HorizonAtBudget(
                    *(found.cell, budget, found.learning_rate, found.horizon, found.ci_low, found.ci_high, found.bound),
                    num_seeds=found.num_seeds,
                    sequences=budget * batch_size,
                    seconds=seconds * budget,
                    flops=per_sequence * budget * batch_size,
                )
            )
    return sorted(rows, key=lambda row: (cells.index(row.cell), row.budget))


def reported_rates(records: Sequence[Record], tuning_seeds: Collection[int]) -> Mapping[str, set[float]]:
    """Return the learning rates of each cell at which report seeds were trained."""
    found: dict[str, set[float]] = {}
    for run in (record.run for record in records):
        if run.seed not in tuning_seeds and run.status != "failed":
            found.setdefault(run.cell, set()).add(run.learning_rate)
    return found


def _cost(found: Horizon, runs: Sequence[Run], num_steps: Callable[[int], int]) -> tuple[float, float]:
    """Seconds of an update, and operations of a sequence, at the measured gap nearest to the horizon."""
    gaps = sorted({run.gap for run in runs if run.learning_rate == found.learning_rate})
    target = math.log2(found.horizon if found.horizon is not None else gaps[len(gaps) // 2])
    gap = min(gaps, key=lambda each: abs(math.log2(each) - target))
    there = [run for run in runs if run.gap == gap and run.learning_rate == found.learning_rate and run.steps > 0]
    seconds = statistics.median(run.duration_seconds / run.steps for run in there) if there else math.nan
    return seconds, float(FLOPS_PER_PARAM * max(run.num_params for run in runs if run.gap == gap) * num_steps(gap))
