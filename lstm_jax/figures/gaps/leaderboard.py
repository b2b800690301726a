"""The horizons of all cells on every task of a suite, side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from lstm_jax.analysis.gaps.arms import Place
from lstm_jax.figures import style
from lstm_jax.figures.fonts import as_written
from lstm_jax.figures.formats import format_bound
from lstm_jax.figures.reach import OPEN_ENDS, Reach, draw_reaches, reaches_inches
from lstm_jax.figures.stack import MARGIN, add_axes, make_page
from lstm_jax.figures.style import CellStyle

_FIRST, _BEHIND, _OWN = "#0072B2", "#808080", "#D55E00"
_MOST_ABREAST = 4
_TITLE_INCHES, _AXIS_INCHES = 0.20, 0.52


class Column(NamedTuple):
    """A task: its name, what its axis is, the gaps that were measured, and the cells with their places."""

    name: str
    axis: str
    gaps: Sequence[int]
    rows: Sequence[Place]


def leaderboard_figure(
    columns: Sequence[Column], cells: Sequence[str], own: Collection[str], *, caption: str, title: str
) -> Figure:
    """Draw the horizon of each cell on each task with its interval, cells in the same rows in all axes.

    Raises ValueError where there is nothing to draw.
    """
    if not columns or not cells:
        raise ValueError("expected a task with a cell, got none")
    longest = max(style.text_width_inches(cell, style.TICK_POINTS) for cell in cells)
    values = [format_bound(row.bound, row.horizon) for column in columns for row in column.rows]
    beside = max(style.text_width_inches(value, style.TICK_POINTS) for value in values) + 0.24
    abreast = min(len(columns), _MOST_ABREAST)
    num_lines = -(-len(columns) // abreast)
    left = MARGIN + longest + 0.10
    width = (style.WIDTH_INCHES - left - MARGIN) / abreast - beside
    height = reaches_inches(len(cells))
    each = _TITLE_INCHES + height + _AXIS_INCHES
    page = make_page(title, f"{caption} {OPEN_ENDS.format('gaps')}", [], num_lines * each, above=0.06, below=0.0)
    for number, column in enumerate(columns):
        line, place = divmod(number, abreast)
        bottom = page.top - line * each - _TITLE_INCHES - height
        axes = add_axes(page.figure, left + place * (width + beside), bottom, width, height)
        style.plain_axes(axes)
        style.set_gap_axis(axes, column.gaps)
        reaches = [Reach(row.cell, row.horizon, row.ci_low, row.ci_high, row.bound) for row in column.rows]
        draw_reaches(axes, reaches, _looks(cells, column.rows, own))
        style.label_gaps(axes, column.gaps, width)
        axes.set_title(as_written(column.name), fontsize=style.LABEL_POINTS, loc="left", pad=3)
        axes.set_xlabel(as_written(column.axis), fontsize=style.TICK_POINTS)
        if place == 0:
            axes.set_yticks(range(len(cells)), [as_written(cell) for cell in cells])
            axes.tick_params(axis="y", length=0)
    return page.figure


def _looks(cells: Sequence[str], rows: Sequence[Place], own: Collection[str]) -> Mapping[str, CellStyle]:
    """One colour for cells that no other reaches significantly beyond, one for all others, one for the user's own."""
    first = {row.cell for row in rows if row.place == 1}
    return {
        cell: CellStyle(
            _OWN if cell in own else _FIRST if cell in first else _BEHIND, "o" if cell in first else "s", "-", 1.6
        )
        for cell in cells
    }
