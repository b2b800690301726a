"""What moves a cell that has stopped: the same seeds with one thing changed. No jax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scipy import special, stats

from lstm_jax.analysis.causes import Cause

SIGNIFICANT = 0.05

RESCUES = (
    "updates x8", "batch x8", "blank filler", "hidden size x2", "curriculum", "rate / 4", "forget bias + 3", "float64",
)  # fmt: skip
"""What is changed, one at a time; docs/why.md says how."""
HARDLY = 0.25
"""A change whose interval ends below this does not help, whatever its sign."""
EXPECTED: dict[Cause, tuple[str, ...]] = {
    "vanished": ("curriculum", "forget bias + 3"),
    "forgets by design": (),
    "swamped by distractors": ("blank filler",),
    "needs more updates": ("updates x8",),
    "step too large": ("rate / 4",),
    "too small": ("hidden size x2",),
}
"""The rescues that a cause lets expect; of *forgets by design* that none helps but what changes the design."""


@dataclass(frozen=True)
class RescuedRun:
    """One run: a row of rescued_runs.csv. `rescue` is "" for a run in which nothing is changed.

    The last three are those without the change.
    """

    cell: str
    gap: int
    rescue: str
    seed: int
    solved_step: int | None
    score: float
    learning_rate: float
    max_steps: int
    hidden_dim: int


@dataclass(frozen=True)
class Rescue:
    """What one change did to a cell at a gap: a row of rescues.csv.

    Runs are paired by their seed: `num_gained` solved with the change alone, `num_lost` without it alone. `change` is
    the difference of solve rates with its 95% interval (Bonett & Price 2012), `p_value` that of the exact test of
    McNemar, two-sided, for this row alone; `helps` says that it is below 0.05 and the change above 0. The rate, the
    updates and the hidden size are those of the runs without a change.
    """

    cell: str
    gap: int
    rescue: str
    num_runs: int
    num_solved: int
    num_solved_before: int
    num_gained: int
    num_lost: int
    change: float
    ci_low: float
    ci_high: float
    p_value: float
    helps: bool
    learning_rate: float
    max_steps: int
    hidden_dim: int


class Difference(NamedTuple):
    """A difference of paired rates with its interval."""

    value: float
    low: float
    high: float


def paired_difference(gained: int, lost: int, number: int, confidence: float = 0.95) -> Difference:
    """Return (gained - lost) / number and its adjusted Wald interval.

    Bonett & Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data": one is added to either count and two to the number. Raises ValueError where counts don't fit.
    """
    if number < 1 or min(gained, lost) < 0 or gained + lost > number:
        raise ValueError(f"expected counts of at least 0 that add up to no more than {number}, got {gained} and {lost}")
    up, down = (gained + 1) / (number + 2), (lost + 1) / (number + 2)
    centre = up - down
    half = float(special.ndtri(0.5 + confidence / 2)) * math.sqrt((up + down - centre**2) / (number + 2))
    value = (gained - lost) / number
    return Difference(value, max(-1.0, min(centre - half, value)), min(1.0, max(centre + half, value)))


def rescues(rows: Sequence[RescuedRun]) -> list[Rescue]:
    """Return a row for each cell, gap and change, in their order; seeds without an unchanged run are left out."""
    solved = {(row.cell, row.gap, row.rescue, row.seed): row.solved_step is not None for row in rows}
    found = []
    kinds = {(row.cell, row.gap, row.rescue): row for row in rows if row.rescue}
    for (cell, gap, rescue), any_row in kinds.items():
        learning_rate, max_steps, hidden_dim = any_row.learning_rate, any_row.max_steps, any_row.hidden_dim
        pairs = [
            (before, solved[cell, gap, rescue, row.seed])
            for row in rows
            if (row.cell, row.gap, row.rescue) == (cell, gap, rescue)
            and (before := solved.get((cell, gap, "", row.seed))) is not None
        ]
        if not pairs:
            continue
        gained = sum(after and not before for before, after in pairs)
        lost = sum(before and not after for before, after in pairs)
        change = paired_difference(gained, lost, len(pairs))
        p_value = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
        found.append(
            Rescue(
                cell, gap, rescue, len(pairs), sum(after for _, after in pairs), sum(before for before, _ in pairs),
                gained, lost, *change, p_value, p_value < SIGNIFICANT and gained > lost,
                learning_rate, max_steps, hidden_dim,
            )
        )  # fmt: skip
    return found


def agreement(cause: Cause, own: Sequence[Rescue]) -> str:
    """Return in words whether the rescues of a cell at a gap are those that its verdict lets expect."""
    helping = [row.rescue for row in own if row.helps]
    helped = f"helped by {', '.join(helping)}" if helping else "helped significantly by nothing that was tried"
    if cause in ("solved", "not decided"):
        return helped
    expected = EXPECTED[cause]
    if cause == "forgets by design":
        return f"{helped}, {'as expected' if not helping else 'not as expected'}"
    tried = [row for row in own if row.rescue in expected]
    if not tried:
        return f"{helped}; {' and '.join(expected)} not tried"
    if any(row.helps for row in tried):
        return f"{helped}, as expected"
    names = " or ".join(row.rescue for row in tried)
    if any(row.ci_high > HARDLY for row in tried):
        return f"{helped}; {tried[0].num_runs} runs do not decide whether {names} does, as expected"
    return f"{helped}; {names} was expected, and does not"
