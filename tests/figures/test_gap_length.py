import dataclasses
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from figure_checks import CAPTION, CELLS, check_layout, horizon, summary, sweep
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.image import imread

from lstm_jax.figures.fonts import take_own_fonts
from lstm_jax.figures.gaps.gap_length import gap_length_figure
from lstm_jax.figures.style import cell_styles, save
from lstm_jax.figures.words import Words

GAPS = (5, 10, 20, 40, 80, 160)
FULL = (5, 10, 19, 37, 72, 140, 272, 529, 1029, 2000)
DENSE = tuple(range(10, 200, 7))


def figure_of(
    num_cells: int, gaps: tuple[int, ...], title: str = "How learning degrades", chance: float = 0.1
) -> Figure:
    summaries, horizons = sweep(num_cells, gaps)
    summaries = [dataclasses.replace(row, chance=chance) for row in summaries]
    return gap_length_figure(summaries, horizons, caption=CAPTION, title=title)


@pytest.mark.parametrize("gaps", [(20,), (5, 10), GAPS, FULL, DENSE, (1, 100000)])
@pytest.mark.parametrize("num_cells", [1, 4, 10])
def test_everything_is_legible(num_cells: int, gaps: tuple[int, ...]) -> None:
    check_layout(figure_of(num_cells, gaps, title="A long title " * 12), CELLS[:num_cells])


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.98])
def test_chance_is_a_labelled_line(chance: float) -> None:
    figure = figure_of(2, GAPS, chance=chance)
    check_layout(figure, CELLS[:2])
    accuracy = figure.axes[2]
    assert any(np.array_equal(line.get_ydata(), [chance, chance]) for line in accuracy.get_lines())
    assert any(text.get_text() == f"chance\n{chance:.3g}" for text in accuracy.texts)


def test_each_gap_has_its_own_chance() -> None:
    chances = {5: 0.325, 10: 0.136, 20: 0.119}
    rows = [dataclasses.replace(summary(cell, gap, 2), chance=chances[gap]) for cell in CELLS[:2] for gap in chances]
    figure = gap_length_figure(rows, [], caption="", title="")
    check_layout(figure, CELLS[:2])
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in figure.axes[2].get_lines()]
    assert (list(chances), list(chances.values())) in lines
    assert not any(len(set(heights)) == 1 for _, heights in lines[:1]), "one level for all gaps"
    assert any(text.get_text() == "chance\n0.119 to 0.325" for text in figure.axes[2].texts)


def test_the_axis_has_the_name_that_its_task_gives_it() -> None:
    summaries, horizons = sweep(4, GAPS)
    figure = gap_length_figure(summaries, horizons, caption="", title="", words=Words("length (symbols)", "model"))
    check_layout(figure, CELLS[:4])
    assert figure.axes[-1].get_xlabel() == "length (symbols)"
    caption = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert "Models stand side by side at each length" in caption and "the measured lengths leave open" in caption


def test_both_files_are_written_whole_and_the_same_numbers_give_the_same_files(tmp_path: Path) -> None:
    summaries, horizons = sweep(4, GAPS)

    def draw(stem: Path) -> list[bytes]:
        paths = save(gap_length_figure(summaries, horizons, caption=CAPTION, title="Title"), stem)
        assert paths == [stem.with_name("gap_length.png"), stem.with_name("gap_length.svg")]
        assert sorted(path.name for path in stem.parent.iterdir()) == ["gap_length.png", "gap_length.svg"]
        return [path.read_bytes() for path in paths]

    assert draw(tmp_path / "a" / "gap_length") == draw(tmp_path / "b" / "gap_length")
    assert imread(tmp_path / "a" / "gap_length.png").shape[1] >= 1400  # 200 dpi at the width of a page
    assert (tmp_path / "a" / "gap_length.svg").read_text().count("<svg") == 1


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    (tmp_path / "gap_length.png").write_text("old")
    monkeypatch.setattr(Figure, "savefig", fail)
    summaries, horizons = sweep(2, GAPS)
    with pytest.raises(OSError, match="disk full"):
        save(gap_length_figure(summaries, horizons, caption="", title=""), tmp_path / "gap_length")
    assert [path.name for path in tmp_path.iterdir()] == ["gap_length.png"]
    assert (tmp_path / "gap_length.png").read_text() == "old"


