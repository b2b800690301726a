"""The main figure: solve rate, horizon and accuracy of every cell against the gap."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lstm_jax.analysis.horizon import Horizon
from lstm_jax.analysis.summary import Summary
from lstm_jax.report import style
from lstm_jax.report.numbers import format_horizon
from lstm_jax.report.style import CellStyle

_ONE_HALF = "one half"
_OPEN_ENDS = " An arrow is an end that the measured gaps leave open, a hollow sign a bound."
_SIDE_BY_SIDE = " Cells stand side by side at each gap, so that none hides another."
_LEFT, _TOP, _BOTTOM = 0.62, 0.10, 0.12  # margins in inches
_OUTLINE = {"#000000": "0.6"}  # of a horizon's marker: black, but around black
_RATE_INCHES, _ACCURACY_INCHES, _ROW_INCHES, _BETWEEN = 2.25, 1.75, 0.155, 0.14


def draw_gap_length(
    summaries: Sequence[Summary],
    horizons: Sequence[Horizon],
    *,
    chance: float,
    caption: str,
    title: str,
    stem: Path,
    gap_label: str = "gap (time steps)",
) -> list[Path]:
    """Draw the figure to `stem`.png and `stem`.svg, each written whole or not at all; returns these paths.

    At the top the solve rate with its 95% Wilson band, and each cell's horizon on the line of one half; in the middle
    the horizons with their intervals, one row per cell; at the bottom the mean final accuracy, and chance. An arrow is
    an end that the measured gaps leave open, a hollow marker a bound. Points stand beside their gap by at most a tenth
    of the distance between two gaps, so that no cell hides another; their heights are exact.

    Raises ValueError where there is nothing to draw.
    """
    return style.save(
        gap_length_figure(summaries, horizons, chance=chance, caption=caption, title=title, gap_label=gap_label),
        [stem.with_name(f"{stem.name}.{ending}") for ending in ("png", "svg")],
    )


def gap_length_figure(
    summaries: Sequence[Summary],
    horizons: Sequence[Horizon],
    *,
    chance: float,
    caption: str,
    title: str,
    gap_label: str = "gap (time steps)",
) -> Figure:
    """Make the figure that `draw_gap_length` writes."""
    if not summaries:
        raise ValueError("expected the summary of at least one cell and gap, got none: no run has been reported yet")
    cells = style.in_order([*(row.cell for row in summaries), *(found.cell for found in horizons)])
    styles = style.cell_styles(cells)
    gaps = sorted({row.gap for row in summaries})

    width = style.WIDTH_INCHES
    title_lines = style.wrap(title, width - 2 * _TOP, style.TITLE_POINTS, "bold")
    notes = _OPEN_ENDS + (_SIDE_BY_SIDE if len(cells) > 1 else "")
    caption_lines = style.wrap((caption + notes).strip(), width - 2 * _TOP, style.CAPTION_POINTS)
    beside = [_ONE_HALF, *_chance_label(chance).splitlines(), *map(format_horizon, horizons)]
    panel_width = width - _LEFT - max(style.text_width_inches(text, style.TICK_POINTS) for text in beside) - 0.18
    columns = style.legend_columns(cells, width - _LEFT - _TOP)
    title_height = style.height_inches(title_lines, style.TITLE_POINTS) + 0.06
    legend_height = style.legend_height_inches(len(cells), columns) + 0.10
    strip_height = max(0.45, _ROW_INCHES * (len(cells) + 0.4))  # the name of its axis needs some room
    x_label_height = 0.50
    caption_height = style.height_inches(caption_lines, style.CAPTION_POINTS)
    heights = (_TOP, title_height, legend_height, _RATE_INCHES, _BETWEEN, strip_height, _BETWEEN, _ACCURACY_INCHES)
    height = sum(heights) + x_label_height + caption_height + _BOTTOM

    figure = Figure(figsize=(width, height), dpi=style.DPI)
    margin = _TOP / width
    figure.text(
        margin, 1.0 - _TOP / height, style.as_written("\n".join(title_lines)), va="top", fontsize=style.TITLE_POINTS,
        weight="bold", linespacing=style.LINE_SPACING,
    )  # fmt: skip
    figure.text(
        margin, _BOTTOM / height, style.as_written("\n".join(caption_lines)), va="bottom",
        fontsize=style.CAPTION_POINTS, color=style.GREY, linespacing=style.LINE_SPACING,
    )  # fmt: skip
    handles = [style.handle(cell, styles[cell]) for cell in cells]
    style.add_legend(figure, handles, _LEFT, _TOP + title_height, columns)

    def panel(above: int, inches: float, share: Axes | None) -> Axes:
        bottom = height - sum(heights[:above]) - inches
        box = (_LEFT / width, bottom / height, panel_width / width, inches / height)
        axes = figure.add_axes(box, sharex=share)
        style.plain_axes(axes)
        return axes

    rate = panel(3, _RATE_INCHES, None)
    strip = panel(5, strip_height, rate)
    accuracy = panel(7, _ACCURACY_INCHES, rate)
    _set_gap_axis(rate, gaps)
    _draw_rates(rate, summaries, styles, gaps)
    _draw_horizons(rate, strip, horizons, styles)
    _draw_accuracies(accuracy, summaries, styles, gaps, chance)
    style.label_gaps(rate, gaps, panel_width)
    for axes in (rate, strip):
        axes.tick_params(axis="x", which="both", labelbottom=False)
    accuracy.tick_params(axis="x", which="major", labelbottom=True)
    accuracy.set_xlabel(gap_label, fontsize=style.LABEL_POINTS)
    for axes, label in ((rate, "solve rate"), (strip, "horizon"), (accuracy, "accuracy")):
        axes.set_ylabel(label, fontsize=style.LABEL_POINTS)
        # One column of labels, whatever the widths of the ticks.
        axes.yaxis.set_label_coords(-0.44 / panel_width, 0.5)
    return figure


def _set_gap_axis(axes: Axes, gaps: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    pad = max(0.35, 0.05 * math.log2(gaps[-1] / gaps[0]))
    axes.set_xlim(gaps[0] * 2.0**-pad, gaps[-1] * 2.0**pad)


def _beside(gaps: Sequence[int], index: int, num_cells: int) -> float:
    """Return the factor by which a cell's points stand beside the gap."""
    spacing = min((math.log2(b / a) for a, b in itertools.pairwise(gaps)), default=1.0)
    return float(2.0 ** (min(spacing, 1.0) * 0.2 * ((index + 0.5) / num_cells - 0.5)))


