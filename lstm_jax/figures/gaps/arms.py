"""The horizons of cells in each arm of an experiment, one below the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from matplotlib.figure import Figure

from lstm_jax.analysis.gaps.arms import Place
from lstm_jax.figures import style
from lstm_jax.figures.formats import format_bound
from lstm_jax.figures.reach import OPEN_ENDS, Reach, draw_reaches, reaches_inches
from lstm_jax.figures.stack import label_axes, stack_axes
from lstm_jax.figures.words import GAP_SWEEP, Words


def arms_figure(
    rows: Sequence[Place], gaps: Sequence[int], *, caption: str, title: str, words: Words = GAP_SWEEP
) -> Figure:
    """Draw the horizons of all cells with their intervals, one axes for each arm.

    Raises ValueError where there is nothing to draw.
    """
    if not rows:
        raise ValueError("expected a cell with a horizon in at least one arm, got none")
    arms = {arm: list(own) for arm, own in itertools.groupby(rows, key=lambda row: row.arm)}
    styles = style.cell_styles(style.in_order(row.cell for row in rows))
    stack = stack_axes(
        title,
        f"{caption} {OPEN_ENDS.format(words.gaps)}",
        [style.handle(cell, look) for cell, look in styles.items()],
        [format_bound(row.bound, row.horizon) for row in rows],
        [max(0.75, reaches_inches(len(styles)))] * len(arms),
    )
    style.set_gap_axis(stack.axes[0], gaps)
    for axes, own in zip(stack.axes, arms.values(), strict=True):
        reaches = [Reach(row.cell, row.horizon, row.ci_low, row.ci_high, row.bound) for row in own]
        draw_reaches(axes, reaches, styles)
    style.label_gaps(stack.axes[0], gaps, stack.axes_inches)
    label_axes(stack, f"horizon: {words.axis}", [arm.replace(" ", "\n") for arm in arms])
    return stack.figure