def test_heights_are_exact_and_points_stand_near_their_gap() -> None:
    summaries, horizons = sweep(10, GAPS)
    figure = gap_length_figure(summaries, horizons, caption="", title="")
    for axes, name in ((figure.axes[0], "solve_rate"), (figure.axes[2], "score")):
        curves = [line for line in axes.get_lines() if len(np.asarray(line.get_xdata())) == len(GAPS)]
        assert len(curves) == 10
        for cell, curve in zip(CELLS, curves, strict=True):
            np.testing.assert_array_equal(
                curve.get_ydata(), [getattr(row, name) for row in summaries if row.cell == cell]
            )
            beside = np.log2(np.asarray(curve.get_xdata(), dtype=np.float64) / GAPS)
            assert np.abs(beside).max() <= 0.1
        places = {round(float(np.asarray(curve.get_xdata())[0]), 9) for curve in curves}
        assert len(places) == 10


def test_a_measured_horizon_is_marked_on_the_line_of_one_half_and_a_bound_is_not() -> None:
    summaries = [summary(cell, gap, 3) for cell in CELLS[:3] for gap in GAPS]
    found = [
        horizon("rnn", 25.0, 12.0, None),
        horizon("gru", 160.0, 80.0, None, ">"),
        horizon("lstm", None, None, None),
    ]
    figure = gap_length_figure(summaries, found, caption="", title="")
    marks = [line for line in figure.axes[0].get_lines() if len(np.asarray(line.get_xdata())) == 1]
    assert [(mark.get_xdata(), mark.get_ydata()) for mark in marks] == [([25.0], [0.5])]
    strip = figure.axes[1]
    assert [text.get_text() for text in strip.texts] == ["25", "> 160", "not known"]
    bars = [line for line in strip.get_lines() if len(np.asarray(line.get_xdata())) == 2]
    left, right = strip.get_xlim()
    assert [list(np.asarray(bar.get_xdata())) for bar in bars] == [[12.0, right], [80.0, right], [left, right]]
    check_layout(figure, CELLS[:3])


def test_cells_differ_without_colour_and_keep_their_look() -> None:
    styles = cell_styles(CELLS)
    assert len({look.marker for look in styles.values()}) == len(CELLS)
    assert len({(look.colour, look.linestyle) for look in styles.values()}) == len(CELLS)
    assert len({look.linewidth for look in styles.values()}) == len(CELLS)
    few = cell_styles(CELLS[:4])
    assert [look.colour for look in few.values()] == [styles[cell].colour for cell in CELLS[:4]]


def test_an_accuracy_that_is_not_known_is_no_point() -> None:
    rows = [summary("rnn", 5, 5), summary("rnn", 10, 2)]
    rows[1] = type(rows[1])(**{**vars(rows[1]), "score": None})
    figure = gap_length_figure(rows, [], caption="", title="")
    check_layout(figure, ["rnn"])
    assert len(np.asarray(figure.axes[2].get_lines()[-1].get_xdata())) == 1


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="got none"):
        gap_length_figure([], [], caption="", title="")


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_the_font_is_the_one_that_comes_with_matplotlib(monkeypatch: pytest.MonkeyPatch, weight: str) -> None:
    """Whatever fonts a machine has, and whatever list of them matplotlib has in its cache."""
    own = Path(mpl.get_data_path()).resolve()
    others = [font for font in fontManager.ttflist if not Path(own, font.fname).resolve().is_relative_to(own)]
    monkeypatch.setattr(fontManager, "ttflist", others)
    take_own_fonts()
    assert Path(findfont(FontProperties(weight=weight))).resolve().is_relative_to(own)
