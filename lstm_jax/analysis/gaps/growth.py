"""Does the horizon of a cell still grow? A joint posterior of it at half the budget and at the whole, from nested runs.

A run of seed s at gap g solves by half the budget with probability p₀, by the whole with p₁, each as in posterior.py,

    pᵢ = γ + (1 - γ - λ) σ(b (hᵢ - log2 g) + c + u_s),   h₁ = h₀ + d,   d ≥ 0,

with one slope, one share of lapses and one effect of the seed for both: it is the same run. Of those that have not
solved by half, a share λ does so later wherever the gap lies, as slow runs do. A priori a tenth of the mass is at
d = 0, and the rest falls with d.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import expit

from lstm_jax.analysis.gaps.budgets import at_budget
from lstm_jax.analysis.gaps.horizon import Bound, Evidence, evidence_of, horizon_of
from lstm_jax.analysis.gaps.posterior import (
    GUESS,
    LAPSE_WEIGHTS,
    LAPSES,
    MARGIN,
    SLOPES,
    SPREAD_WEIGHTS,
    SPREADS,
    posterior,
)
from lstm_jax.arrays import Floats, Integers
from lstm_jax.sweeps.stages.run_table import tabulate
from lstm_jax.sweeps.store.records import Record

Verdict = Literal["still growing", "settled", "not known"]
MORE_THAN, LESS_THAN = 0.25, 0.5
"""Octaves from half the budget to the whole: what growing means at least, and settled at most."""
CERTAIN = 0.95
STEPS = 4
"""Horizons per octave on the grid."""
GROWTHS = np.array([0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.5, 2.0, 3.0, 4.0])
_WIDTHS = np.array([0.0, *[0.125] * 7, 0.3125, 0.5, 0.75, 1.0, 1.0])
GROWTH_WEIGHTS = np.where(GROWTHS == 0.0, 0.1, 0.9 * _WIDTHS / (1.0 + GROWTHS) / (_WIDTHS / (1.0 + GROWTHS)).sum())
"""The prior of d."""
_SLOPES = SLOPES[::2]
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
NEVER, LATE, EARLY, ABSENT = 0, 1, 2, 3


@dataclass(frozen=True)
class Growth:
    """How the horizon of a cell grew from half the budget to the whole, at its tuned rate: a row of growth.csv.

    Horizons and bounds are as in horizon.csv. `p_growing` is the posterior probability of more than a quarter of an
    octave (19%), `p_settled` that of less than half an octave (41%); the verdict needs 95%. From one seed it is not
    known.
    """

    cell: str
    learning_rate: float
    half_budget: int
    horizon_half: float | None
    bound_half: Bound
    horizon: float | None
    bound: Bound
    p_growing: float
    p_settled: float
    verdict: Verdict


class _Tables(NamedTuple):
    """Log-probabilities [outcome, G, N * H * D * K] of a run at each gap, and the shape [N, H, D]."""

    logs: Floats
    shape: tuple[int, int, int]


def growths(
    records: Sequence[Record], tuning_seeds: Collection[int], *, max_steps: int, eval_steps: int
) -> list[Growth]:
    """Judge for every cell of horizon.csv whether its horizon still grows.

    Raises ValueError where a cell has several learning rates and there are no tuning seeds.
    """
    half = int(max_steps / 2 / eval_steps) * eval_steps
    early = {table.cell: table for table in tabulate([at_budget(record, half, eval_steps) for record in records])}
    tables = tabulate([record.run for record in records])
    rows = []
    for table, evidence in ((each, found) for each in tables for found in evidence_of([each], tuning_seeds)):
        of_half = early[table.cell]
        rate = table.learning_rates.tolist().index(evidence.learning_rate)
        report = ~np.isin(table.seeds, sorted(tuning_seeds))
        solved, by_half, finished = (each[report, :, rate] for each in (table.solved, of_half.solved, table.finished))
        at_half = posterior(table.gaps, by_half, finished)
        before, after = horizon_of(Evidence(table.cell, evidence.learning_rate, at_half, ())), horizon_of(evidence)
        p_growing, p_settled = growth_of(table.gaps, by_half + solved, finished)
        verdict = verdict_of(p_growing, p_settled) if evidence.tuned.num_seeds > 1 else "not known"
        places = (before.horizon, before.bound, after.horizon, after.bound)
        rows.append(Growth(table.cell, evidence.learning_rate, half, *places, p_growing, p_settled, verdict))
    return rows


def verdict_of(p_growing: float, p_settled: float) -> Verdict:
    """Return what is certain by 95%."""
    return "still growing" if p_growing >= CERTAIN else "settled" if p_settled >= CERTAIN else "not known"


def growth_of(gaps: Integers, outcomes: Floats, finished: Floats) -> tuple[float, float]:
    """Return the probabilities of growth by more than MORE_THAN, and by less than LESS_THAN, octaves.

    `outcomes` [S, G] are NEVER, LATE or EARLY: solved not at all, after half the budget, or before.
    """
    mass = growth_posterior(gaps, outcomes, finished)
    return float(mass[GROWTHS > MORE_THAN].sum()), float(mass[GROWTHS < LESS_THAN].sum())


def growth_posterior(gaps: Integers, outcomes: Floats, finished: Floats) -> Floats:
    """Return the posterior probabilities [D] of GROWTHS."""
    measured = finished.any(axis=0)
    octaves = tuple(np.log2(gaps[measured]).tolist())
    rows = np.where(finished > 0.0, outcomes, ABSENT)[:, measured].astype(np.int8)
    total = np.zeros(_tables(octaves).shape)
    for row, count in zip(*np.unique(rows, axis=0, return_counts=True), strict=True):
        total += count * _log_likelihood(octaves, tuple(row.tolist()))
    prior = np.einsum("b,l,t->blt", np.ones(len(_SLOPES)), LAPSE_WEIGHTS, SPREAD_WEIGHTS).ravel()
    mass = np.einsum("nhd,n->d", np.exp(total - total.max()), prior) * GROWTH_WEIGHTS
    return np.asarray(mass / mass.sum())


@functools.lru_cache(maxsize=256)  # seeds and cells have their outcomes in common; 150 kB each
def _log_likelihood(octaves: tuple[float, ...], row: tuple[int, ...]) -> Floats:
    """The log-likelihood [N, H, D] of the outcomes of one seed, over its effect."""
    logs, shape = _tables(octaves)
    each = sum((logs[outcome, gap] for gap, outcome in enumerate(row) if outcome != ABSENT), np.zeros(logs.shape[2]))
    weights = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
    return np.asarray(np.log(np.exp(each).reshape(*shape, len(_NODES)) @ weights))


@functools.lru_cache(maxsize=4)
def _tables(octaves: tuple[float, ...]) -> _Tables:
    horizons = np.arange(octaves[0] - MARGIN, octaves[-1] + MARGIN + 0.5 / STEPS, 1.0 / STEPS)
    grid = np.meshgrid(_SLOPES, LAPSES, SPREADS, indexing="ij")
    b, lapse, spread = (each.ravel()[:, None, None, None] for each in grid)
    half = (0.5 - GUESS) / (1.0 - GUESS - lapse)
    place = horizons[:, None, None] - np.array(octaves)[:, None, None, None, None]

    def solves(distance: Floats) -> Floats:
        logit = b * distance + np.log(half / (1.0 - half)) + spread * _NODES
        return np.asarray(GUESS + (1.0 - GUESS - lapse) * expit(logit))

    shape = (len(octaves), b.size, len(horizons), len(GROWTHS), len(_NODES))
    early = np.broadcast_to(solves(place), shape)
    whole = solves(place + GROWTHS[:, None])
    late = lapse * (1.0 - early) + (1.0 - lapse) * (whole - early)
    probabilities = np.stack([1.0 - early - late, late, early])
    return _Tables(np.log(probabilities).reshape(3, len(octaves), math.prod(shape[1:])), shape[1:4])
