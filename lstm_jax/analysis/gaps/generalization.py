"""How runs that were trained at one gap do at larger ones, which they have never seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Generalization:
    """The runs of a cell that solved one gap, tested at another: a row of generalization.csv.

    `num_runs` are the report runs that solved `trained_gap`; `num_solved` of them reach at `tested_gap` the score that
    counts as solved, with a 95% Wilson interval of that share. `score` is their mean score there, and `score_low` and
    `score_high` the worst and the best.
    """

    cell: str
    learning_rate: float
    trained_gap: int
    tested_gap: int
    num_runs: int
    num_solved: int
    solve_rate: float
    ci_low: float
    ci_high: float
    score: float
    score_low: float
    score_high: float
    chance: float
    measure: str
    solved_at: float


def generalization(
    cell: str,
    learning_rate: float,
    gaps: tuple[int, int],
    scores: Sequence[float],
    *,
    chance: float,
    solved_at: float,
    measure: str,
) -> Generalization:
    """Summarise the scores at `gaps[1]` of runs that solved `gaps[0]`; one that is not finite counts as chance.

    Raises ValueError where there are no scores.
    """
    if not scores:
        raise ValueError("expected the score of at least one run, got none")
    known = [score if math.isfinite(score) else chance for score in scores]
    sign = 1.0 if solved_at > chance else -1.0
    num_solved = sum(sign * score >= sign * solved_at for score in known)
    interval = stats.binomtest(num_solved, len(known)).proportion_ci(confidence_level=0.95, method="wilson")
    worst, best = sorted((min(known), max(known)), key=lambda score: sign * score)
    return Generalization(
        cell, learning_rate, *gaps, len(known), num_solved, num_solved / len(known),
        float(interval.low), float(interval.high), math.fsum(known) / len(known), worst, best,
        chance, measure, solved_at,
    )  # fmt: skip
