"""The look of cells in all figures, text measured before it is placed, and files written whole."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from lstm_jax.arrays import Floats
from lstm_jax.figures.fonts import as_written, readable
from lstm_jax.files import replacing

WIDTH_INCHES = 7.0  # a page of a two-column journal, so that points below are points in print
DPI = 220
TITLE_POINTS = 9.5
LABEL_POINTS = 8.5
TICK_POINTS = 7.5
CAPTION_POINTS = 7.5
LINE_SPACING = 1.3
GREY = "0.35"

# Okabe & Ito (2008), told apart with every common colour blindness. Their yellow, faint on paper, is a grey here.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#808080")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", "h", ">", "*")
_DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (1.5, 1.2), (6, 1.5, 1.5, 1.5), (3, 1))


class CellStyle(NamedTuple):
    """The look of one cell in every figure of a sweep: three signs, so that none has to be seen in colour."""

    colour: str
    marker: str
    linestyle: Literal["-"] | tuple[float, tuple[float, ...]]
    linewidth: float


def cell_styles(cells: Sequence[str]) -> dict[str, CellStyle]:
    """Give each cell its look, by its place in the order.

    Lines get thinner from first to last: where curves lie on each other, the later ones run inside the earlier ones.
    """
    widest, thinnest = (3.0, 1.2) if len(cells) > 2 else (2.0, 1.4)
    step = (widest - thinnest) / max(1, len(cells) - 1)
    styles = {}
    for index, cell in enumerate(cells):
        width, dashes = widest - step * index, _DASHES[index % len(_DASHES)]
        styles[cell] = CellStyle(
            _COLOURS[index % len(_COLOURS)],
            _MARKERS[index % len(_MARKERS)],
            # Matplotlib multiplies dashes by the line's width; divided by it, they are as long on every line.
            (0.0, tuple(1.6 * dash / width for dash in dashes)) if dashes else "-",
            width,
        )
    return styles


def in_order(labels: Iterable[str]) -> list[str]:
    """Return the labels once each, in order of first appearance."""
    return list(dict.fromkeys(labels))


@functools.lru_cache(maxsize=4096)  # the figures of a command share most of their words
def text_width_inches(text: str, points: float, weight: str = "normal") -> float:
    """Measure a line of text as it will be drawn."""
    font = FontProperties(size=points, weight=weight)
    text = readable(text)
    renderer: Any = RendererAgg(1, 1, DPI)  # type: ignore[no-untyped-call]
    width, _, _ = renderer.get_text_width_height_descent(text, font, False)
    return float(width) / DPI


def wrap(text: str, width_inches: float, points: float, weight: str = "normal") -> list[str]:
    """Break text into lines that fit the width as drawn; a word wider than that is cut."""

    def fits(line: str) -> bool:
        return text_width_inches(line, points, weight) <= width_inches

    lines: list[str] = []
    for paragraph in readable(text).splitlines():
        words = paragraph.split() or [""]
        while words:
            # Measuring is slow, by the letter: each word once, then the line that they make, not each that is shorter.
            widths = itertools.accumulate(text_width_inches(f"{word} ", points, weight) for word in words)
            num_words = max(1, sum(1 for _ in itertools.takewhile(lambda width: width <= width_inches, widths)))
            while num_words < len(words) and fits(" ".join(words[: num_words + 1])):
                num_words += 1
            while num_words > 1 and not fits(" ".join(words[:num_words])):
                num_words -= 1
            line = " ".join(words[:num_words])
            words = words[num_words:]
            if len(line) > 1 and not fits(line):
                cut = next((n for n in range(len(line), 1, -1) if fits(line[:n])), 1)
                line, words = line[:cut], [line[cut:], *words]
            lines.append(line)
    return lines


def height_inches(lines: Sequence[str], points: float) -> float:
    """Return the height of lines of text."""
    return len(lines) * points * LINE_SPACING / 72.0


def legend_columns(labels: Sequence[str], width_inches: float, handle_inches: float = 0.68) -> int:
    """Return the number of columns of these labels that fit the width, filled column by column as matplotlib does."""
    widths = [text_width_inches(label, TICK_POINTS) + handle_inches for label in labels]
    for columns in range(len(labels), 1, -1):
        by_column = np.array_split(np.array(widths), columns)
        if sum(float(column.max()) for column in by_column) <= width_inches:
            return columns
    return 1


def add_legend(
    figure: Figure, handles: Sequence[Line2D], left_inches: float, top_inches: float, columns: int
) -> Legend:
    """Place a legend outside the axes, its upper left corner at inches from the figure's upper left."""
    width, height = figure.get_size_inches()
    return figure.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(left_inches / width, 1.0 - top_inches / height),
        ncols=columns,
        fontsize=TICK_POINTS,
        frameon=False,
        handlelength=3.6,
        columnspacing=1.2,
        labelspacing=0.35,
        borderaxespad=0.0,
        borderpad=0.0,
    )


