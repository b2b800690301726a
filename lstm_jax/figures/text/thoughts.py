"""Sentences as points: the encoder's last states in their first two principal components, a panel per model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from lstm_jax.arrays import Floats, Integers
from lstm_jax.figures import fonts, style
from lstm_jax.figures.stack import MARGIN, add_axes, make_page

_LEFT, _BETWEEN, _NAME, _BELOW, _BAR = 0.35, 0.30, 0.22, 0.42, 0.55  # inches
_COLUMNS = 3


class Thoughts(NamedTuple):
    """The sentences of one model: points [N, 2], the shares of variance of both axes, and lengths in words [N]."""

    model: str
    points: Floats
    shares: Floats
    lengths: Integers


def thoughts_figure(found: Sequence[Thoughts], *, caption: str, title: str) -> Figure:
    """Draw a panel for each model, its points coloured by length; raises ValueError where there is none."""
    if not found:
        raise ValueError("expected the sentences of at least one model, got none")
    columns = min(_COLUMNS, len(found))
    rows = -(-len(found) // columns)
    room = style.WIDTH_INCHES - 2 * MARGIN - _LEFT - _BAR
    side = min(2.6, (room - _BETWEEN * (columns - 1)) / columns)
    each = _NAME + side + _BELOW
    page = make_page(title, caption, [], rows * each, above=0.05, below=0.0)
    longest = max(float(np.percentile(one.lengths, 98)) for one in found)
    for place, one in enumerate(found):
        row, column = divmod(place, columns)
        left = MARGIN + _LEFT + column * (side + _BETWEEN)
        axes = add_axes(page.figure, left, page.top - row * each - _NAME - side, side, side)
        points = axes.scatter(
            one.points[:, 0], one.points[:, 1], c=one.lengths, s=5, cmap="viridis", vmin=1, vmax=longest, linewidths=0
        )
        axes.set_title(fonts.as_written(one.model), fontsize=style.LABEL_POINTS, pad=3)
        axes.set_xlabel(f"component 1 ({one.shares[0]:.0%} of variance)", fontsize=style.TICK_POINTS)
        axes.set_ylabel(f"component 2 ({one.shares[1]:.0%})", fontsize=style.TICK_POINTS, labelpad=1)
        axes.set_xticks([])
        axes.set_yticks([])
    left = MARGIN + _LEFT + columns * (side + _BETWEEN) - _BETWEEN + 0.1
    bar = page.figure.colorbar(points, cax=add_axes(page.figure, left, page.top - _NAME - side, 0.1, side))
    bar.set_label("length (words)", fontsize=style.TICK_POINTS)
    bar.ax.tick_params(labelsize=style.TICK_POINTS)
    return page.figure
