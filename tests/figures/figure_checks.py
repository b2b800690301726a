"""What every figure has to satisfy, and numbers to draw."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from lstm_jax.analysis.gaps.horizon import Bound, Horizon
from lstm_jax.analysis.gaps.summary import Summary

CELLS = (
    "rnn", "gru", "lstm", "lstm@chrono=true", "lstm@forget_bias=5,init=orthogonal", "my_package.cells:Name@field=3",
    "gru@reset=before", "rnn@init=orthogonal", "peephole", "lstm@forget_bias=0",
)  # fmt: skip
CAPTION = "1,000 updates of batch 32, $H$ = 64; the learning rate is chosen on 2 tuning seeds, 3 others are shown. " * 3


def summary(
    cell: str, gap: int, solved: int, of: int = 5, accuracy: float | None = None, chance: float = 0.1
) -> Summary:
    rate = solved / of
    low, high = max(0.0, rate - 0.3), min(1.0, rate + 0.3)
    accuracy = 0.125 + 0.875 * rate if accuracy is None else accuracy
    return Summary(
        cell, gap, 0.003, of, solved, 0, rate, low, high, accuracy, chance, 400.0 if 2 * solved >= of else None
    )


def horizon(cell: str, value: float | None, low: float | None, high: float | None, bound: Bound = "") -> Horizon:
    return Horizon(cell, 0.003, value, low, high, bound, high, 1.0, 5)


def sweep(num_cells: int, gaps: tuple[int, ...]) -> tuple[list[Summary], list[Horizon]]:
    """Make cells that learn further one than the other; the first nowhere, the last everywhere."""
    summaries, horizons = [], []
    for index, cell in enumerate(CELLS[:num_cells]):
        reach = round(index * (len(gaps) + 1) / max(1, num_cells - 1))
        summaries += [summary(cell, gap, 5 if place < reach else 0) for place, gap in enumerate(gaps)]
        if reach == 0:
            horizons.append(horizon(cell, float(gaps[0]), None, float(gaps[0]), "<"))
        elif reach >= len(gaps):
            horizons.append(horizon(cell, float(gaps[-1]), float(gaps[-1]), None, ">"))
        else:
            low, high = gaps[reach - 1], gaps[reach]
            horizons.append(horizon(cell, (low * high) ** 0.5, float(low), float(high) if index % 2 else None))
    return summaries, horizons


def drawn_texts(figure: Figure) -> Iterator[Text]:
    """Yield the texts that a reader sees."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        yield from (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
        both: tuple[Any, Any] = (axes.xaxis, axes.yaxis)
        for axis in both:
            yield from (tick.label1 for tick in axis._update_ticks())


def check_layout(figure: Figure, cells: tuple[str, ...] | list[str]) -> None:
    """Assert that all text is large enough, inside the figure and clear of other text, and all cells in the legend."""
    canvas: Any = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph is a warning
        canvas.print_png(io.BytesIO())
    renderer = canvas.get_renderer()
    texts = [text for text in drawn_texts(figure) if text.get_visible() and text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    assert figure.get_size_inches()[0] <= 7.0
    assert min(float(text.get_fontsize()) for text in texts) >= 7.0
    page = figure.bbox
    for name, box in boxes:
        assert page.x0 <= box.x0 < box.x1 <= page.x1, name
        assert page.y0 <= box.y0 < box.y1 <= page.y1, name
    for (name, box), (other, its) in itertools.combinations(boxes, 2):
        assert not box.overlaps(its), f"{name!r} lies on {other!r}"
    panels = [axes.get_window_extent(renderer) for axes in figure.axes]
    for panel, its in itertools.combinations(panels, 2):
        assert not _shrunk(panel).overlaps(_shrunk(its))
    (legend,) = figure.legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown[: len(cells)] == list(cells)
    for box in (legend.get_window_extent(renderer), *(text.get_window_extent(renderer) for text in figure.texts)):
        assert not any(_shrunk(panel).overlaps(box) for panel in panels)


def _shrunk(box: Bbox) -> Bbox:
    return Bbox.from_extents(box.x0 + 1, box.y0 + 1, box.x1 - 1, box.y1 - 1)