def _draw_rates(axes: Axes, summaries: Sequence[Summary], styles: dict[str, CellStyle], gaps: Sequence[int]) -> None:
    axes.set_ylim(-0.06, 1.06)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    axes.axhline(0.5, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    _beside_axis(axes, 0.5, _ONE_HALF)
    for index, (cell, look) in enumerate(styles.items()):
        rows = sorted((row for row in summaries if row.cell == cell), key=lambda row: row.gap)
        x = np.array([row.gap for row in rows]) * _beside(gaps, index, len(styles))
        rate, low, high = (
            np.array([getattr(row, name) for row in rows]) for name in ("solve_rate", "ci_low", "ci_high")
        )
        # Where many bands lie on each other, the bars still show which ends belong to which cell.
        axes.fill_between(x, low, high, color=look.colour, alpha=0.10, linewidth=0.0, zorder=1.5)
        axes.vlines(x, low, high, color=look.colour, linewidth=0.8, alpha=0.6, zorder=2.0)
        style.draw_curve(axes, x, rate, look, index)


def _draw_horizons(rate: Axes, strip: Axes, horizons: Sequence[Horizon], styles: dict[str, CellStyle]) -> None:
    left, right = rate.get_xlim()
    strip.set_ylim(len(styles) - 0.3, -0.7)
    strip.set_yticks([])
    strip.spines["left"].set_visible(False)
    rows = {cell: float(row) for row, cell in enumerate(styles)}
    for found in horizons:
        look, row = styles[found.cell], rows[found.cell]
        low, high = found.ci_low or left, found.ci_high or right
        strip.plot([low, high], [row, row], color=look.colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
        # An end is a bar across, an open end an arrow at the edge of the panel.
        for end, is_open, arrow in ((low, found.ci_low is None, "<"), (high, found.ci_high is None, ">")):
            strip.plot(
                [end], [row], marker=arrow if is_open else "|", markersize=5.0, markeredgewidth=0.0 if is_open else 1.4,
                color=look.colour, clip_on=False, zorder=2,
            )  # fmt: skip
        # Hollow where it is a bound. On the line of one half only where the curve crosses it.
        places = [(strip, row)] + ([(rate, 0.5)] if found.bound == "" else [])
        for axes, y in places:
            axes.plot(
                [found.horizon], [y], marker=look.marker, markersize=6.0, linestyle="none", zorder=5, clip_on=False,
                color=look.colour if found.bound == "" else "white", markeredgewidth=0.9 if found.bound == "" else 1.4,
                markeredgecolor=look.colour if found.bound else _OUTLINE.get(look.colour, "black"),
            )  # fmt: skip
        _beside_axis(strip, row, format_horizon(found), points=8.0)


def _draw_accuracies(
    axes: Axes, summaries: Sequence[Summary], styles: dict[str, CellStyle], gaps: Sequence[int], chance: float
) -> None:
    axes.set_ylim(0.0, 1.06)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    axes.axhline(chance, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    _beside_axis(axes, chance, _chance_label(chance))
    for index, (cell, look) in enumerate(styles.items()):
        rows = sorted((row for row in summaries if row.cell == cell), key=lambda row: row.gap)
        known = [row for row in rows if row.accuracy is not None]
        x = np.array([row.gap for row in known]) * _beside(gaps, index, len(styles))
        style.draw_curve(axes, x, np.array([row.accuracy for row in known], dtype=np.float64), look, index)


def _chance_label(chance: float) -> str:
    return f"chance\n{chance:.3g}"


def _beside_axis(axes: Axes, y: float, text: str, points: float = 3.0) -> None:
    # Beside the panel no curve can cross it.
    axes.annotate(
        text, xy=(1.0, y), xycoords=("axes fraction", "data"), xytext=(points, 0), textcoords="offset points",
        va="center", ha="left", fontsize=style.TICK_POINTS, color=style.GREY,
    )  # fmt: skip
