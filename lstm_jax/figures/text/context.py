"""Perplexity of language models against the context they may see, as a figure and a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_jax.analysis.text.context import UNCUT, ContextPoint, EffectiveContext
from lstm_jax.arrays import Floats
from lstm_jax.figures import style
from lstm_jax.figures.formats import format_bound, format_ends
from lstm_jax.figures.gaps.table import print_reaches
from lstm_jax.figures.reach import OPEN_ENDS, Reach, draw_reaches, reaches_inches
from lstm_jax.figures.stack import label_axes, stack_axes
from lstm_jax.figures.style import CellStyle

_CURVES_INCHES = 2.6
_CELLS_IN_A_TABLE = 4
_NOTES = (
    "Bands and bars are 95% bootstrap intervals over blocks of text and, where there are several, runs. The effective "
    "context is the least beyond which more lowers the loss by no more than the threshold. "
)


def context_figure(
    points: Sequence[ContextPoint],
    effective: Sequence[EffectiveContext],
    *,
    caption: str,
    title: str,
    unit: str = "words",
) -> Figure:
    """Draw perplexity against context, and below it the effective contexts.

    At the top each cell's curve with its 95% band, over log2 of the context, and at the right the perplexity with all
    context there is; below, the effective contexts with their intervals, one row per cell. An arrow is an open end, a
    hollow marker a bound. Points stand beside their context by at most a tenth of the distance between two. Raises
    ValueError where there is nothing to draw.
    """
    if not points:
        raise ValueError("expected the perplexity of at least one cell, got none: no run has been reported yet")
    cells = style.in_order([*(point.cell for point in points), *(found.cell for found in effective)])
    styles = style.cell_styles(cells)
    contexts = sorted({point.context for point in points} - {UNCUT})
    places: dict[int, float] = {context: float(context) for context in contexts}
    if any(point.context == UNCUT for point in points):
        places[UNCUT] = 2.0 * contexts[-1] if contexts else 1.0
    reaches = [Reach(found.cell, found.context, found.ci_low, found.ci_high, found.bound) for found in effective]
    stack = stack_axes(
        title,
        f"{caption} {_NOTES}{OPEN_ENDS.format('contexts')}".strip(),
        [style.handle(cell, styles[cell]) for cell in cells],
        [format_bound(found.bound, found.value) for found in reaches],
        (_CURVES_INCHES, reaches_inches(len(cells))),
    )
    curves, reach = stack.axes
    style.set_gap_axis(curves, list(places.values()))
    _set_perplexity_axis(curves, points)
    for index, (cell, look) in enumerate(styles.items()):
        aside = style.beside_gap([float(context) for context in contexts], index, len(styles))
        _draw_cell(curves, [point for point in points if point.cell == cell], places, aside, look, index)
    draw_reaches(reach, reaches, styles)
    if UNCUT in places and contexts:
        for axes in stack.axes:  # all there is has no place on the axis
            axes.axvline(
                contexts[-1] * 2.0**0.5, color=style.GREY, linewidth=0.7, linestyle=(0.0, (1.0, 2.0)), zorder=1
            )
    style.label_gaps(curves, list(places.values()), stack.axes_inches, [_name(context) for context in places])
    label_axes(stack, f"context ({unit})", ("perplexity", "effective\ncontext"))
    return stack.figure


def _name(context: int) -> str:
    return "all" if context == UNCUT else str(context)


def _draw_cell(
    axes: Axes,
    points: Sequence[ContextPoint],
    places: Mapping[int, float],
    aside: float,
    look: CellStyle,
    order: int,
) -> None:
    ordered = sorted(points, key=lambda point: places[point.context])
    for cut in (True, False):
        rows = [point for point in ordered if (point.context != UNCUT) == cut]
        x = np.array([places[point.context] * aside for point in rows])
        style.draw_band(axes, x, _values(rows, "ci_low"), _values(rows, "ci_high"), look)
        style.draw_curve(axes, x, _values(rows, "perplexity"), look, order)
    last = ordered[-2:] if any(point.context == UNCUT for point in points) else []
    x = np.array([places[point.context] * aside for point in last])
    axes.plot(x, _values(last, "perplexity"), color=look.colour, linewidth=0.7, alpha=0.7, zorder=2.0)


def _values(points: Sequence[ContextPoint], name: str) -> Floats:
    return np.array([getattr(point, name) for point in points], dtype=np.float64)


def _set_perplexity_axis(axes: Axes, points: Sequence[ContextPoint]) -> None:
    low, high = min(point.ci_low for point in points), max(point.ci_high for point in points)
    low, high = low / 1.06, high * 1.06
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    locator = MaxNLocator(6) if high < 10.0 * low else LogLocator(subs=(1.0, 2.0, 5.0) if high < 1e3 * low else (1.0,))
    ticks = [tick for tick in locator.tick_values(low, high) if low <= tick <= high]
    # There is room for five characters: 10000, 1e5.
    axes.set_yticks(ticks, [f"{it:g}" if it < 1e5 else re.sub(r"e\+0*", "e", f"{it:.3g}") for it in ticks])
    axes.yaxis.set_minor_locator(NullLocator())


def print_context(
    console: Console, points: Sequence[ContextPoint], effective: Sequence[EffectiveContext], unit: str = "words"
) -> None:
    """Print perplexity with a row per context, then the effective contexts; readable from 80 columns on."""
    cells = style.in_order(point.cell for point in points)
    values = {(point.cell, point.context): f"{point.perplexity:.4g}" for point in points}
    contexts = sorted({point.context for point in points}, key=lambda context: (context == UNCUT, context))
    for start in range(0, len(cells), _CELLS_IN_A_TABLE):
        shown = cells[start : start + _CELLS_IN_A_TABLE]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("context", justify="right")
        for cell in shown:
            table.add_column(Text(cell), justify="right", overflow="fold", max_width=15)
        for context in contexts:
            table.add_row(
                "all" if context == UNCUT else str(context), *(values.get((it, context), "-") for it in shown)
            )
        console.print(table)
    if effective:
        rows = [(it.cell, format_bound(it.bound, it.context), format_ends(it.ci_low, it.ci_high)) for it in effective]
        print_reaches(console, f"effective context ({unit})", rows, "model")
