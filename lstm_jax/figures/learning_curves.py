"""Learning curves: score, and for the copy task the loss, against updates, per gap."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lstm_jax.analysis.gaps.summary import Summary
from lstm_jax.arrays import Floats
from lstm_jax.figures import fonts, style
from lstm_jax.figures.formats import format_span
from lstm_jax.figures.scores import ScoreAxis
from lstm_jax.figures.stack import LEFT, Page, add_axes, make_page
from lstm_jax.figures.style import CellStyle
from lstm_jax.figures.words import GAP_SWEEP, Words
from lstm_jax.sweeps.store.records import Record

_Number = TypeVar("_Number", int, float)
MAX_GAPS = 8
MAX_COLUMNS = 4
_RIGHT = 0.12  # margin in inches
_BETWEEN, _ABOVE, _BELOW, _WIDEST = 0.16, 0.22, 0.28, 4.5
_MEDIAN_WIDTH = 0.7  # of the line in the other figure: here there are many more lines
_BASELINE = (0.0, (4.0, 3.0))


class Curve(NamedTuple):
    """One run's evaluations: updates and values [N], and whether it ended solved or diverged."""

    steps: Floats
    values: Floats
    solved: bool
    diverged: bool


class _Grid(NamedTuple):
    """Axes of every gap and quantity, `per_row` gaps side by side; sizes in inches."""

    per_row: int
    num_rows: int
    num_quantities: int
    width: float
    height: float
    between: float

    @property
    def row_inches(self) -> float:
        """The height of a row of gaps, their names included."""
        return _ABOVE + self.num_quantities * (self.height + _BELOW)

    @property
    def middle(self) -> float:
        """The middle of a full row, from the left of the figure."""
        return LEFT + (self.per_row * (self.width + self.between) - self.between) / 2.0

    def add(self, page: Page, place: int, quantity: int) -> Axes:
        """Add the axes of the gap at `place`."""
        row, column = divmod(place, self.per_row)
        bottom = page.top - row * self.row_inches - _ABOVE - quantity * (self.height + _BELOW) - self.height
        left = LEFT + column * (self.width + self.between)
        axes = add_axes(page.figure, left, bottom, self.width, self.height)
        style.plain_axes(axes)
        return axes


def learning_curves_figure(
    records: Sequence[Record],
    summaries: Sequence[Summary],
    *,
    caption: str,
    title: str,
    tuning_seeds: Collection[int] = (),
    with_loss: bool = False,
    words: Words = GAP_SWEEP,
) -> Figure:
    """Draw the learning curves of the runs that `summaries` report.

    One pair of axes per gap, with its chance level: a thin line per seed, a thick one for the median over the seeds of
    a cell. A run that stops when it has solved keeps its value in the median, one that diverged counts as chance. At
    most MAX_GAPS gaps are shown, evenly chosen; the caption says so. `with_loss` adds a row with the held-out loss over
    all trained positions beside the loss that a solver without memory reaches.

    Records of `tuning_seeds` and of other learning rates than the chosen ones are left out. Raises ValueError where
    nothing is left.
    """
    styles = style.cell_styles(style.in_order(row.cell for row in summaries))
    shown = reported(records, summaries, tuning_seeds)
    if not shown:
        raise ValueError("expected learning curves of runs that the summary reports, got none")
    all_gaps = sorted({record.run.gap for record in shown})
    gaps = pick_evenly(all_gaps, MAX_GAPS)
    best = max if shown[0].run.higher_is_better else min
    chances = {gap: best(record.run.chance for record in shown if record.run.gap == gap) for gap in gaps}
    notes = ["Thin: one run; thick: median over runs. Dot: solved, and stopped. Cross: diverged, counted as chance."]
    if len(gaps) < len(all_gaps):
        notes.append(f"{len(gaps)} of {len(all_gaps)} {words.gaps} are shown.")
    if with_loss:
        notes.append("Losses above twice that of a solver without memory are cut off.")
    handles = [
        *(_median_handle(cell, look) for cell, look in styles.items()),
        _baseline_handle(list(chances.values()), with_loss),
    ]
    grid = _grid(len(gaps), with_loss)
    page = make_page(
        title, " ".join([caption, *notes]).strip(), handles, grid.num_rows * grid.row_inches, above=0.04, below=0.30
    )
    scale = ScoreAxis.of([record.run for record in shown], [point.score for record in shown for point in record.curve])
    last = max(record.curve[-1].step for record in shown)
    unit, unit_name = (1000.0, "updates (thousands)") if last >= 1000 else (1.0, "updates")
    width, height = page.figure.get_size_inches()
    page.figure.text(
        grid.middle / width, (page.bottom - 0.02) / height, unit_name, ha="center", va="top",
        fontsize=style.LABEL_POINTS,
    )  # fmt: skip
    for place, gap in enumerate(gaps):
        own = [record for record in shown if record.run.gap == gap]
        for quantity, name in enumerate((words.score, words.loss)[: grid.num_quantities]):
            axes = grid.add(page, place, quantity)
            axes.set_xlim(0.0, 1.04 * last / unit)
            axes.locator_params(axis="x", nbins=3)
            if quantity == 0:
                axes.set_title(f"{words.gap} {gap}", fontsize=style.LABEL_POINTS, pad=4.0)
                scale.scale(axes, [0.0, 0.5, 1.0])
                axes.axhline(chances[gap], color=style.GREY, linewidth=0.8, linestyle=_BASELINE, zorder=1)
            else:
                _loss_axis(axes, own)
            if place % grid.per_row == 0:
                axes.set_ylabel(name, fontsize=style.LABEL_POINTS)
                axes.yaxis.set_label_coords(-0.44 / grid.width, 0.5)
            elif quantity == 0:
                axes.tick_params(axis="y", labelleft=False)
            for index, (cell, look) in enumerate(styles.items()):
                curves = [curve_of(record, loss=quantity == 1, unit=unit) for record in own if record.run.cell == cell]
                _draw_cell(axes, curves, look, index)
    return page.figure


