"""The horizon of each cell, the gap at which half of its runs still learn, and ratios of horizons."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lstm_jax.analysis.arrays import Integers
from lstm_jax.analysis.gaps.bootstrap import Resampled, percentile_interval, resample_horizons
from lstm_jax.sweeps.store.records import Run

Bound = Literal["", ">", "<"]


@dataclass(frozen=True)
class Horizon:
    """The gap in time steps at which half of a cell's runs learn the task: a row of horizon.csv.

    With bound ">" the horizon lies above `horizon`, the largest measured gap; with "<" below the smallest. An end of
    the interval is None where it is open: the data do not exclude that the horizon lies outside the measured gaps.
    """

    cell: str
    horizon: float
    ci_low: float | None
    ci_high: float | None
    bound: Bound


@dataclass(frozen=True)
class Contrast:
    """The horizon of `cell_a` over that of `cell_b`, paired by seed: a row of contrasts.csv.

    The interval is for this pair alone, an end None where it is open; `p_value` is two-sided for a ratio of 1 and
    corrected for all pairs by Holm's method.
    """

    cell_a: str
    cell_b: str
    ratio: float
    ci_low: float | None
    ci_high: float | None
    p_value: float


def horizons(
    runs: Sequence[Run],
    tuning_seeds: Collection[int],
    *,
    num_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Horizon]:
    """Estimate the horizon of every cell from its report seeds, at the learning rates chosen on its tuning seeds.

    A penalised logistic in log2(gap) crosses one half at the horizon (docs/statistics.md). The interval is a percentile
    bootstrap over seeds that chooses the learning rates anew in each replicate. Where the curve does not cross within
    the measured gaps the horizon is a bound. Cells come in order of first appearance; one without a reported run yet is
    left out. The same runs in any order, and the same `seed`, give the same numbers.

    Raises ValueError where a cell has several learning rates at a gap and there are no tuning seeds.
    """
    return [_horizon(cell, confidence) for cell in resample_horizons(runs, tuning_seeds, num_bootstrap, seed)]


def contrasts(
    runs: Sequence[Run],
    tuning_seeds: Collection[int],
    *,
    num_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Contrast]:
    """Compare the horizons of all pairs of cells, from the bootstrap of `horizons` with the same seeds drawn for both.

    The p-value is one minus the confidence at which the interval would just touch a ratio of 1; its least value is
    2 / (num_bootstrap + 1) before the correction. A pair with a horizon that is a bound has no ratio and is left out.

    Raises ValueError where a cell has several learning rates at a gap and there are no tuning seeds.
    """
    resampled = resample_horizons(runs, tuning_seeds, num_bootstrap, seed)
    measured = [cell for cell in resampled if np.isfinite(cell.estimate.value[0])]
    compared = [_contrast(a, b, confidence) for a, b in itertools.combinations(measured, 2)]
    corrected = holm([contrast.p_value for contrast in compared])
    return [
        Contrast(pair.cell_a, pair.cell_b, pair.ratio, pair.ci_low, pair.ci_high, p_value)
        for pair, p_value in zip(compared, corrected, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's step-down method (Holm 1979), in their order."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def _horizon(cell: Resampled, confidence: float) -> Horizon:
    value = float(cell.estimate.value[0])
    low, high = percentile_interval(cell.replicates.low, cell.replicates.high, confidence)
    # The interval holds its estimate, and between separated gaps all that is as likely.
    low, high = min(low, float(cell.estimate.low[0])), max(high, float(cell.estimate.high[0]))
    bound: Bound = "" if math.isfinite(value) else ">" if value > 0.0 else "<"
    octave = min(max(value, math.log2(cell.gaps[0])), math.log2(cell.gaps[-1]))
    return Horizon(cell.cell, _gap(octave, cell.gaps), _end(low, cell.gaps), _end(high, cell.gaps), bound)


def _end(octave: float, gaps: Integers) -> float | None:
    return _gap(octave, gaps) if math.isfinite(octave) else None


def _gap(octave: float, gaps: Integers) -> float:
    gap = 2.0**octave
    nearest = float(gaps[np.abs(gaps - gap).argmin()])
    # log2 and back again costs a few units in the last place: an end at a measured gap is that gap.
    return nearest if math.isclose(gap, nearest, rel_tol=1e-12) else gap


def _contrast(a: Resampled, b: Resampled, confidence: float) -> Contrast:
    value = float(a.estimate.value[0] - b.estimate.value[0])
    # A low is never +inf and a high never -inf, so an open end stays open: inf - inf does not occur.
    lower, upper = a.replicates.low - b.replicates.high, a.replicates.high - b.replicates.low
    low, high = percentile_interval(lower, upper, confidence)
    low, high = min(low, value), max(high, value)
    tail = min(np.count_nonzero(lower <= 0.0), np.count_nonzero(upper >= 0.0))
    p_value = min(1.0, 2.0 * (tail + 1) / (len(lower) + 1))
    ends = [2.0**end if math.isfinite(end) else None for end in (low, high)]
    return Contrast(a.cell, b.cell, 2.0**value, ends[0], ends[1], p_value)
