"""Solve rates against the gap on axes of anybody's: those of the gap-length figure, or of a notebook."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from lstm_jax.analysis.gaps.horizon import Horizon
from lstm_jax.analysis.gaps.summary import Summary
from lstm_jax.figures import fonts, style
from lstm_jax.figures.reach import Reach, mark_reach
from lstm_jax.figures.style import CellStyle
from lstm_jax.figures.words import GAP_SWEEP, Words

ONE_HALF = "one half"


def draw_solve_rates(
    axes: Axes,
    summaries: Sequence[Summary],
    horizons: Sequence[Horizon],
    styles: dict[str, CellStyle],
    gaps: Sequence[int],
) -> None:
    """Draw each cell's solve rate with its 95% Wilson band, and its horizon where the curve crosses one half."""
    axes.set_ylim(-0.06, 1.06)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    axes.axhline(0.5, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    style.beside_axis(axes, 0.5, ONE_HALF)
    for index, (cell, look) in enumerate(styles.items()):
        rows = sorted((row for row in summaries if row.cell == cell), key=lambda row: row.gap)
        x = np.array([row.gap for row in rows]) * style.beside_gap(gaps, index, len(styles))
        rate, low, high = (
            np.array([getattr(row, name) for row in rows]) for name in ("solve_rate", "ci_low", "ci_high")
        )
        style.draw_band(axes, x, low, high, look)
        style.draw_curve(axes, x, rate, look, index)
    for found in horizons:
        if found.bound == "":
            reach = Reach(found.cell, found.horizon, found.ci_low, found.ci_high, found.bound)
            mark_reach(axes, reach, 0.5, styles[found.cell])


def solve_rate_axes(
    axes: Axes, summaries: Sequence[Summary], horizons: Sequence[Horizon], words: Words = GAP_SWEEP
) -> Axes:
    """Draw solve rates and horizons with a legend on axes of any size, and return these.

    Raises ValueError where there is nothing to draw.
    """
    if not summaries:
        raise ValueError("expected the summary of at least one cell and gap, got none: no run has been reported yet")
    styles = style.cell_styles(style.in_order(row.cell for row in summaries))
    gaps = sorted({row.gap for row in summaries})
    style.plain_axes(axes)
    style.set_gap_axis(axes, gaps)
    draw_solve_rates(axes, summaries, horizons, styles, gaps)
    style.label_gaps(axes, gaps, axes.get_window_extent().width / axes.figure.dpi)
    axes.set_xlabel(fonts.as_written(words.axis), fontsize=style.LABEL_POINTS)
    axes.set_ylabel("solve rate", fontsize=style.LABEL_POINTS)
    handles = [style.handle(cell, look) for cell, look in styles.items()]
    axes.legend(handles=handles, fontsize=style.TICK_POINTS, frameon=False, handlelength=3.6)
    return axes
