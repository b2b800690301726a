import pytest
from figure_checks import CAPTION, CELLS, check_layout

from lstm_jax.analysis.gaps.rates import Rate
from lstm_jax.figures.gaps.rates import rates_figure

RATES = (1e-5, 3e-5, 1e-4, 3e-4, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


@pytest.mark.parametrize(("num_cells", "tried"), [(1, RATES[5:8]), (4, RATES[3:8]), (10, RATES)])
def test_everything_is_legible(num_cells: int, tried: tuple[float, ...]) -> None:
    rows = [
        Rate(cell, rate, 7, 28, 14, max(0.0, 1.0 - 0.1 * (place + 3 * abs(index - 2))), index == 2)
        for place, cell in enumerate(CELLS[:num_cells])
        for index, rate in enumerate(tried)
    ]
    figure = rates_figure(rows, caption=CAPTION, title="Learning rates " * 12)
    check_layout(figure, CELLS[:num_cells])
    rings = [line for line in figure.axes[0].lines if line.get_markersize() == 11.0]
    assert len(rings) == num_cells and all(len(line.get_xdata()) == 1 for line in rings)


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="several learning rates"):
        rates_figure([], caption="", title="")
