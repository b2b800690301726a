"""A published comparison as data: arms to train, claims with their bounds, and the verdict. No jax.

The rule, the same for all: a claim holds if the median of its seeds lies within the bounds that its file states. All
claims hold: *reproduced*. One does not: *not reproduced*. Ours is smaller than what was published, or its data or
protocol is another: *not comparable*, and the claims are those that such a form can still bear out or not. Fewer than
two seeds that say anything: *not decided*. No setting is tuned to a published number.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from scipy import stats

from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.store.records import Record

Measure = Literal["solved_step", "score", "best_score", "updates_ratio"]
Verdict = Literal["reproduced", "not reproduced", "not comparable", "not decided"]
CONFIDENCE = 0.95
LEAST_SEEDS = 2
"""Fewer say nothing about the next seed: such a comparison is not decided."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """One row of a published comparison: one model on one task, at settings that are options of a sweep."""

    name: str
    options: Mapping[str, Any]

    def config(self, **execution: Any) -> SweepConfig:
        """The sweep of this arm: one cell, one gap, one learning rate."""
        return SweepConfig.of(**{"tuning_seeds": (), "wandb": "disabled", **self.options, **execution})


@dataclasses.dataclass(frozen=True)
class Claim:
    """What was published of an arm, and the bounds in which ours must lie.

    solved_step: the update at which a run had solved its task, infinite where it never did
    score: that of the evaluation at update `at`, the last one where `at` is None
    best_score: the best one of all evaluations, which papers report without saying so
    updates_ratio: updates until solved, over those of the arm `against` with the same seed
    """

    text: str
    arm: str
    measure: Measure
    published: str
    source: str
    low: float = -math.inf
    high: float = math.inf
    at: int | None = None
    against: str = ""


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """A published comparison: where it stands, what it needs, and how ours differs from it."""

    name: str
    paper: str
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...]
    left_out: str
    """What the paper does not say, and what was chosen in its place."""
    differs: str
    """What is known to differ here."""
    not_comparable: str = ""
    """Why no verdict on the published numbers can be given, whatever ours are; empty if it can."""
    reduced: bool = False


@dataclasses.dataclass(frozen=True)
class Finding:
    """A claim beside what came out: a row of claims.csv.

    `ours` has one number a seed, in the order of `seeds`; `low_95` and `high_95` are a t interval of their mean, of
    their logarithms where they are steps, ratios or errors, cut off at 0 and 1 where they are shares. None: from fewer
    than two seeds, or where a run never solved its task. Of a ratio nothing is known (nan) where neither run did.
    `holds` is None where fewer than two seeds say anything.
    """

    reproduction: str
    reduced: bool
    arm: str
    text: str
    published: str
    source: str
    measure: str
    at: int | None
    seeds: str
    ours: str
    median: float | None
    low_95: float | None
    high_95: float | None
    low: float
    high: float
    holds: bool | None


def compare(reproduction: Reproduction, claim: Claim, records: Mapping[str, Sequence[Record]]) -> Finding:
    """Hold a claim against the records of each arm, by its name."""
    by_seed = {record.run.seed: record for record in records.get(claim.arm, ()) if not record.error}
    others = {record.run.seed: record for record in records.get(claim.against, ()) if not record.error}
    seeds = sorted(by_seed if not claim.against else by_seed.keys() & others.keys())
    values = [measured(claim, by_seed[seed], others.get(seed)) for seed in seeds]
    known = [value for value in values if not math.isnan(value)]
    median = float(np.median(known)) if len(known) >= LEAST_SEEDS else None
    is_error = any(not record.run.higher_is_better for record in by_seed.values())
    low, high = interval(values, logarithmic=is_error or claim.measure in ("solved_step", "updates_ratio"))
    if low is not None and high is not None and all(_is_share(claim, record) for record in by_seed.values()):
        low, high = max(low, 0.0), min(high, 1.0)
    return Finding(
        reproduction.name,
        reproduction.reduced,
        claim.arm,
        claim.text,
        claim.published,
        claim.source,
        claim.measure,
        claim.at,
        " ".join(map(str, seeds)),
        " ".join(f"{value:.6g}" for value in values),
        median,
        low,
        high,
        claim.low,
        claim.high,
        None if median is None else claim.low <= median <= claim.high,
    )


def _is_share(claim: Claim, record: Record) -> bool:
    return claim.measure in ("score", "best_score") and record.run.measure.endswith("accuracy")


def measured(claim: Claim, record: Record, other: Record | None) -> float:
    """What a claim speaks of, in one run."""
    run = record.run
    if claim.measure == "solved_step":
        return math.inf if run.solved_step is None else float(run.solved_step)
    if claim.measure == "updates_ratio":
        assert other is not None
        return _ratio(run.solved_step, other.run.solved_step, other.run.steps)
    points = [point for point in record.curve if claim.at is None or point.step <= claim.at]
    if not points:
        return math.nan
    if claim.measure == "score":
        return points[-1].score
    scores = [point.score for point in points]
    return max(scores) if run.higher_is_better else min(scores)


def _ratio(solved: int | None, other: int | None, budget: int) -> float:
    """Updates over updates; where the other never solved, over its budget, so that the ratio is at least so small."""
    if solved is None:
        return math.inf if other is not None else math.nan
    return solved / (budget if other is None else other)


def interval(values: Sequence[float], logarithmic: bool) -> tuple[float | None, float | None]:
    """A t interval of the mean, of the geometric one if `logarithmic`; none where there is no mean to speak of."""
    numbers = np.array(values)
    if len(numbers) < LEAST_SEEDS or not np.isfinite(numbers).all() or (logarithmic and (numbers <= 0.0).any()):
        return None, None
    scaled = np.log(numbers) if logarithmic else numbers
    half = stats.t.ppf(0.5 + CONFIDENCE / 2.0, len(scaled) - 1) * stats.sem(scaled)
    ends = scaled.mean() - half, scaled.mean() + half
    low, high = (float(np.exp(end) if logarithmic else end) for end in ends)
    return low, high


def verdict(reproduction: Reproduction, findings: Sequence[Finding]) -> Verdict:
    """The verdict of the rule on top of this file."""
    if not findings or any(each.holds is None for each in findings):
        return "not decided"
    if reproduction.not_comparable:
        return "not comparable"
    return "reproduced" if all(each.holds for each in findings) else "not reproduced"
