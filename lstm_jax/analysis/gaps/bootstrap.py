"""The bootstrap over seeds of every cell's horizon, with the choice of learning rate repeated in each replicate."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from lstm_jax.analysis.arrays import Floats, Integers
from lstm_jax.analysis.choice import NONE, best_learning_rates, chosen_learning_rates, weigh
from lstm_jax.analysis.gaps.logistic import Crossings, crossings, widen_separated
from lstm_jax.analysis.gaps.run_table import RunTable, tabulate
from lstm_jax.sweeps.store.records import Run

# Every replicate holds, besides the seeds it drew, this share of a seed that learns up to a gap drawn at random. Few
# seeds that agree would otherwise agree in every replicate; docs/statistics.md has the coverage without it.
PRIOR_SEEDS = 0.5
PRIOR_MARGIN_OCTAVES = 1.0


class Resampled(NamedTuple):
    """The horizon of one cell: its measured `gaps` [G], the `estimate` [1], and the same of B `replicates` [B]."""

    cell: str
    gaps: Integers
    estimate: Crossings
    replicates: Crossings


def resample_horizons(
    runs: Sequence[Run], tuning_seeds: Collection[int], num_bootstrap: int, seed: int
) -> list[Resampled]:
    """Bootstrap the horizon of each cell over seeds; replicate b draws the same seeds for all cells (paired).

    Tuning and report seeds are drawn each from their own pool. A cell without a reported result yet is left out.
    Raises ValueError where a learning rate has to be chosen and there are no tuning seeds.
    """
    tables = tabulate(runs)
    if not tables:
        return []
    seeds = np.unique(np.concatenate([table.seeds for table in tables]))
    tuning = np.isin(seeds, np.array(sorted(tuning_seeds), dtype=np.int64))
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)]
    draws = [_draw(int(pool.sum()), num_bootstrap, rng) for pool, rng in zip((tuning, ~tuning), streams, strict=True)]
    resampled = []
    for table in tables:
        # A stream by name: what other cells there are, and in which order, does not change a cell's interval.
        prior = np.random.default_rng([seed, zlib.crc32(table.cell.encode())]).random(num_bootstrap)
        chosen = chosen_learning_rates(table, tuning_seeds)
        result = _resample(table.select(seeds[tuning]), table.select(seeds[~tuning]), chosen, draws[0], draws[1], prior)
        if result is not None:
            resampled.append(result)
    return resampled


def percentile_interval(low: Floats, high: Floats, confidence: float) -> tuple[float, float]:
    """Return the percentile interval of replicates that are themselves intervals, by order statistics."""
    rank = max(1, math.floor((len(low) + 1) * (1.0 - confidence) / 2.0))
    return float(np.sort(low)[rank - 1]), float(np.sort(high)[-rank])


def _draw(num_seeds: int, num_bootstrap: int, rng: np.random.Generator) -> Floats:
    if num_seeds == 0:
        return np.zeros((num_bootstrap, 0))
    return rng.multinomial(num_seeds, np.full(num_seeds, 1.0 / num_seeds), size=num_bootstrap).astype(np.float64)


def _resample(
    tuning: RunTable, report: RunTable, chosen: Integers, tuning_draws: Floats, report_draws: Floats, prior: Floats
) -> Resampled | None:
    each = np.arange(len(report.gaps))
    places = np.flatnonzero((chosen != NONE) & (report.finished.sum(axis=0)[each, chosen] > 0.0))
    if len(places) == 0:
        return None
    gaps, octaves = report.gaps[places], np.log2(report.gaps[places])

    own_solved, own_finished = report.solved[:, places, chosen[places]], report.finished[:, places, chosen[places]]
    solved, finished = own_solved.sum(axis=0)[None], own_finished.sum(axis=0)[None]
    estimate = widen_separated(crossings(octaves, solved, finished), octaves, solved, finished)

    solved, finished = weigh(report_draws, own_solved), weigh(report_draws, own_finished)
    if len(report.learning_rates) > 1:
        chosen_again = best_learning_rates(tuning, tuning_draws)
        chosen_again = np.where(chosen_again == NONE, chosen, chosen_again)
        shift = _shrunken_differences(report, chosen)[each, chosen_again][:, places]
        solved = np.clip(solved + finished * shift, 0.0, finished)
    span = octaves[-1] - octaves[0] + 2.0 * PRIOR_MARGIN_OCTAVES
    learns_up_to = octaves[0] - PRIOR_MARGIN_OCTAVES + span * prior[:, None]
    found = crossings(octaves, solved + PRIOR_SEEDS * (octaves <= learns_up_to), finished + PRIOR_SEEDS)
    return Resampled(report.cell, gaps, estimate, widen_separated(found, octaves, solved, finished))


def _shrunken_differences(report: RunTable, chosen: Integers) -> Floats:
    """Return the difference of the solve rate at each learning rate from that at the chosen one [G, L].

    A replicate that chooses another rate moves by this difference. Taken as measured, the noise in it would be counted
    as if it were an effect of the choice, once more on top of the resampling of seeds: between equally good rates the
    interval would be up to 1.4 times too wide. So each difference d, measured by the seeds that ran both, is shrunk by
    max(0, 1 - var(d) / d^2) (James & Stein 1961). A rate without report runs is taken to differ by 0.
    """
    each = np.arange(len(report.gaps))
    both = report.finished * report.finished[:, each, chosen][..., None]
    difference = (report.solved - report.solved[:, each, chosen][..., None]) * both
    count = both.sum(axis=0)
    mean = difference.sum(axis=0) / np.maximum(count, 1.0)
    variance = ((difference**2).sum(axis=0) / np.maximum(count, 1.0) - mean**2) / np.maximum(count - 1.0, 1.0)
    return np.asarray(mean * np.maximum(0.0, 1.0 - variance / np.maximum(mean**2, 1e-12)))
