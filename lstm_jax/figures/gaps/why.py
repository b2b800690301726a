"""What was measured of one cell along training, a line a gap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lstm_jax.analysis.causes import STABLE, AtDistance, Moment
from lstm_jax.figures import style
from lstm_jax.figures.stack import LEFT, Stack, add_axes, label_axes, stack_axes

NOISE = 1.0 / 128
"""Of the signal: about one over the batches that it is measured on."""
_QUANTITIES = ("score", "signal", "memory", "quiet_memory", "transport", "time_constant_90", "sharpness")
_LABELS = ("accuracy", "signal", "memory", "quiet\nmemory", "transport", "time\nconstant", "sharpness")
_DISTANCE_INCHES = 1.3
_SHARES = ("score", "memory", "quiet_memory")
LEAST = {"signal": 1e-4, "transport": 1e-12, "time_constant_90": 0.1, "sharpness": 1e-2}
"""What is smaller is drawn at the foot of its axes, which are logarithmic."""


def why_figure(
    rows: Sequence[Moment], by_distance: Sequence[AtDistance], *, chance: float, caption: str, title: str
) -> Figure:
    """Draw each quantity against the updates, and transport and memory by distance, one line a run, one colour a gap.

    Raises ValueError where there is nothing to draw.
    """
    if not rows:
        raise ValueError("expected a run that was followed, got none")
    gaps = sorted({row.gap for row in rows})
    styles = style.cell_styles([f"gap {gap}" for gap in gaps])
    handles = [style.handle(label, look) for label, look in styles.items()]
    below = 0.50 + _DISTANCE_INCHES + 0.62
    stack = stack_axes(title, caption, handles, ["stable"], [0.85] * len(_QUANTITIES), below)
    steps = sorted({row.step for row in rows})
    first = min((step for step in steps if step > 0), default=1)
    for axes, name in zip(stack.axes, _QUANTITIES, strict=True):
        least = LEAST.get(name)
        if name in _SHARES:
            axes.set_ylim(-0.05, 1.05)
            axes.set_yticks([0.0, 0.5, 1.0], ["0", "0.5", "1"])
        else:
            axes.set_yscale("log")
            axes.minorticks_off()
        for gap, look in zip(gaps, styles.values(), strict=True):
            for seed in sorted({row.seed for row in rows}):
                own = sorted((row for row in rows if (row.gap, row.seed) == (gap, seed)), key=lambda row: row.step)
                values = [getattr(row, name) for row in own]
                known = [place for place, value in enumerate(values) if value is not None and not math.isnan(value)]
                y = np.array([values[place] for place in known], dtype=np.float64)
                axes.plot(
                    [own[place].step for place in known], y if least is None else np.maximum(y, least),
                    color=look.colour, linestyle=look.linestyle, linewidth=1.2, marker=look.marker, markersize=3.0,
                )  # fmt: skip
    for axes, name in zip(stack.axes, _QUANTITIES, strict=True):
        if name not in _SHARES:  # whole decades, so that there are at least two ticks
            low, high = (math.log10(end) for end in axes.get_ylim())
            axes.set_ylim(10.0 ** math.floor(low), 10.0 ** math.ceil(high))
    limits = {"signal": (NOISE, "noise"), "sharpness": (STABLE, "stable")} | dict.fromkeys(_SHARES, (chance, "chance"))
    for axes, name in zip(stack.axes, _QUANTITIES, strict=True):
        if name in limits:
            height, text = limits[name]
            axes.axhline(height, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
            style.beside_axis(axes, height, text)
    axes = stack.axes[0]
    axes.set_xscale("symlog", linthresh=first, linscale=0.5)
    axes.set_xlim(-0.1 * first, 1.1 * max(steps))
    ticks = [0]
    for step in steps:  # the last moment of a run may stand close to one of all runs
        if step >= max(first, 1.5 * ticks[-1]):
            ticks.append(step)
    axes.set_xticks(ticks, [f"{step:,}" for step in ticks])
    axes.set_xticks([], minor=True)
    label_axes(stack, "updates", _LABELS)
    _draw_by_distance(stack, by_distance, dict(zip(gaps, styles.values(), strict=True)), chance)
    return stack.figure


def _draw_by_distance(
    stack: Stack, rows: Sequence[AtDistance], styles: Mapping[int, style.CellStyle], chance: float
) -> None:
    """Draw what is left by distance at the last moment of each run, in two axes side by side below the others."""
    last = {(row.gap, row.seed): row.step for row in sorted(rows, key=lambda row: row.step)}
    bottom = stack.axes[-1].get_position().y0 * stack.figure.get_size_inches()[1]
    width = (stack.axes_inches - 0.75) / 2.0
    for place, (name, label) in enumerate((("transport", "transport"), ("memory", "memory"))):
        left = LEFT + place * (width + 0.75)
        axes = add_axes(stack.figure, left, bottom - 0.50 - _DISTANCE_INCHES, width, _DISTANCE_INCHES)
        style.plain_axes(axes)
        for (gap, seed), step in last.items():
            own = sorted(
                (row for row in rows if (row.gap, row.seed, row.step) == (gap, seed, step)),
                key=lambda row: row.distance,
            )
            values = [getattr(row, name) for row in own]
            if name == "transport":
                values = [max(value, LEAST["transport"]) for value in values]
            look = styles[gap]
            axes.plot(
                [row.distance for row in own], values, color=look.colour, linestyle=look.linestyle, linewidth=1.2,
                marker=look.marker, markersize=3.0,
            )  # fmt: skip
        axes.set_xscale("symlog", linthresh=1.0, linscale=0.5)
        ticks = [0, 1, *(tick for tick in (4, 16, 64, 256, 1024) if tick <= max(styles))]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("distance (time steps), at the end", fontsize=style.LABEL_POINTS)
        axes.set_ylabel(label, fontsize=style.LABEL_POINTS)
        if name == "transport":
            axes.set_yscale("log")
            axes.minorticks_off()
        else:
            axes.set_ylim(-0.05, 1.05)
            axes.axhline(chance, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
