"""Whether a cell's memory grew or shrank before it saw the fact, over many seeds. No jax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lstm_jax.arrays import Floats

NUM_NOISE = 3.0
"""A signal of so many times its noise, one over its batches, is one."""
SHORTEST, LONGEST = 1e-2, 1e5
"""Time constants, in steps, count as no shorter and no longer: float32 can't tell some from infinite."""
CLEARLY = 0.17
"""Octaves by which a time constant has grown or shrunk: twice the deviation of two measurements of the same net."""
FEWEST = 6
"""Of fewer values no interval of 95% for the median can be had from their order alone."""


@dataclass(frozen=True)
class Seen:
    """A run at one moment: a row of drift.csv, beside its condition.

    `score` is the held-out one; `time_constant` the 90th percentile over the units of that part of the state that keeps
    longest, in steps; `transport` the gradient that reaches the fact's state over that of the last; `noise` the
    standard deviation of the logits among sequences with the same fact, and `state_noise` that of the last state;
    `signal` the fact's share of the gradient's second moment, the largest among recurrent weights.
    """

    seed: int
    step: int
    score: float
    time_constant: float
    transport: float
    noise: float
    state_noise: float
    signal: float


@dataclass(frozen=True)
class DriftSummary:
    """The runs of one cell under one condition: a row of summary.csv.

    `size` is how many parameters were asked for, `num_params` how many there are.
    `num_blind` of `num_runs` runs had a moment after the start at which there was still no signal; the rest is of
    these, at the last such moment: how many had a longer memory than at the start and how many a shorter one, by more
    than CLEARLY; the median of the binary logarithm of its time constant over that at the start, with a 95%
    interval by order statistics; and those of the noise in the logits. `first_signal` is the median of
    the first moments with a signal (None where half of the runs have none).
    """

    condition: str
    cell: str
    gap: int
    size: int
    num_params: int
    learning_rate: float
    num_runs: int
    num_solved: int
    first_signal: float | None
    num_blind: int
    num_grew: int
    num_shrank: int
    growth: float | None
    growth_low: float | None
    growth_high: float | None
    noise_change: float | None
    noise_low: float | None
    noise_high: float | None


class Change(NamedTuple):
    """Binary logarithms of what a run had while it was blind over what it had at the start."""

    memory: float
    noise: float


def first_signal(run: Sequence[Seen], noise: float) -> int | None:
    """The first moment with a signal, of a run in the order of its moments; None without any."""
    return next((row.step for row in run if row.signal > NUM_NOISE * noise), None)


def blind_change(run: Sequence[Seen], noise: float, learns: bool = True) -> Change | None:
    """What changed until the last moment before the first signal; None without a moment between, or for no numbers.

    A run that can't learn the fact, whatever a measurement with true answers sees, is blind to the end.
    """
    end = first_signal(run, noise) if learns else None
    blind = [row for row in run if end is None or row.step < end]
    if len(blind) < 2:
        return None
    first, last = blind[0], blind[-1]
    before, after = np.clip([first.time_constant, last.time_constant], SHORTEST, LONGEST)
    if not np.isfinite([before, after, last.noise]).all():
        return None
    return Change(float(np.log2(after / before)), float(np.log2(max(last.noise, 1e-30) / max(first.noise, 1e-30))))


def median_interval(values: Floats) -> tuple[float | None, float | None, float | None]:
    """The median and its 95% interval by order statistics; Nones without values, and no interval of fewer than six."""
    if not len(values):
        return None, None, None
    if len(values) < FEWEST:
        return float(np.median(values)), None, None
    from scipy import stats

    found = stats.quantile_test(values, q=0.0, p=0.5).confidence_interval(0.95)
    return float(np.median(values)), float(found.low), float(found.high)


def summarise(
    condition: str, cell: str, gap: int, size: int, num_params: int, learning_rate: float, solved_at: float,
    rows: Sequence[Seen], noise: float, learns: bool = True, until: int | None = None,
) -> DriftSummary:  # fmt: skip
    """Return the row of one condition; a run has solved that has passed `solved_at` at its last moment.

    What changed while runs were blind is looked at until so many updates; None: to the end.
    """
    runs = [sorted((row for row in rows if row.seed == seed), key=lambda row: row.step) for seed in _seeds(rows)]
    looked_at = [[row for row in run if until is None or row.step <= until] for run in runs]
    found = [change for run in looked_at if (change := blind_change(run, noise, learns)) is not None]
    memory = np.array([change.memory for change in found])
    signals = sorted(np.inf if (step := first_signal(run, noise)) is None else step for run in runs)
    middle = float(np.median(signals))
    return DriftSummary(
        condition, cell, gap, size, num_params, learning_rate, len(runs),
        sum(run[-1].score >= solved_at for run in runs), middle if np.isfinite(middle) else None,
        len(found), int((memory > CLEARLY).sum()), int((memory < -CLEARLY).sum()),
        *median_interval(memory), *median_interval(np.array([change.noise for change in found])),
    )  # fmt: skip


def _seeds(rows: Sequence[Seen]) -> list[int]:
    return sorted({row.seed for row in rows})
