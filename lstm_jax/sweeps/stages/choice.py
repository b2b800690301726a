"""Choice of a learning rate on the tuning seeds alone: by solved runs, or by loss where a task can't be solved.

Each rule stands here alone. For both, a run that failed (a crash) says nothing, and a run that diverged is the worst.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from lstm_jax.sweeps.stages.run_table import RunTable
from lstm_jax.sweeps.store.records import Run

NONE = -1


def tuned_rate(table: RunTable, tuning_seeds: Collection[int]) -> int:
    """Choose the one learning rate of a cell on its tuning seeds, over all gaps together.

    The rate with the largest sum over gaps of the share of runs that solved; among equals the one with the fewest
    updates to solve on average (unsolved: as the slowest that solved), the best mean final score, the smaller rate. A
    rate is judged on no fewer runs than half of the most that any rate has at that gap, as if the rest had not solved:
    one that solved where its other runs crashed is not the best for it. Updates come before the score because a run
    stops when it has solved: among runs that all did, the score is noise beyond what counts as solved.

    Returns an index into `learning_rates`; NONE where no tuning run has finished. A cell with a single learning rate
    needs no tuning. Raises ValueError where there are several and `tuning_seeds` is empty.
    """
    if len(table.learning_rates) == 1:
        return 0
    if not tuning_seeds:
        raise _no_tuning_seeds(table.cell, table.learning_rates.tolist())
    own = np.isin(table.seeds, sorted(tuning_seeds))
    slowest = (table.steps * table.solved)[own].max(initial=0.0)
    until = np.where(table.solved > 0.0, table.steps, table.finished * slowest)
    finished, solved, steps, scored, progress = (
        each[own].sum(axis=0) for each in (table.finished, table.solved, until, table.scored, table.progress)
    )
    if not finished.any():
        return NONE
    runs = np.maximum(finished, 1.0)
    share = solved / np.maximum(runs, finished.max(axis=1, keepdims=True) / 2.0)
    updates = np.where(finished > 0.0, steps / runs, slowest)
    score = progress.sum(axis=0) / np.maximum(scored.sum(axis=0), 1.0)
    # Equal sums may differ in their last bits with the order of the seeds; rounding makes a tie of them.
    ranked = np.lexsort(np.round([-score, updates.mean(axis=0), -share.sum(axis=0), ~finished.any(axis=0)], 9))
    return int(ranked[0])


def least_loss_runs(
    runs: Sequence[Run], tuning_seeds: Collection[int], learning_rates: Collection[float] = ()
) -> tuple[list[Run], list[str]]:
    """Return the runs to report of a task that is not solved, and the cells without any.

    `learning_rates` were to be tried, whether they have runs or not. The runs are those of the other
    seeds at the learning rate, one for each cell and gap, whose tuning runs have the least held-out loss in the mean
    over those that ended. A diverged run's loss is infinite, so that of rates which all have some the one with the
    smallest share of them comes first. A rate without a tuning run that ended with a finite loss is never chosen; where
    all are such, nothing is reported of the cell. Among equals the smaller rate is taken. Where a cell has a single
    rate there is nothing to choose.

    Raises ValueError where a cell has runs at several learning rates and `tuning_seeds` is empty.
    """
    places: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        places.setdefault((run.cell, run.gap), []).append(run)
    reported, without = [], []
    for (cell, _), own in places.items():
        rate = least_loss_rate(own, tuning_seeds, learning_rates)
        if rate is None:
            without.append(cell)
            continue
        reported += [
            run for run in own if run.learning_rate == rate and run.seed not in tuning_seeds and run.status != "failed"
        ]
    return reported, list(dict.fromkeys(without))


def least_loss_rate(
    runs: Sequence[Run], tuning_seeds: Collection[int], learning_rates: Collection[float] = ()
) -> float | None:
    """Choose the learning rate of one cell at one gap by the rule of `least_loss_runs`; None where none can be."""
    rates = sorted({*learning_rates, *(run.learning_rate for run in runs)})
    if len(rates) == 1:
        return rates[0]
    if not tuning_seeds:
        raise _no_tuning_seeds(runs[0].cell, rates)
    own = [run for run in runs if run.seed in tuning_seeds]
    scores = [_loss_of([run for run in own if run.learning_rate == rate]) for rate in rates]
    best = min(range(len(rates)), key=lambda index: scores[index])
    return rates[best] if math.isfinite(scores[best][1]) else None


def _loss_of(runs: Sequence[Run]) -> tuple[float, float]:
    """Return the share of diverged runs, and the mean loss of the others; both infinite where there are none."""
    losses = [
        math.inf if run.status == "diverged" or run.loss is None or not math.isfinite(run.loss) else run.loss
        for run in runs
        if run.status != "failed"
    ]
    finite = [loss for loss in losses if math.isfinite(loss)]
    return (1.0 - len(finite) / len(losses), math.fsum(finite) / len(finite)) if finite else (math.inf, math.inf)


def _no_tuning_seeds(cell: str, rates: Sequence[float]) -> ValueError:
    return ValueError(
        f"expected tuning seeds to choose a learning rate by, got none: {cell} has runs with the learning rates "
        f"{', '.join(f'{rate:g}' for rate in rates)}. Name some seeds as tuning seeds (results are then reported on "
        "the others), or keep one learning rate"
    )
