"""Learning curves: accuracy, and for the copy task the loss, against updates; one panel per gap."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lstm_jax.analysis.gaps.outcomes import Floats
from lstm_jax.analysis.gaps.summary import Summary
from lstm_jax.figures import style
from lstm_jax.figures.formats import format_span
from lstm_jax.figures.style import CellStyle
from lstm_jax.sweeps.store.records import Record

MAX_PANELS = 8
MAX_COLUMNS = 4
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.62, 0.12, 0.10, 0.12  # margins in inches
_BETWEEN, _ABOVE, _BELOW, _WIDEST = 0.16, 0.22, 0.28, 4.5
_MEDIAN_WIDTH = 0.7  # of the line in the other figure: here there are many more lines
_BASELINE = (0.0, (4.0, 3.0))


class Curve(NamedTuple):
    """One run's evaluations: updates and values [N], and whether it ended solved or diverged."""

    steps: Floats
    values: Floats
    solved: bool
    diverged: bool


def draw_learning_curves(
    records: Sequence[Record],
    summaries: Sequence[Summary],
    *,
    caption: str,
    title: str,
    path: Path,
    tuning_seeds: Collection[int] = (),
    loss_panels: bool = False,
) -> Path:
    """Draw the learning curves of the runs that `summaries` report to `path` (its ending gives the format).

    One panel per gap, with its chance level: a thin line per seed, a thick one for the median over the seeds of a cell.
    A run that stops when it has solved keeps its value in the median, one that diverged counts as chance. At most
    MAX_PANELS gaps are shown, evenly chosen; the caption says so. With `loss_panels` a second row shows the held-out
    loss over all trained positions beside what a solver without memory reaches.

    Records of `tuning_seeds` and of other learning rates than the chosen ones are left out. Raises ValueError where
    nothing is left.
    """
    figure = learning_curves_figure(
        records, summaries, caption=caption, title=title, tuning_seeds=tuning_seeds, loss_panels=loss_panels
    )
    return style.save(figure, [path])[0]