def reported(records: Sequence[Record], summaries: Sequence[Summary], tuning_seeds: Collection[int]) -> list[Record]:
    """Return the records with a curve that the summaries report."""
    chosen = {(row.cell, row.gap): row.learning_rate for row in summaries}
    return [
        record
        for record in records
        if record.curve
        and record.run.status != "failed"
        and record.run.seed not in tuning_seeds
        and chosen.get((record.run.cell, record.run.gap)) == record.run.learning_rate
    ]


def _grid(num_gaps: int, with_loss: bool) -> _Grid:
    per_row = num_gaps if num_gaps <= MAX_COLUMNS else -(-num_gaps // 2)
    between = 0.36 if with_loss else _BETWEEN  # losses have an axis each
    width = min(_WIDEST, (style.WIDTH_INCHES - LEFT - _RIGHT - between * (per_row - 1)) / per_row)
    height = 1.30 if per_row > 2 else 1.80
    return _Grid(per_row, -(-num_gaps // per_row), 1 + with_loss, width, height, between)


def _median_handle(cell: str, look: CellStyle) -> Line2D:
    return Line2D(
        [], [], label=fonts.as_written(cell), color=look.colour, linestyle=look.linestyle,
        linewidth=_MEDIAN_WIDTH * look.linewidth,
    )  # fmt: skip


def _baseline_handle(chances: Sequence[float], with_loss: bool) -> Line2D:
    label = f"chance ({format_span(chances)})" + (", loss without memory" if with_loss else "")
    return Line2D([], [], label=label, color=style.GREY, linestyle=_BASELINE, linewidth=0.8)


def pick_evenly(values: Sequence[_Number], most: int) -> list[_Number]:
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


def curve_of(record: Record, *, loss: bool = False, unit: float = 1.0) -> Curve:
    """Return the score of a run along training, or its loss; where it diverged, it counts as chance."""
    steps = np.array([point.step for point in record.curve], dtype=np.float64) / unit
    values = np.array([point.sequence_loss if loss else point.score for point in record.curve], dtype=np.float64)
    diverged = record.run.status == "diverged"
    # Nothing is to be seen of values that overflowed: such a model scores chance, and its loss lies above the axes.
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


def _loss_axis(axes: Axes, records: Sequence[Record]) -> None:
    memoryless = float(np.median([point.memoryless_loss for record in records for point in record.curve]))
    axes.axhline(memoryless, color=style.GREY, linewidth=0.8, linestyle=_BASELINE, zorder=1)
    axes.set_ylim(0.0, 2.0 * memoryless)
    axes.locator_params(axis="y", nbins=4)
