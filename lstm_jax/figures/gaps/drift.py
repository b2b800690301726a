"""How memories drift along training, and under which conditions they grow before the fact is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lstm_jax.analysis.drifts import LONGEST, NUM_NOISE, DriftSummary, Seen
from lstm_jax.figures import style
from lstm_jax.figures.stack import label_axes, stack_axes

_LEAST_SIGNAL = 1e-3
_ROW_INCHES = 0.14
_ENDS = (-3.0, 7.0)
"""Of the axis of growth, in octaves."""


def drift_figure(rows: Mapping[str, Sequence[Seen]], *, gap: int, noise: float, caption: str, title: str) -> Figure:
    """Draw time constant, signal and accuracy against updates: of each cell the median over its runs, and quartiles.

    Raises ValueError where there is nothing to draw.
    """
    if not any(rows.values()):
        raise ValueError("expected runs that were followed, got none")
    styles = style.cell_styles(list(rows))
    handles = [style.handle(cell, look) for cell, look in styles.items()]
    stack = stack_axes(title, caption, handles, ["noise x 3"], [1.5, 1.1, 1.0])
    names = ("time_constant", "signal", "score")
    limits = ((0.1, LONGEST), (_LEAST_SIGNAL, 1.0), (0.0, 1.0))
    steps = sorted({row.step for own in rows.values() for row in own})
    for order, (cell, own) in enumerate(rows.items()):
        for axes, name, (low, high) in zip(stack.axes, names, limits, strict=True):
            of_step = [np.clip([getattr(row, name) for row in own if row.step == step], low, high) for step in steps]
            quartiles = np.array([np.quantile(values, [0.25, 0.5, 0.75]) for values in of_step])
            style.draw_band(axes, np.array(steps, float), quartiles[:, 0], quartiles[:, 2], styles[cell])
            style.draw_curve(axes, np.array(steps, float), quartiles[:, 1], styles[cell], order)
    for axes, (low, high), name in zip(stack.axes, limits, names, strict=True):
        axes.set_ylim(low, high)
        if name != "score":
            axes.set_yscale("log")
            axes.minorticks_off()
    for axes, height, text in ((stack.axes[0], gap, f"gap {gap}"), (stack.axes[1], NUM_NOISE * noise, "noise x 3")):
        axes.axhline(height, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        style.beside_axis(axes, float(height), text)
    first = min(step for step in steps if step > 0) if len(steps) > 1 else 1
    stack.axes[0].set_xscale("symlog", linthresh=first, linscale=0.5)
    stack.axes[0].set_xlim(0, 1.05 * max(steps))
    stack.axes[0].set_xticks(steps, [f"{step:,}" for step in steps])
    stack.axes[0].set_xticks([], minor=True)
    label_axes(stack, "updates", ["time constant\n(steps)", "signal", "accuracy"])
    return stack.figure


def growth_figure(rows: Sequence[DriftSummary], *, caption: str, title: str) -> Figure:
    """Draw how much memories grew while runs were blind: an axes for each condition, a row for each cell.

    Raises ValueError where there is nothing to draw.
    """
    known = [row for row in rows if row.growth is not None]
    if not known:
        raise ValueError("expected a cell that was blind for a while, got none")
    styles = style.cell_styles(style.in_order(row.cell for row in known))
    groups: dict[str, list[DriftSummary]] = {}
    for row in sorted(rows, key=lambda row: row.condition != "base"):
        groups.setdefault(condition_label(row), []).append(row)
    handles = [style.handle(cell, look) for cell, look in styles.items()]
    heights = [max(0.50, _ROW_INCHES * (len(own) + 0.6)) for own in groups.values()]
    stack = stack_axes(title, caption, handles, ["20 of 20 solved"], heights)
    for axes, own in zip(stack.axes, groups.values(), strict=True):
        axes.set_ylim(len(own) - 0.4, -0.6)
        axes.set_yticks([])
        axes.axvline(0.0, color=style.GREY, linewidth=0.8, zorder=1)
        for place, row in enumerate(own):
            look = styles.get(row.cell)
            if look is not None and row.growth_low is not None and row.growth_high is not None:
                ends = np.clip([row.growth_low, row.growth_high], *_ENDS)
                axes.plot(ends, [place, place], color=look.colour, linewidth=1.6, zorder=2)
            if look is not None and row.growth is not None:
                axes.plot(
                    [np.clip(row.growth, *_ENDS)], [place], marker=look.marker, color=look.colour, markersize=5.0,
                    linestyle="none", markeredgecolor="white", markeredgewidth=0.6, zorder=3, clip_on=False,
                )  # fmt: skip
            style.beside_axis(axes, float(place), f"{row.num_solved} of {row.num_runs} solved")
    stack.axes[0].set_xlim(*_ENDS)
    label_axes(stack, "binary logarithm of the time constant over that at the start", list(groups))
    return stack.figure


def condition_label(row: DriftSummary) -> str:
    """What an axes is named: the condition, or in what the base differs."""
    if row.condition != "base":
        return row.condition.replace(" ", "\n")
    return f"gap {row.gap}\nrate {row.learning_rate:g}\n{row.size:,} par."
