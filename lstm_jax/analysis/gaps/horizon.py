"""The horizon of each cell: the gap at which half of its runs still learn, at its one tuned learning rate."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import rel_entr

from lstm_jax.analysis.gaps.posterior import Posterior, posterior
from lstm_jax.arrays import Floats
from lstm_jax.sweeps.stages.choice import NONE, tuned_rate
from lstm_jax.sweeps.stages.run_table import RunTable, tabulate
from lstm_jax.sweeps.store.records import Run

Bound = Literal["", ">", "<"]
NUM_DRAWS = 999


@dataclass(frozen=True)
class Horizon:
    """The gap in time steps at which half of a cell's runs learn the task at its tuned rate: a row of horizon.csv.

    With bound ">" the horizon lies above `horizon`, the largest measured gap; with "<" below the smallest. None where
    the data say neither what it is nor on which side of the gaps it lies. An end of the interval is None where it is
    open: the data do not exclude that the horizon lies outside the measured gaps. The horizon at the best learning rate
    of the grid, whichever that is, lies between `ci_low` and `best_high`. `monotone_p` is the p-value of solve rates
    that nowhere rise with the gap, as the model has them. `num_seeds` are report seeds.
    """

    cell: str
    learning_rate: float
    horizon: float | None
    ci_low: float | None
    ci_high: float | None
    bound: Bound
    best_high: float | None
    monotone_p: float
    num_seeds: int


class Evidence(NamedTuple):
    """What its runs say of one cell: posteriors at the tuned rate, of report seeds, and at every rate, of all seeds."""

    cell: str
    learning_rate: float
    tuned: Posterior
    every: tuple[Posterior, ...]

    @property
    def rivals(self) -> tuple[Posterior, ...]:
        """All that may be the posterior of the best rate, that of the tuned one first."""
        return (self.tuned, *self.every)


def horizons(runs: Sequence[Run], tuning_seeds: Collection[int], *, confidence: float = 0.95) -> list[Horizon]:
    """Estimate the horizon of every cell from its report seeds, at the learning rate chosen on its tuning seeds.

    The median and a central interval of the posterior on a grid (docs/statistics.md). Beyond the measured gaps an end
    is open and the horizon a bound. Cells come in order of first appearance; one without a reported run yet is left
    out. A cell's numbers depend on its own runs alone, in any order.

    Raises ValueError where a cell has several learning rates and there are no tuning seeds.
    """
    return [horizon_of(evidence, confidence) for evidence in evidence_of(tabulate(runs), tuning_seeds)]


def evidence_of(tables: Iterable[RunTable], tuning_seeds: Collection[int]) -> list[Evidence]:
    """Return what the runs say of each cell that has a report run at its tuned rate."""
    found = []
    for table in tables:
        rate, report = tuned_rate(table, tuning_seeds), ~np.isin(table.seeds, sorted(tuning_seeds))
        if rate == NONE or not table.finished[report, :, rate].any():
            continue
        tuned = posterior(table.gaps, table.solved[report, :, rate], table.finished[report, :, rate])
        every = [
            posterior(table.gaps, table.solved[..., each], table.finished[..., each])
            for each in np.flatnonzero(table.finished.any(axis=(0, 1))).tolist()
        ]
        found.append(Evidence(table.cell, float(table.learning_rates[rate]), tuned, tuple(every)))
    return found


def horizon_of(evidence: Evidence, confidence: float = 0.95) -> Horizon:
    """Return the row of a cell."""
    tuned = evidence.tuned
    middle, low, high = tuned.interval(confidence)
    best_high = max(rival.interval(confidence)[2] for rival in evidence.rivals)
    bound: Bound = ""
    # A side is claimed only where the data exclude the other one.
    if math.isinf(middle) and (low, high) != (-math.inf, math.inf):
        bound, middle = (">", tuned.gaps[-1]) if middle > 0.0 else ("<", tuned.gaps[0])
    value, ci_low, ci_high, best = (_gap(octave, tuned.gaps) for octave in (middle, low, high, best_high))
    p = monotone_p(tuned.solved, tuned.finished)
    return Horizon(evidence.cell, evidence.learning_rate, value, ci_low, ci_high, bound, best, p, tuned.num_seeds)


def monotone_p(solved: Floats, finished: Floats) -> float:
    """Return the p-value of solve rates that nowhere rise with the gap, from counts [G].

    By the deviance from the isotonic fit, drawn anew where that fit is the truth; the draws are always the same.
    """
    observed, fitted = _deviance(solved[None], finished)
    draws = np.random.default_rng(0).binomial(finished.astype(np.int64), fitted[0], (NUM_DRAWS, len(finished)))
    found, _ = _deviance(draws.astype(np.float64), finished)
    return (1 + int((found >= observed - 1e-9).sum())) / (NUM_DRAWS + 1)


def _deviance(solved: Floats, finished: Floats) -> tuple[Floats, Floats]:
    """From counts [N, G]: twice the log of how much likelier the measured rates are than the likeliest that nowhere
    rise [N], and these [N, G]: at i the least over a <= i of the greatest over b >= i of the mean from a to b."""
    fitted = np.ones(solved.shape)
    sums, sizes = (np.cumsum(np.insert(each, 0, 0.0, axis=-1), axis=-1) for each in (solved, finished))
    for a in range(len(finished)):
        means = (sums[:, a + 1 :] - sums[:, a, None]) / (sizes[a + 1 :] - sizes[a])
        fitted[:, a:] = np.minimum(fitted[:, a:], np.maximum.accumulate(means[:, ::-1], axis=1)[:, ::-1])
    terms = rel_entr(solved, finished * fitted) + rel_entr(finished - solved, finished * (1.0 - fitted))
    return 2.0 * terms.sum(axis=1), fitted


def _gap(octave: float, octaves: Sequence[float]) -> float | None:
    """The gap at an octave, None where that is infinite; log2 and back again, a measured gap stays what it was."""
    return None if math.isinf(octave) else float(round(2.0**octave)) if octave in octaves else 2.0**octave
