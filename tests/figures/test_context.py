import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from figure_checks import CAPTION, CELLS, check_layout, summary
from matplotlib.axes import Axes
from rich.console import Console

from lstm_jax.analysis.text.context import ContextPoint, EffectiveContext
from lstm_jax.figures import fonts, style
from lstm_jax.figures.gaps.gap_length import gap_length_figure
from lstm_jax.figures.text.context import context_figure, print_context

CONTEXTS = (1, 2, 5, 10, 20, 50, 100, 200, 0)
MODELS = ("mine:Cell@cost=$5,name=[red]", *CELLS)


def curve(cell: str, contexts: Sequence[int] = CONTEXTS, worst: float = 300.0) -> list[ContextPoint]:
    points = []
    for context in contexts:
        value = worst * (0.3 + 0.7 / (context or 400))
        points.append(ContextPoint(cell, context, value, 0.95 * value, 1.08 * value, 3))
    return points


def models(number: int, contexts: Sequence[int] = CONTEXTS) -> tuple[list[ContextPoint], list[EffectiveContext]]:
    """Make models of which every fourth looks no further than the first context, every fourth beyond the last."""
    points = [
        point
        for index, cell in enumerate(MODELS[:number])
        for point in curve(cell, contexts, worst=200.0 + 20.0 * index)
    ]
    first, last = float(contexts[0]) or 1.0, float(max(contexts)) or 1.0
    kinds = (
        EffectiveContext("", first, None, first, "<"),
        EffectiveContext("", (first * last) ** 0.5, first, last, ""),
        EffectiveContext("", last, last, None, ">"),
        EffectiveContext("", (first * last) ** 0.5, None, None, ""),
    )
    found = [type(kinds[0])(**{**vars(kinds[index % 4]), "cell": cell}) for index, cell in enumerate(MODELS[:number])]
    return points, found


@pytest.mark.parametrize("number", [1, 11])
@pytest.mark.parametrize("contexts", [CONTEXTS, (1, 2, 4), (0,), (5, 0)])
def test_everything_is_legible(number: int, contexts: tuple[int, ...]) -> None:
    points, effective = models(number, contexts)
    figure = context_figure(
        points, effective, caption=CAPTION + "शब्द", title="A long title, शीर्षक " * 9, unit="characters"
    )
    check_layout(figure, [fonts.as_written(cell) for cell in MODELS[:number]])
    assert figure.axes[1].get_xlabel() == "context (characters)"
    shown = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert shown[::-1] == [str(context or "all") for context in contexts]


@pytest.mark.parametrize("worst", [1.2, 12.0, 1e5, math.exp(300)])
def test_perplexities_of_any_size_have_labels_that_lie_within(worst: float) -> None:
    points = [*curve("a", worst=1.2), *curve("b", worst=worst)]
    figure = context_figure(points, [], caption="", title="Title")
    check_layout(figure, ["a", "b"])
    low, high = figure.axes[0].get_ylim()
    ticks = figure.axes[0].get_yticks()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    np.testing.assert_allclose([float(label) for label in labels], ticks, rtol=1e-12)
    assert 2 <= len(ticks) <= 12
    assert low <= min(ticks) < max(ticks) <= high
    assert low < min(point.ci_low for point in points) < max(point.ci_high for point in points) < high


def lines(axes: Axes, number: int) -> list[tuple[list[float], list[float]]]:
    """The points of the curves with a number of points, which have markers."""
    return [
        (np.asarray(line.get_xdata(), dtype=np.float64).tolist(), np.asarray(line.get_ydata()).tolist())
        for line in axes.get_lines()
        if len(np.asarray(line.get_xdata())) == number and line.get_marker() not in ("None", None, "")
    ]


def test_heights_are_exact_and_points_stand_near_their_context() -> None:
    points, effective = models(6)
    figure = context_figure(points, effective, caption="", title="")
    cut, uncut = lines(figure.axes[0], 8), lines(figure.axes[0], 1)
    assert len(cut) == len(uncut) == 6
    for cell, (x, y), (beyond, whole) in zip(MODELS, cut, uncut, strict=False):
        own = [point.perplexity for point in points if point.cell == cell]
        assert (y, whole) == (own[:-1], own[-1:])
        assert np.abs(np.log2(np.array(x) / CONTEXTS[:-1])).max() <= 0.1
        assert abs(math.log2(beyond[0] / 400.0)) <= 0.1
    assert len({x[0] for x, _ in cut}) == 6


