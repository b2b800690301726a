"""Ratios of horizons of all pairs of cells, bounds among them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_jax.analysis.gaps.horizon import Bound, Horizon, evidence_of, horizon_of
from lstm_jax.analysis.gaps.posterior import STEPS, Posterior
from lstm_jax.analysis.resampling import holm
from lstm_jax.sweeps.stages.run_table import tabulate
from lstm_jax.sweeps.store.records import Run


@dataclass(frozen=True)
class Contrast:
    """The horizon of `cell_a` over that of `cell_b`: a row of contrasts.csv.

    `ratio` is of horizons at the tuned learning rates; with bound ">" it is more, with "<" less, and None where the
    horizons do not say. The intervals are for this pair alone, an end None where it is open. A p-value is two-sided for
    a ratio of 1 and corrected for all pairs by Holm's method. Those that are called best are of the horizons at the
    best rates of the grid, whichever they are. From one seed there is neither interval nor p-value.
    """

    cell_a: str
    cell_b: str
    ratio: float | None
    bound: Bound
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    best_ci_low: float | None
    best_ci_high: float | None
    best_p_value: float | None


def contrasts(runs: Sequence[Run], tuning_seeds: Collection[int], *, confidence: float = 0.95) -> list[Contrast]:
    """Compare the horizons of all pairs of cells that have one in `horizons`, from the same posteriors.

    Raises ValueError where a cell has several learning rates and there are no tuning seeds.
    """
    found = [(each, horizon_of(each, confidence)) for each in evidence_of(tabulate(runs), tuning_seeds)]
    pairs = list(itertools.combinations(found, 2))
    tuned = _columns([((a.tuned,), (b.tuned,)) for (a, _), (b, _) in pairs], confidence)
    best = _columns([(a.rivals, b.rivals) for (a, _), (b, _) in pairs], confidence)
    return [
        Contrast(a.cell, b.cell, *ratio_of(a, b), *of_tuned, *of_best)
        for ((_, a), (_, b)), of_tuned, of_best in zip(pairs, tuned, best, strict=True)
    ]


def _columns(
    pairs: Sequence[tuple[Sequence[Posterior], Sequence[Posterior]]], confidence: float
) -> Iterator[tuple[float | None, float | None, float | None]]:
    """Yield interval and corrected p-value of each pair; None where a tuned rate has one seed."""
    found = [difference(a, b, confidence) if min(a[0].num_seeds, b[0].num_seeds) > 1 else None for a, b in pairs]
    corrected = iter(holm([each[2] for each in found if each is not None]))
    for each in found:
        yield (None, None, None) if each is None else (_ratio(each[0]), _ratio(each[1]), next(corrected))


def ratio_of(a: Horizon, b: Horizon) -> tuple[float | None, Bound]:
    """Return the ratio of two horizons, or a bound of it; None where one is not known, or the bounds say nothing."""
    turned: dict[Bound, Bound] = {"": "", "<": ">", ">": "<"}
    bounds = {a.bound, turned[b.bound]} - {""}
    if a.horizon is None or b.horizon is None or len(bounds) == 2:
        return None, ""
    return a.horizon / b.horizon, bounds.pop() if bounds else ""


def difference(a: Sequence[Posterior], b: Sequence[Posterior], confidence: float = 0.95) -> tuple[float, float, float]:
    """Compare the horizon of one cell with another's: the interval of a - b in octaves, and a two-sided p-value.

    Of each cell come the posterior at its tuned rate, and those at the rates of which one is to be the best, if any.
    The tuned rate reaches no further than the best. So the best of a reaches further only if the tuned one of a reaches
    further than each of b (an intersection-union test: Berger 1982). The posteriors are taken as independent: where
    cells share their seeds' effects, the interval is rather too wide.
    """
    low, not_above = _lower_end(a[0], b, confidence)
    minus_high, not_below = _lower_end(b[0], a, confidence)
    return low, -minus_high, min(1.0, 2.0 * min(not_above, not_below))


def _lower_end(one: Posterior, others: Sequence[Posterior], confidence: float) -> tuple[float, float]:
    """The least lower end of `one` less another, and the greatest probability that it is not above the other.

    Where a horizon may lie beyond its measured gaps, the difference is the least that it may be. Two in the same step
    of the grid are equal, and count half.
    """
    below, least, above = one.sides
    least = np.append(least[:-1], least[-1] + above)
    lows, shares = [], []
    for other in others:
        its_below, most, its_above = other.sides
        most = np.append(most[0] + its_below, most[1:])
        octaves = one.gaps[0] - other.gaps[0] + (np.arange(len(least) + len(most) - 1) - (len(most) - 1)) / STEPS
        mass = np.append(below + its_above - below * its_above, np.convolve(least, most[::-1]))
        values = np.append(-np.inf, octaves)
        place = int(np.searchsorted(np.cumsum(mass), (1.0 - confidence) / 2.0))
        lows.append(float(values[min(place, len(values) - 1)]))
        shares.append(float(mass @ np.clip(0.5 - STEPS * values, 0.0, 1.0)))
    return min(lows), max(shares)


def _ratio(octaves: float) -> float | None:
    return None if math.isinf(octaves) else 2.0**octaves