def legend_height_inches(num_labels: int, columns: int) -> float:
    """Return the height of a legend with that many entries."""
    rows = -(-num_labels // columns)
    return rows * TICK_POINTS * 1.45 / 72.0


def set_gap_axis(axes: Axes, gaps: Sequence[int] | Sequence[float]) -> None:
    """Make the x axis logarithmic, with some room beside the first and the last of ascending gaps."""
    axes.set_xscale("log", base=2)
    pad = max(0.35, 0.05 * math.log2(gaps[-1] / gaps[0]))
    axes.set_xlim(gaps[0] * 2.0**-pad, gaps[-1] * 2.0**pad)


def beside_gap(gaps: Sequence[int] | Sequence[float], index: int, num_cells: int) -> float:
    """Return the factor by which a cell's points stand beside the gap on a log axis."""
    spacing = min((math.log2(b / a) for a, b in itertools.pairwise(gaps)), default=1.0)
    return float(2.0 ** side_by_side(index, num_cells, min(spacing, 1.0)))


def side_by_side(index: int, number: int, spacing: float = 1.0) -> float:
    """Return how far from its place the point of one of a number of curves stands: at most a tenth of `spacing`."""
    return spacing * 0.2 * ((index + 0.5) / number - 0.5)


def beside_axis(axes: Axes, y: float, text: str, points: float = 3.0) -> None:
    """Write at the right of axes, where no curve can cross the text."""
    axes.annotate(
        as_written(text), xy=(1.0, y), xycoords=("axes fraction", "data"), xytext=(points, 0),
        textcoords="offset points", va="center", ha="left", fontsize=TICK_POINTS, color=GREY,
    )  # fmt: skip


def draw_band(axes: Axes, x: Floats, low: Floats, high: Floats, look: CellStyle) -> None:
    """Draw the intervals of a cell's curve."""
    # Where many bands lie on each other, the bars still show which ends belong to which cell.
    axes.fill_between(x, low, high, color=look.colour, alpha=0.10, linewidth=0.0, zorder=1.5)
    axes.vlines(x, low, high, color=look.colour, linewidth=0.8, alpha=0.6, zorder=2.0)


def draw_curve(axes: Axes, x: Floats, y: Floats, look: CellStyle, order: int) -> None:
    """Draw a cell's curve with a marker at every point; a later `order` lies on top."""
    line = handle("", look)
    line.set_data(x, y)
    line.set_zorder(3.0 + 0.01 * order)
    line.set_clip_on(False)
    axes.add_line(line)


def handle(label: str, look: CellStyle) -> Line2D:
    """Make the line that stands for a cell in a legend."""
    return Line2D(
        [],
        [],
        label=as_written(label),
        color=look.colour,
        linestyle=look.linestyle,
        linewidth=look.linewidth,
        marker=look.marker,
        markersize=5.0,
        markeredgecolor="white",
        markeredgewidth=0.6,
    )


def plain_axes(axes: Axes) -> None:
    """Hide the upper and the right spine, and set the sizes of ticks and lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TICK_POINTS, width=0.7, length=3)
    for spine in axes.spines.values():
        spine.set_linewidth(0.7)


def label_gaps(
    axes: Axes, gaps: Sequence[int] | Sequence[float], axes_inches: float, labels: Sequence[str] = ()
) -> None:
    """Put a tick at every gap of a log axis with set limits, and a label at as many as stand clear of each other.

    A label is the gap itself where `labels` says nothing else.
    """
    names = labels or [str(gap) for gap in gaps]
    low, high = axes.transData.transform([(gap, 0.5) for gap in (axes.get_xlim())])[:, 0]
    scale = axes_inches / (high - low)
    places = [float(axes.transData.transform((gap, 0.5))[0] - low) * scale for gap in gaps]
    halves = [text_width_inches(name, TICK_POINTS) / 2.0 for name in names]
    # From the largest, which is the one that must not be missing.
    shown: list[int] = []
    for index in reversed(range(len(gaps))):
        if not shown or places[shown[-1]] - halves[shown[-1]] - places[index] - halves[index] > 0.06:
            shown.append(index)
    axes.set_xticks([gaps[index] for index in shown], [names[index] for index in shown])
    axes.set_xticks(list(gaps), minor=True)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=3, width=0.7)


def save(figure: Figure, stem: Path, endings: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a figure to `stem`.png and `stem`.svg, each whole or not at all; returns these paths.

    The same numbers give the same files: without a date, and with fixed ids.
    """
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in endings]
    for path in paths:
        metadata: Mapping[str, str | None] = {"Date": None} if path.suffix == ".svg" else {}
        with replacing(path) as temporary, mpl.rc_context({"svg.hashsalt": path.name}):
            figure.savefig(temporary, format=path.suffix[1:], dpi=DPI, facecolor="white", metadata=dict(metadata))
    return paths
