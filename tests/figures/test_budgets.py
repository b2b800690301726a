import numpy as np
import pytest
from figure_checks import CAPTION, CELLS, check_layout

from lstm_jax.analysis.gaps.budgets import HorizonAtBudget
from lstm_jax.analysis.gaps.growth import Growth
from lstm_jax.figures.gaps.budgets import horizon_by_budget_figure, sentence
from lstm_jax.figures.words import Words

GAPS = (5, 10, 20, 40, 80)
BUDGETS = (200, 300, 450, 650, 900, 1250, 1750, 2500, 3500, 5000)


def rows_of(cells: tuple[str, ...]) -> list[HorizonAtBudget]:
    """The first ends above the gaps, the second begins below, the third is not known at times."""
    rows = []
    for place, cell in enumerate(cells):
        for index, budget in enumerate(BUDGETS):
            value, low, high, bound = 6.0 + index + place, 5.0 + index, 9.0 + 2 * index, ""
            if place == 0 and index > 7:
                value, low, high, bound = 80.0, 70.0, None, ">"
            if place == 1 and index < 2:
                value, low, high, bound = 5.0, None, 6.0, "<"
            if place == 2 and index % 3 == 0:
                value, low, high = None, None, None
            rows.append(HorizonAtBudget(cell, budget, 0.01, value, low, high, bound, 4, 32 * budget, 1.0, 1.0))  # type: ignore[arg-type]
    return rows


@pytest.mark.parametrize("num_cells", [1, 4, 10])
def test_everything_is_legible(num_cells: int) -> None:
    figure = horizon_by_budget_figure(rows_of(CELLS[:num_cells]), GAPS, caption=CAPTION, title="Horizon " * 20)
    check_layout(figure, CELLS[:num_cells])


def test_bounds_are_hollow_and_open_ends_reach_the_edge() -> None:
    figure = horizon_by_budget_figure(rows_of(CELLS[:2]), GAPS, caption=CAPTION, title="Horizon")
    (axes,) = figure.axes
    hollow = [line for line in axes.lines if line.get_color() == "white"]
    assert [list(np.asarray(line.get_ydata())) for line in hollow] == [[80.0, 80.0], [5.0, 5.0]]
    low, high = axes.get_ylim()
    assert low < GAPS[0] and high > GAPS[-1]
    ends = np.concatenate([segment[:, 1] for bars in axes.collections[1::2] for segment in bars.get_segments()])
    assert (ends == high).sum() == 2 and (ends == low).sum() == 2


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no run has been reported yet"):
        horizon_by_budget_figure([], GAPS, caption="", title="")


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("still growing", "lstm: still growing: 28.3 time steps after 2,500 updates, > 80 after 5,000"),
        ("settled", "lstm: settled: 28.3 time steps after 2,500 updates, > 80 after 5,000"),
        ("not known", "lstm: not known whether it still grows: 28.3 time steps after 2,500 updates, > 80 after 5,000"),
    ],
)
def test_a_sentence_a_cell(verdict: str, said: str) -> None:
    found = Growth("lstm", 0.01, 2500, 28.284, "", 80.0, ">", 0.5, 0.5, verdict)  # type: ignore[arg-type]
    assert sentence(found, 5000) == said
    assert "28.3 levels after" in sentence(found, 5000, Words("dependencies (levels)"))
