import math
from pathlib import Path

import numpy as np
import pytest
from figure_checks import CAPTION, CELLS, check_layout, summary
from matplotlib.axes import Axes

from lstm_jax.figures.learning_curves import (
    Curve,
    learning_curves_figure,
    median_curve,
    pick_evenly,
)
from lstm_jax.figures.style import save
from lstm_jax.figures.words import Words
from lstm_jax.sweeps.store.records import CurvePoint, Record, Run, Status


def record(
    accuracies: list[float],
    cell: str = "rnn",
    gap: int = 5,
    seed: int = 0,
    status: Status = "unsolved",
    rate: float = 0.003,
    chance: float = 0.125,
) -> Record:
    points = tuple(
        CurvePoint(100 * (index + 1), 1.0, 1.0, accuracy, 0.5 - 0.4 * accuracy, 10 * math.log(8) / (gap + 20))
        for index, accuracy in enumerate(accuracies)
    )
    steps = 100 * len(points)
    solved_step = steps if status == "solved" else None
    run = Run("j", cell, "copy", gap, seed, rate, 8, 9, None, status, solved_step, steps, 0.5, 0.1, chance, 1.0)
    return Record(run, points)


def lines(axes: Axes) -> list[list[float]]:
    return [np.asarray(line.get_ydata(), dtype=np.float64).tolist() for line in axes.get_lines()]


@pytest.mark.parametrize("with_loss", [False, True])
@pytest.mark.parametrize(("num_cells", "num_gaps"), [(1, 1), (4, 2), (4, 6), (10, 7), (10, 12)])
def test_everything_is_legible(num_cells: int, num_gaps: int, with_loss: bool) -> None:
    gaps = [5 * 2**index for index in range(num_gaps)]
    cells = CELLS[:num_cells]
    records = [
        record([0.1, 0.3, 0.9], cell, gap, seed, "solved") for cell in cells for gap in gaps for seed in range(3)
    ]
    summaries = [summary(cell, gap, 3) for cell in cells for gap in gaps]
    figure = learning_curves_figure(records, summaries, caption=CAPTION, title="Title " * 20, with_loss=with_loss)
    check_layout(figure, cells)
    assert len(figure.axes) == min(8, num_gaps) * (1 + with_loss)
    assert any(f"8 of {num_gaps} gaps" in text.get_text().replace("\n", " ") for text in figure.texts) == (num_gaps > 8)


def test_only_reported_runs_are_drawn(tmp_path: Path) -> None:
    shown = [record([0.1, 0.2], seed=0), record([0.3, 0.4], seed=1)]
    hidden = [
        record([0.9, 0.9], seed=100),
        record([0.8, 0.8], rate=0.01),
        record([0.7, 0.7], seed=2, status="failed"),
        record([0.6, 0.6], gap=10),
        Record(shown[0].run),
    ]
    summaries = [summary("rnn", 5, 0)]
    figure = learning_curves_figure([*hidden, *shown], summaries, caption="", title="", tuning_seeds=[100])
    (axes,) = figure.axes
    assert lines(axes) == [[0.125, 0.125], [0.1, 0.2], [0.3, 0.4], pytest.approx([0.2, 0.3], abs=1e-15)]
    with pytest.raises(ValueError, match="got none"):
        learning_curves_figure(hidden, summaries, caption="", title="", tuning_seeds=[100])
    figure = learning_curves_figure(shown, summaries, caption="", title="")
    assert save(figure, tmp_path / "learning_curves", ["png"]) == [tmp_path / "learning_curves.png"]
    assert [file.name for file in tmp_path.iterdir()] == ["learning_curves.png"]


def test_a_diverged_run_ends_at_chance_and_a_solved_one_with_a_dot() -> None:
    records = [record([0.5, 0.6, math.nan], status="diverged"), record([0.2, 1.0], seed=1, status="solved")]
    figure = learning_curves_figure(records, [summary("rnn", 5, 1)], caption="", title="")
    baseline, diverged, cross, solved, dot, median = lines(figure.axes[0])
    assert (baseline, diverged, cross) == ([0.125, 0.125], [0.5, 0.6, 0.125], [0.125])
    assert (solved, dot) == ([0.2, 1.0], [1.0])
    assert median == pytest.approx([0.35, 0.8, (0.125 + 1.0) / 2], abs=1e-15)


def test_each_panel_has_the_chance_of_its_gap() -> None:
    rows = [(5, 0.325, "diverged"), (10, 0.136, "diverged")]
    records = [record([0.5, math.nan], gap=gap, status=status, chance=chance) for gap, chance, status in rows]
    figure = learning_curves_figure(records, [summary("rnn", gap, 0) for gap, *_ in rows], caption="", title="")
    check_layout(figure, ["rnn"])
    for axes, (_, chance, _) in zip(figure.axes, rows, strict=True):
        baseline, curve, *_ = lines(axes)
        assert (baseline, curve) == ([chance, chance], [0.5, chance])
    assert "chance (0.136 to 0.325)" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_axes_have_the_name_that_the_task_gives_them() -> None:
    records = [record([0.5, 0.6], gap=gap) for gap in range(1, 11)]
    rows = [summary("rnn", gap, 0) for gap in range(1, 11)]
    words = Words("longest source (tokens)", "model")
    figure = learning_curves_figure(records, rows, caption="", title="", words=words)
    check_layout(figure, ["rnn"])
    assert figure.axes[0].get_title() == "longest source 1"
    assert any("8 of 10 longest sources are shown" in text.get_text().replace("\n", " ") for text in figure.texts)


def test_the_loss_is_shown_beside_that_of_a_solver_without_memory() -> None:
    figure = learning_curves_figure(
        [record([0.5, 1.0], gap=80)], [summary("rnn", 80, 1)], caption="", title="", with_loss=True
    )
    memoryless = 10 * math.log(8) / 100
    assert lines(figure.axes[1]) == [pytest.approx([memoryless] * 2), *[pytest.approx([0.3, 0.1])] * 2]
    assert figure.axes[1].get_ylim() == pytest.approx((0.0, 2 * memoryless))
    assert any("loss without memory" in text.get_text() for text in figure.legends[0].get_texts())


def test_median_holds_the_latest_value_of_each_run() -> None:
    early = Curve(np.array([1.0, 2.0]), np.array([0.4, 1.0]), True, False)
    late = Curve(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.2, 0.4, 0.6]), False, False)
    np.testing.assert_allclose(median_curve([early, late], late.steps), [0.2, 0.6, 0.7, 0.8], rtol=0, atol=1e-15)
    missing = median_curve([early], np.array([0.5, 1.5]))
    assert math.isnan(missing[0])
    assert missing[1] == 0.4


def test_gaps_are_picked_evenly_with_both_ends() -> None:
    assert pick_evenly([1, 2, 3], 8) == [1, 2, 3]
    for number in range(9, 40):
        picked = pick_evenly(list(range(number)), 8)
        assert (picked[0], picked[-1], len(set(picked))) == (0, number - 1, 8)
        assert np.ptp(np.diff(picked)) <= 1
