"""Choice of a learning rate on the tuning seeds alone: by solved runs, or by loss where a task can't be solved.

Each rule stands here alone. For both, a run that failed (a crash) says nothing, and a run that diverged is the worst.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from lstm_jax.analysis.arrays import Floats, Integers
from lstm_jax.analysis.gaps.run_table import RunTable
from lstm_jax.sweeps.store.records import Run

NONE = -1


def best_learning_rates(tuning: RunTable, weights: Floats) -> Integers:
    """Choose a learning rate for every gap under every weighting of the tuning seeds.

    The rate that solved most (as a fraction of its finished runs); among equals the one that solved most at the other
    gaps of the cell, each weighted by 2^-(its distance in octaves); then the fewest updates to solve on average
    (unsolved: the budget), the best mean final score, the smaller rate. The other gaps break ties because where no rate
    solves on a few tuning seeds, anything else would pick one at random. Updates come before the score because a run
    stops when it has solved: among runs that all did, the score is noise beyond what counts as solved.

    Args: `weights` [B, S] counts how often each seed of `tuning` is drawn.
    Returns indices [B, G] into `learning_rates`; NONE where no rate has a finished run.
    """
    finished = weigh(weights, tuning.finished)
    runs = np.maximum(finished, 1.0)
    solved = weigh(weights, tuning.solved) / runs
    octaves = np.log2(tuning.gaps)
    nearness = 2.0 ** -np.abs(octaves[:, None] - octaves)
    scored = np.maximum(weigh(weights, tuning.scored), 1.0)
    # Equal sums may differ in their last bits with the order of the seeds; rounding keeps a tie a tie.
    criteria = (
        solved,
        np.round(np.einsum("gh,bhl->bgl", nearness, solved), 9),
        -weigh(weights, tuning.steps) / runs,
        np.round(weigh(weights, tuning.progress) / scored, 9),
    )
    candidates = finished > 0.0
    empty = ~candidates.any(axis=-1)
    for criterion in criteria:
        score = np.where(candidates, criterion, -np.inf)
        candidates &= score == score.max(axis=-1, keepdims=True)
    return np.where(empty, NONE, candidates.argmax(axis=-1))


def chosen_learning_rates(table: RunTable, tuning_seeds: Collection[int]) -> Integers:
    """Return the index [G] of the learning rate that is reported at each gap; NONE where there is none yet.

    Looks at the tuning seeds alone. A cell with a single learning rate needs no tuning.

    Raises ValueError where a gap has runs at several learning rates and `tuning_seeds` is empty.
    """
    if len(table.learning_rates) == 1:
        return np.zeros(len(table.gaps), dtype=np.int64)
    present = table.finished.sum(axis=0) > 0.0
    if not tuning_seeds:
        several = np.flatnonzero(present.sum(axis=-1) > 1)
        if len(several) > 0:
            rates = table.learning_rates[present[several[0]]].tolist()
            raise _no_tuning_seeds(table.cell, int(table.gaps[several[0]]), rates)
        return np.asarray(present.argmax(axis=-1), dtype=np.int64)
    seeds = table.seeds[np.isin(table.seeds, np.array(sorted(tuning_seeds), dtype=np.int64))]
    return np.asarray(best_learning_rates(table.select(seeds), np.ones((1, len(seeds))))[0])


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
    for (cell, gap), own in places.items():
        rates = sorted({*learning_rates, *(run.learning_rate for run in own)})
        if len(rates) > 1 and not tuning_seeds:
            raise _no_tuning_seeds(cell, gap, rates)
        scores = [
            _loss_of([run for run in own if run.learning_rate == rate and run.seed in tuning_seeds]) for rate in rates
        ]
        best = min(range(len(rates)), key=lambda index: scores[index])
        if len(rates) > 1 and not math.isfinite(scores[best][1]):
            without.append(cell)
            continue
        reported += [
            run
            for run in own
            if run.learning_rate == rates[best] and run.seed not in tuning_seeds and run.status != "failed"
        ]
    return reported, list(dict.fromkeys(without))


def _loss_of(runs: Sequence[Run]) -> tuple[float, float]:
    """Return the share of diverged runs, and the mean loss of the others; both infinite where there are none."""
    losses = [
        math.inf if run.status == "diverged" or run.loss is None or not math.isfinite(run.loss) else run.loss
        for run in runs
        if run.status != "failed"
    ]
    finite = [loss for loss in losses if math.isfinite(loss)]
    return (1.0 - len(finite) / len(losses), math.fsum(finite) / len(finite)) if finite else (math.inf, math.inf)


def _no_tuning_seeds(cell: str, gap: int, rates: Sequence[float]) -> ValueError:
    return ValueError(
        f"expected tuning seeds to choose a learning rate by, got none: {cell} has runs at gap {gap} with the learning "
        f"rates {', '.join(f'{rate:g}' for rate in rates)}. Name some seeds as tuning seeds (results are then reported "
        "on the others), or keep one learning rate"
    )


def weigh(weights: Floats, values: Floats) -> Floats:
    """Sum `values` [S, ...] over the seeds, once under each weighting [B, S]; returns [B, ...]."""
    return np.asarray(np.tensordot(weights, values, axes=1))
