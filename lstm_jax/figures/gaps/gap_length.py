"""The main figure: solve rate, horizon and score of every cell against the gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lstm_jax.analysis.gaps.horizon import Horizon
from lstm_jax.analysis.gaps.summary import Summary
from lstm_jax.figures import style
from lstm_jax.figures.formats import format_horizon, format_span
from lstm_jax.figures.gaps.solve_rates import ONE_HALF, draw_solve_rates
from lstm_jax.figures.reach import OPEN_ENDS, Reach, draw_reaches, reaches_inches
from lstm_jax.figures.scores import ScoreAxis
from lstm_jax.figures.stack import label_axes, stack_axes
from lstm_jax.figures.style import CellStyle
from lstm_jax.figures.words import GAP_SWEEP, Words

_SIDE_BY_SIDE = " {}s stand side by side at each {}, so that none hides another."
_RATE_INCHES, _SCORE_INCHES = 2.25, 1.75


def gap_length_figure(
    summaries: Sequence[Summary],
    horizons: Sequence[Horizon],
    *,
    caption: str,
    title: str,
    words: Words = GAP_SWEEP,
) -> Figure:
    """Draw solve rates, horizons and scores against the gap.

    At the top the solve rate with its 95% Wilson band, and each cell's horizon on the line of one half; in the middle
    the horizons with their intervals, one row per cell; at the bottom the mean final score, and chance at each gap.
    An arrow is an end that the measured gaps leave open, a hollow marker a bound. Points stand beside their gap by at
    most a tenth of the distance between two gaps, so that no cell hides another; their heights are exact.

    Raises ValueError where there is nothing to draw.
    """
    if not summaries:
        raise ValueError("expected the summary of at least one cell and gap, got none: no run has been reported yet")
    cells = style.in_order([*(row.cell for row in summaries), *(found.cell for found in horizons)])
    styles = style.cell_styles(cells)
    gaps = sorted({row.gap for row in summaries})
    best = max if summaries[0].higher_is_better else min
    chances = [best(row.chance for row in summaries if row.gap == gap) for gap in gaps]

    notes = f" {OPEN_ENDS.format(words.gaps)}"
    if len(cells) > 1:
        notes += _SIDE_BY_SIDE.format(words.cell.capitalize(), words.gap)
    stack = stack_axes(
        title,
        (caption + notes).strip(),
        [style.handle(cell, styles[cell]) for cell in cells],
        [ONE_HALF, *_chance_label(chances).splitlines(), *map(format_horizon, horizons)],
        (_RATE_INCHES, reaches_inches(len(cells)), _SCORE_INCHES),
    )
    rate, reach, score = stack.axes
    style.set_gap_axis(rate, gaps)
    draw_solve_rates(rate, summaries, horizons, styles, gaps)
    reaches = [Reach(found.cell, found.horizon, found.ci_low, found.ci_high, found.bound) for found in horizons]
    draw_reaches(reach, reaches, styles)
    _draw_scores(score, summaries, styles, gaps, chances)
    style.label_gaps(rate, gaps, stack.axes_inches)
    label_axes(stack, words.axis, ("solve rate", "horizon", words.score))
    return stack.figure


def _draw_scores(
    axes: Axes,
    summaries: Sequence[Summary],
    styles: dict[str, CellStyle],
    gaps: Sequence[int],
    chances: Sequence[float],
) -> None:
    scores = [row.score for row in summaries if row.score is not None]
    ScoreAxis.of(summaries, scores).scale(axes, [0.0, 0.25, 0.5, 0.75, 1.0])
    grey: dict[str, Any] = {"color": style.GREY, "linewidth": 0.8, "linestyle": (0, (4, 3)), "zorder": 1}
    if len(set(chances)) == 1:
        axes.axhline(chances[0], **grey)
    else:
        axes.plot(gaps, chances, **grey)
    style.beside_axis(axes, chances[-1], _chance_label(chances))
    for index, (cell, look) in enumerate(styles.items()):
        rows = sorted((row for row in summaries if row.cell == cell), key=lambda row: row.gap)
        known = [row for row in rows if row.score is not None]
        x = np.array([row.gap for row in known]) * style.beside_gap(gaps, index, len(styles))
        style.draw_curve(axes, x, np.array([row.score for row in known], dtype=np.float64), look, index)


def _chance_label(chances: Sequence[float]) -> str:
    return f"chance\n{format_span(chances)}"
