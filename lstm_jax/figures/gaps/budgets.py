"""The horizon of every cell against the budget, and what it says in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lstm_jax.analysis.gaps.budgets import HorizonAtBudget
from lstm_jax.analysis.gaps.growth import Growth
from lstm_jax.figures import style
from lstm_jax.figures.formats import format_bound
from lstm_jax.figures.stack import label_axes, stack_axes
from lstm_jax.figures.style import CellStyle
from lstm_jax.figures.words import GAP_SWEEP, Words

_INCHES = 3.4
_NOTES = (
    " A band that reaches the edge of the axes is open: the {} leave that end open. A hollow sign is a bound; where a "
    "curve has no sign, the runs do not say."
)


def horizon_by_budget_figure(
    rows: Sequence[HorizonAtBudget], gaps: Sequence[int], *, caption: str, title: str, words: Words = GAP_SWEEP
) -> Figure:
    """Draw the horizon of each cell, with its band, against the budget in updates, both on log axes.

    Raises ValueError where there is nothing to draw.
    """
    if not rows:
        raise ValueError("expected the horizon of at least one cell, got none: no run has been reported yet")
    styles = style.cell_styles(style.in_order(row.cell for row in rows))
    budgets = sorted({row.budget for row in rows})
    handles = [style.handle(cell, look) for cell, look in styles.items()]
    stack = stack_axes(title, caption + _NOTES.format(words.gaps), handles, [], [_INCHES])
    (axes,) = stack.axes
    style.set_gap_axis(axes, budgets)
    low, high = gaps[0] * 2.0**-0.5, gaps[-1] * 2.0**0.5
    axes.set_yscale("log", base=2)
    axes.set_ylim(low, high)
    for index, (cell, look) in enumerate(styles.items()):
        own = [row for row in rows if row.cell == cell]
        _draw(axes, own, style.beside_gap(budgets, index, len(styles)), look, index, (low, high))
    style.label_gaps(axes, budgets, stack.axes_inches, [f"{budget:,}" for budget in budgets])
    label_axes(stack, "budget (updates)", [f"horizon: {words.axis}"])
    axes.set_yticks(list(gaps), [str(gap) for gap in gaps])
    axes.set_yticks([], minor=True)
    return stack.figure


def sentence(found: Growth, budget: int, words: Words = GAP_SWEEP) -> str:
    """Say whether the horizon of a cell still grows, from half the budget to the whole."""
    before, after = format_bound(found.bound_half, found.horizon_half), format_bound(found.bound, found.horizon)
    verdict = "not known whether it still grows" if found.verdict == "not known" else found.verdict
    unit = words.axis.partition(" (")[2].rstrip(")") or words.gaps
    after_half = f"{before} {unit} after {found.half_budget:,} updates"
    return f"{found.cell}: {verdict}: {after_half}, {after} after {budget:,}"


def _draw(
    axes: Axes,
    rows: Sequence[HorizonAtBudget],
    beside: float,
    look: CellStyle,
    order: int,
    limits: tuple[float, float],
) -> None:
    x = np.array([row.budget for row in rows]) * beside
    low, high = (
        np.array([getattr(row, name) or limit for row in rows], dtype=np.float64)
        for name, limit in zip(("ci_low", "ci_high"), limits, strict=True)
    )
    style.draw_band(axes, x, low, high, look)
    y = np.array([np.nan if row.horizon is None else row.horizon for row in rows])
    style.draw_curve(axes, x, y, look, order)
    bounds = [index for index, row in enumerate(rows) if row.bound]
    axes.plot(
        x[bounds], y[bounds], marker=look.marker, markersize=5.0, linestyle="none", color="white",
        markeredgecolor=look.colour, markeredgewidth=1.2, zorder=4.0 + 0.01 * order, clip_on=False,
    )  # fmt: skip