def test_cells_of_other_contexts_are_drawn_where_they_are() -> None:
    points = [*curve("transformer", (1, 2, 5, 0)), *curve("lstm"), *curve("gru", (1, 2))]
    figure = context_figure(points, [EffectiveContext("rnn", 5.0, 2.0, 10.0, "")], caption="", title="")
    check_layout(figure, ["transformer", "lstm", "gru", "rnn"])
    assert [len(lines(figure.axes[0], number)) for number in (3, 8, 2)] == [1, 1, 1]
    # A thin line leads from the last cut to all there is, of cells that have seen it.
    thin = [line for line in figure.axes[0].get_lines() if line.get_marker() == "None" and line.get_alpha() == 0.7]
    ends = [np.asarray(line.get_ydata()).tolist() for line in thin if len(np.asarray(line.get_ydata()))]
    assert ends == [[points[2].perplexity, points[3].perplexity], [points[11].perplexity, points[12].perplexity]]


def test_effective_contexts_have_a_row_each_and_open_ends_reach_the_edge() -> None:
    points, _ = models(4)
    found = [
        EffectiveContext(MODELS[0], 9.34, 7.0, 12.0, ""),
        EffectiveContext(MODELS[2], 200.0, 90.0, None, ">"),
        EffectiveContext(MODELS[3], 1.0, None, 1.0, "<"),
    ]
    strip = context_figure(points, found, caption="", title="").axes[1]
    assert [text.get_text() for text in strip.texts] == ["9.3", "> 200", "< 1"]
    bars = [line for line in strip.get_lines() if line.get_linewidth() == 1.6]
    left, right = strip.get_xlim()
    assert [(list(np.asarray(bar.get_xdata())), np.asarray(bar.get_ydata())[0]) for bar in bars] == [
        ([7.0, 12.0], 0.0), ([90.0, right], 2.0), ([left, 1.0], 3.0),
    ]  # fmt: skip


def test_a_cell_has_the_colour_that_it_has_in_other_figures() -> None:
    by_context = context_figure(*models(6), caption="", title="")
    rows = [summary(cell, gap, 3) for cell in MODELS[:6] for gap in (5, 10)]
    by_gap = gap_length_figure(rows, [], caption="", title="")
    looks = [
        [(line.get_color(), line.get_marker(), line.get_linewidth()) for line in figure.legends[0].get_lines()]
        for figure in (by_context, by_gap)
    ]
    assert looks[0] == looks[1]


def test_the_same_numbers_give_the_same_files(tmp_path: Path) -> None:
    points, effective = models(3)

    def draw(stem: Path) -> list[bytes]:
        paths = style.save(context_figure(points, effective, caption="फाइल", title="Title"), stem)
        assert paths == [stem.with_name("context.png"), stem.with_name("context.svg")]
        assert sorted(stem.parent.iterdir()) == sorted(paths)
        return [path.read_bytes() for path in paths]

    assert draw(tmp_path / "a" / "context") == draw(tmp_path / "b" / "context")


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="got none: no run has been reported yet"):
        context_figure([], [], caption="", title="")


def printed(*arguments: object) -> str:
    stream = io.StringIO()
    print_context(Console(file=stream, width=80), *arguments)
    return stream.getvalue()


def test_numbers_are_printed_in_80_columns() -> None:
    points, effective = models(11)
    points += curve("huge", (1, 0), worst=1e300)
    text = printed(points, effective, "characters")
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    shown = [line.split() for line in text.splitlines()]
    rows = [words for words in shown if words[:1] == ["200"]]
    assert [len(words) for words in rows] == [5, 5, 5]  # twelve cells
    values = {(point.cell, point.context): f"{point.perplexity:.4g}" for point in points}
    assert rows[0] == ["200", *(values[cell, 200] for cell in MODELS[:4])]
    assert rows[2][-1] == "-"  # not measured
    assert [words[0] for words in shown if words[1:2] == [values[MODELS[0], 0]]] == ["all"]
    assert "[red]" in text.replace("\n", "").replace(" ", "")
    assert "effective context (characters)" in text
    assert any(words == ["lstm", ">", "200", "from", "200"] or words[-2:] == ["from", "200"] for words in shown)


def test_without_effective_contexts_there_is_no_table_of_them() -> None:
    assert "effective" not in printed(curve("lstm"), [])
    assert printed([], []) == ""
