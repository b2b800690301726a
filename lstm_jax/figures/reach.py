"""Reaches of cells below a curve: one row per cell with its interval, open ends and bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from matplotlib.axes import Axes

from lstm_jax.analysis.gaps.horizon import Bound
from lstm_jax.figures import style
from lstm_jax.figures.formats import format_bound
from lstm_jax.figures.style import CellStyle

OPEN_ENDS = "An arrow is an end that the measured {} leave open, a hollow sign a bound."
_OUTLINE = {"#000000": "0.6"}  # of a marker: black, but around black
_ROW_INCHES = 0.155


class Reach(NamedTuple):
    """The reach of a cell on the x axis, None where it is not known; an open end of the interval is None."""

    cell: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    bound: Bound


def reaches_inches(num_cells: int) -> float:
    """Return the height of the axes that `draw_reaches` fills."""
    return max(0.45, _ROW_INCHES * (num_cells + 0.4))  # the name of its axis needs some room


def draw_reaches(axes: Axes, reaches: Iterable[Reach], styles: Mapping[str, CellStyle]) -> None:
    """Draw the reach of each cell in its row, and write its value beside."""
    left, right = axes.get_xlim()
    axes.set_ylim(len(styles) - 0.3, -0.7)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    rows = {cell: float(row) for row, cell in enumerate(styles)}
    for found in reaches:
        look, row = styles[found.cell], rows[found.cell]
        low, high = found.ci_low or left, found.ci_high or right
        axes.plot([low, high], [row, row], color=look.colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
        # An end is a bar across, an open end an arrow at the edge of the axes.
        for end, is_open, arrow in ((low, found.ci_low is None, "<"), (high, found.ci_high is None, ">")):
            axes.plot(
                [end], [row], marker=arrow if is_open else "|", markersize=5.0, markeredgewidth=0.0 if is_open else 1.4,
                color=look.colour, clip_on=False, zorder=2,
            )  # fmt: skip
        mark_reach(axes, found, row, look)
        style.beside_axis(axes, row, format_bound(found.bound, found.value), points=8.0)


def mark_reach(axes: Axes, found: Reach, y: float, look: CellStyle) -> None:
    """Mark the reach of a cell, where it is known; hollow where it is a bound."""
    if found.value is None:
        return
    axes.plot(
        [found.value], [y], marker=look.marker, markersize=6.0, linestyle="none", zorder=5, clip_on=False,
        color=look.colour if found.bound == "" else "white", markeredgewidth=0.9 if found.bound == "" else 1.4,
        markeredgecolor=look.colour if found.bound else _OUTLINE.get(look.colour, "black"),
    )  # fmt: skip
