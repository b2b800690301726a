"""Cells in the order of their horizons, in each arm of an experiment: the same cells on variants of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lstm_jax.analysis.gaps.contrasts import Contrast
from lstm_jax.analysis.gaps.horizon import Bound, Horizon

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Place:
    """A cell in one arm: a row of arms.csv.

    `place` is one more than the number of cells that reach significantly further in that arm (p < 0.05 in its
    contrasts, by Holm's method): cells that are not told apart may share one.
    """

    arm: str
    task: str
    place: int
    cell: str
    learning_rate: float
    horizon: float | None
    ci_low: float | None
    ci_high: float | None
    bound: Bound


def places(arm: str, task: str, horizons: Sequence[Horizon], contrasts: Sequence[Contrast]) -> list[Place]:
    """Place the cells of an arm, the first first; among equals the order of `horizons`."""
    behind = dict.fromkeys((found.cell for found in horizons), 0)
    for pair in contrasts:
        if shorter := shorter_of(pair):
            behind[shorter] += 1
    rows = [
        Place(
            arm, task, 1 + behind[found.cell], found.cell, found.learning_rate,
            found.horizon, found.ci_low, found.ci_high, found.bound,
        )
        for found in horizons
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row.place)


def shorter_of(pair: Contrast) -> str | None:
    """Return the cell that reaches significantly less far; None where they are not told apart."""
    if pair.p_value is None or pair.p_value >= SIGNIFICANT:
        return None
    if pair.ci_low is not None and pair.ci_low >= 1.0:
        return pair.cell_b
    return pair.cell_a if pair.ci_high is not None and pair.ci_high <= 1.0 else None
