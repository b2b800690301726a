"""The share of tuning runs solved against the learning rate: how flat the optimum of each cell is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lstm_jax.analysis.gaps.rates import Rate
from lstm_jax.figures import style
from lstm_jax.figures.stack import label_axes, stack_axes
from lstm_jax.figures.words import GAP_SWEEP, Words

_INCHES = 2.6
_NOTE = (
    " Mean over the {} of the share of tuning runs that solved; one that a rate was not tried at counts 0. A ring "
    "marks the rate that was chosen."
)


def rates_figure(rows: Sequence[Rate], *, caption: str, title: str, words: Words = GAP_SWEEP) -> Figure:
    """Draw the solve rate of each cell's tuning runs against the learning rate, with a ring around the chosen one.

    Raises ValueError where there is nothing to draw.
    """
    if not rows:
        raise ValueError("expected a cell of which several learning rates were tried, got none")
    styles = style.cell_styles(style.in_order(row.cell for row in rows))
    tried = sorted({row.learning_rate for row in rows})
    handles = [style.handle(cell, look) for cell, look in styles.items()]
    stack = stack_axes(title, caption + _NOTE.format(words.gaps), handles, [], [_INCHES])
    (axes,) = stack.axes
    style.set_gap_axis(axes, tried)
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    for index, (cell, look) in enumerate(styles.items()):
        own = [row for row in rows if row.cell == cell]
        x = np.array([row.learning_rate for row in own]) * style.beside_gap(tried, index, len(styles))
        y = np.array([row.solve_rate for row in own])
        style.draw_curve(axes, x, y, look, index)
        chosen = [place for place, row in enumerate(own) if row.chosen]
        axes.plot(
            x[chosen], y[chosen], marker="o", markersize=11.0, markerfacecolor="none", markeredgecolor=look.colour,
            markeredgewidth=1.2, linestyle="none", zorder=4.0, clip_on=False,
        )  # fmt: skip
    style.label_gaps(axes, tried, stack.axes_inches, [f"{rate:g}" for rate in tried])
    label_axes(stack, "learning rate", ["solve rate of tuning runs"])
    return stack.figure
