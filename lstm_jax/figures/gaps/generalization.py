"""Scores at larger gaps than those that runs were trained at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lstm_jax.analysis.gaps.generalization import Generalization
from lstm_jax.figures import style
from lstm_jax.figures.scores import ScoreAxis
from lstm_jax.figures.stack import label_axes, stack_axes
from lstm_jax.figures.words import GAP_SWEEP, Words

_INCHES = 1.9
_NOTE = " Bands: from the worst of the runs to the best. Dashed: chance."


def generalization_figure(
    rows: Sequence[Generalization], *, caption: str, title: str, words: Words = GAP_SWEEP
) -> Figure:
    """Draw the mean score against the trained gap, one axes for each multiple of it that was tested.

    Raises ValueError where there is nothing to draw.
    """
    if not rows:
        raise ValueError("expected a run that solved a gap, got none")
    factors = sorted({row.tested_gap / row.trained_gap for row in rows})
    gaps = sorted({row.trained_gap for row in rows})
    styles = style.cell_styles(style.in_order(row.cell for row in rows))
    handles = [style.handle(cell, look) for cell, look in styles.items()]
    beside = [f"tested at {factor:g} times" for factor in factors]
    stack = stack_axes(title, caption + _NOTE, handles, beside, [_INCHES] * len(factors))
    style.set_gap_axis(stack.axes[0], gaps)
    for axes, factor, text in zip(stack.axes, factors, beside, strict=True):
        own = [row for row in rows if row.tested_gap / row.trained_gap == factor]
        ScoreAxis.of(own, [end for row in own for end in (row.score_low, row.score_high)]).scale(
            axes, [0.0, 0.25, 0.5, 0.75, 1.0]
        )
        chances = {row.trained_gap: row.chance for row in own}
        axes.plot(
            sorted(chances), [chances[gap] for gap in sorted(chances)],
            color=style.GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1,
        )  # fmt: skip
        for index, (cell, look) in enumerate(styles.items()):
            its = sorted((row for row in own if row.cell == cell), key=lambda row: row.trained_gap)
            x = np.array([row.trained_gap for row in its]) * style.beside_gap(gaps, index, len(styles))
            score, worst, best = (
                np.array([getattr(row, name) for row in its]) for name in ("score", "score_low", "score_high")
            )
            style.draw_band(axes, x, np.minimum(worst, best), np.maximum(worst, best), look)
            style.draw_curve(axes, x, score, look, index)
        style.beside_axis(axes, sum(axes.get_ylim()) / 2.0, text)
    style.label_gaps(stack.axes[0], gaps, stack.axes_inches)
    label_axes(stack, f"{words.gap} of training{words.axis.removeprefix(words.gap)}", [words.score] * len(factors))
    return stack.figure