def learning_curves_figure(
    records: Sequence[Record],
    summaries: Sequence[Summary],
    *,
    caption: str,
    title: str,
    tuning_seeds: Collection[int] = (),
    loss_panels: bool = False,
) -> Figure:
    """Make the figure that `draw_learning_curves` writes."""
    cells = style.in_order(row.cell for row in summaries)
    styles = style.cell_styles(cells)
    chosen = {(row.cell, row.gap): row.learning_rate for row in summaries}
    shown = [
        record
        for record in records
        if record.curve
        and record.run.status != "failed"
        and record.run.seed not in tuning_seeds
        and chosen.get((record.run.cell, record.run.gap)) == record.run.learning_rate
    ]
    if not shown:
        raise ValueError("expected learning curves of runs that the summary reports, got none")
    all_gaps = sorted({record.run.gap for record in shown})
    gaps = pick_evenly(all_gaps, MAX_PANELS)
    chances = {gap: max(record.run.chance for record in shown if record.run.gap == gap) for gap in gaps}
    notes = ["Thin: one run; thick: median over runs. Dot: solved, and stopped. Cross: diverged, counted as chance."]
    if len(gaps) < len(all_gaps):
        notes.append(f"{len(gaps)} of {len(all_gaps)} gaps are shown.")
    if loss_panels:
        notes.append("Losses above twice that of a solver without memory are cut off.")

    width = style.WIDTH_INCHES
    title_lines = style.wrap(title, width - 2 * _TOP, style.TITLE_POINTS, "bold")
    caption_lines = style.wrap(" ".join([caption, *notes]).strip(), width - 2 * _TOP, style.CAPTION_POINTS)
    handles = [
        *(_median_handle(cell, look) for cell, look in styles.items()),
        _baseline_handle(list(chances.values()), loss_panels),
    ]
    labels = [str(handle.get_label()) for handle in handles]
    columns = style.legend_columns(labels, width - _LEFT - _TOP)
    title_height = style.height_inches(title_lines, style.TITLE_POINTS) + 0.06
    head = _TOP + title_height + style.legend_height_inches(len(handles), columns) + 0.04
    per_row = len(gaps) if len(gaps) <= MAX_COLUMNS else -(-len(gaps) // 2)
    panel_height = 1.30 if per_row > 2 else 1.80
    quantities = ("accuracy", "loss (nats)")[: 1 + loss_panels]
    num_rows = -(-len(gaps) // per_row)
    panel_gap = 0.36 if loss_panels else _BETWEEN  # losses have an axis each
    panel_width = min(_WIDEST, (width - _LEFT - _RIGHT - panel_gap * (per_row - 1)) / per_row)
    block = _ABOVE + len(quantities) * (panel_height + _BELOW)
    foot = 0.30 + style.height_inches(caption_lines, style.CAPTION_POINTS) + _BOTTOM
    height = head + num_rows * block + foot

    figure = Figure(figsize=(width, height), dpi=style.DPI)
    figure.text(
        _TOP / width, 1.0 - _TOP / height, style.as_written("\n".join(title_lines)), va="top",
        fontsize=style.TITLE_POINTS, weight="bold", linespacing=style.LINE_SPACING,
    )  # fmt: skip
    figure.text(
        _TOP / width, _BOTTOM / height, style.as_written("\n".join(caption_lines)), va="bottom",
        fontsize=style.CAPTION_POINTS, color=style.GREY, linespacing=style.LINE_SPACING,
    )  # fmt: skip
    middle = (_LEFT + (per_row * (panel_width + panel_gap) - panel_gap) / 2.0) / width
    last = max(record.curve[-1].step for record in shown)
    unit, unit_name = (1000.0, "updates (thousands)") if last >= 1000 else (1.0, "updates")
    figure.text(middle, (foot - 0.02) / height, unit_name, ha="center", va="top", fontsize=style.LABEL_POINTS)
    style.add_legend(figure, handles, _LEFT, _TOP + title_height, columns)

    for place, gap in enumerate(gaps):
        own = [record for record in shown if record.run.gap == gap]
        row, column = divmod(place, per_row)
        for below, quantity in enumerate(quantities):
            bottom = height - head - row * block - _ABOVE - below * (panel_height + _BELOW) - panel_height
            left = _LEFT + column * (panel_width + panel_gap)
            axes = figure.add_axes((left / width, bottom / height, panel_width / width, panel_height / height))
            style.plain_axes(axes)
            axes.set_xlim(0.0, 1.04 * last / unit)
            axes.locator_params(axis="x", nbins=3)
            if below == 0:
                axes.set_title(f"gap {gap}", fontsize=style.LABEL_POINTS, pad=4.0)
                _accuracy_axis(axes, chances[gap])
            else:
                _loss_axis(axes, own)
            if column == 0:
                axes.set_ylabel(quantity, fontsize=style.LABEL_POINTS)
                axes.yaxis.set_label_coords(-0.44 / panel_width, 0.5)
            elif below == 0:
                axes.tick_params(axis="y", labelleft=False)
            for index, (cell, look) in enumerate(styles.items()):
                curves = [_curve(record, below == 1, unit) for record in own if record.run.cell == cell]
                _draw_cell(axes, curves, look, index)
    return figure


def _median_handle(cell: str, look: CellStyle) -> Line2D:
    return Line2D(
        [], [], label=style.as_written(cell), color=look.colour, linestyle=look.linestyle,
        linewidth=_MEDIAN_WIDTH * look.linewidth,
    )  # fmt: skip


def _baseline_handle(chances: Sequence[float], loss_panels: bool) -> Line2D:
    label = f"chance ({format_span(chances)})" + (", loss without memory" if loss_panels else "")
    return Line2D([], [], label=label, color=style.GREY, linestyle=_BASELINE, linewidth=0.8)


def pick_evenly(values: Sequence[int], most: int) -> list[int]:
    """Return at most `most` of the values, evenly spread over them, first and last included."""
    if len(values) <= most:
        return list(values)
    return [values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)]


def median_curve(curves: Sequence[Curve], steps: Floats) -> Floats:
    """Return the median over runs at `steps` [N], each run holding its latest value; NaN before a run's first."""
    held = np.full((len(curves), len(steps)), np.nan)
    for row, curve in zip(held, curves, strict=True):
        latest = np.searchsorted(curve.steps, steps, side="right") - 1
        row[latest >= 0] = curve.values[latest[latest >= 0]]
    return np.asarray(np.median(held, axis=0))


def _curve(record: Record, loss: bool, unit: float) -> Curve:
    steps = np.array([point.step for point in record.curve], dtype=np.float64) / unit
    values = np.array([point.sequence_loss if loss else point.accuracy for point in record.curve], dtype=np.float64)
    diverged = record.run.status == "diverged"
    # Of numbers that overflowed there is nothing to see: chance is what such a model scores, and its loss is off the
    # panel.
    worst = math.inf if loss else record.run.chance
    values[~np.isfinite(values)] = worst
    if diverged:
        values[-1] = worst
    return Curve(steps, values, record.run.status == "solved", diverged)


def _draw_cell(axes: Axes, curves: Sequence[Curve], look: CellStyle, order: int) -> None:
    if not curves:
        return
    faint = min(0.5, max(0.15, 3.0 / len(curves)))
    for curve in curves:
        axes.plot(curve.steps, curve.values, color=look.colour, linewidth=0.5, alpha=faint, zorder=2)
        if curve.solved or curve.diverged:
            axes.plot(
                curve.steps[-1:], curve.values[-1:], marker="o" if curve.solved else "x", markersize=2.8,
                color=look.colour, linestyle="none", markeredgewidth=0.0 if curve.solved else 0.9, zorder=2.5,
                clip_on=False,
            )  # fmt: skip
    steps = np.unique(np.concatenate([curve.steps for curve in curves]))
    axes.plot(
        steps, median_curve(curves, steps), color=look.colour, linestyle=look.linestyle,
        linewidth=_MEDIAN_WIDTH * look.linewidth, zorder=3.0 + 0.01 * order,
    )  # fmt: skip


def _accuracy_axis(axes: Axes, chance: float) -> None:
    axes.set_ylim(0.0, 1.06)
    axes.set_yticks([0.0, 0.5, 1.0], ["0", "0.5", "1"])
    axes.axhline(chance, color=style.GREY, linewidth=0.8, linestyle=_BASELINE, zorder=1)


def _loss_axis(axes: Axes, records: Sequence[Record]) -> None:
    memoryless = float(np.median([point.memoryless_loss for record in records for point in record.curve]))
    axes.axhline(memoryless, color=style.GREY, linewidth=0.8, linestyle=_BASELINE, zorder=1)
    axes.set_ylim(0.0, 2.0 * memoryless)
    axes.locator_params(axis="y", nbins=4)
