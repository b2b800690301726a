import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from lstm_jax.analysis.gaps.logistic import LAPSE, SLOPE_SCALE, crossings, fit_logistic, widen_separated

Floats = NDArray[np.float64]
OCTAVES = np.log2(np.array([5.0, 10.0, 20.0, 40.0, 80.0, 160.0]))


def loss(parameters: Floats, solved: Floats, finished: Floats) -> float:
    a, b = parameters
    p = LAPSE + (1 - 2 * LAPSE) / (1 + np.exp(-(a - b * (OCTAVES - OCTAVES.mean()))))
    likelihood = solved @ np.log(p) + (finished - solved) @ np.log(1 - p)
    return float(-likelihood + b**2 / (2 * SLOPE_SCALE**2))


def test_fit_is_the_optimum_of_the_penalised_likelihood() -> None:
    rng = np.random.default_rng(0)
    p = 1 / (1 + np.exp(1.5 * (OCTAVES - rng.uniform(3, 6, (50, 1)))))
    finished = rng.integers(3, 30, p.shape).astype(np.float64)
    solved = rng.binomial(finished.astype(np.int64), p).astype(np.float64)
    for row, (a, b) in enumerate(zip(*fit_logistic(OCTAVES, solved, finished), strict=True)):
        start = np.array([a, b])
        best = minimize(loss, start, (solved[row], finished[row]), method="BFGS", options={"gtol": 1e-9})
        assert loss(start, solved[row], finished[row]) <= best.fun + 1e-8
        assert a / b == pytest.approx(best.x[0] / best.x[1], abs=1e-5)


def test_a_known_curve_is_found_again() -> None:
    for horizon, slope in [(2.7, 1.0), (4.0, 2.0), (6.5, 5.0)]:
        p = LAPSE + (1 - 2 * LAPSE) / (1 + np.exp(slope * (OCTAVES - horizon)))
        found = crossings(OCTAVES, 1e6 * p[None], np.full((1, 6), 1e6))
        assert found.value[0] == pytest.approx(horizon, abs=1e-5)
        assert found.low[0] == found.value[0] == found.high[0]


def test_rows_are_independent_of_each_other() -> None:
    rng = np.random.default_rng(1)
    finished = np.full((200, 6), 5.0)
    solved = rng.binomial(5, np.linspace(0.95, 0.05, 6), (200, 6)).astype(np.float64)
    together = crossings(OCTAVES, solved, finished).value
    alone = [crossings(OCTAVES, solved[row : row + 1], finished[row : row + 1]).value[0] for row in range(200)]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("solved", "value", "low", "high"),
    [
        ([5, 5, 5, 5, 5, 5], np.inf, OCTAVES[-1], np.inf),  # all
        ([0, 0, 0, 0, 0, 0], -np.inf, -np.inf, OCTAVES[0]),  # none
        ([5, 5, 5, 5, 5, 4], np.inf, OCTAVES[-1], np.inf),  # crosses beyond the largest gap
        ([1, 0, 0, 0, 0, 0], -np.inf, -np.inf, OCTAVES[0]),
        ([0, 0, 0, 0, 5, 5], -np.inf, -np.inf, OCTAVES[0]),  # rises: flat at 1/3
        ([0, 0, 5, 5, 5, 5], np.inf, OCTAVES[-1], np.inf),  # rises: flat at 2/3
        ([2, 2, 2, 2, 2, 2], -np.inf, -np.inf, OCTAVES[0]),
    ],
)
def test_never_outside_the_measured_gaps(solved: list[int], value: float, low: float, high: float) -> None:
    found = crossings(OCTAVES, np.array([solved], dtype=np.float64), np.full((1, 6), 5.0))
    assert (found.value[0], found.low[0], found.high[0]) == (value, low, high)


def test_one_gap_is_enough_for_a_bound() -> None:
    found = crossings(OCTAVES[:1], np.array([[3.0], [2.0], [0.0], [5.0]]), np.full((4, 1), 5.0))
    np.testing.assert_array_equal(found.value, [np.inf, -np.inf, -np.inf, np.inf])


def test_a_lapse_at_the_easiest_gap_hardly_moves_the_crossing() -> None:
    clean = np.array([[30.0, 30.0, 28.0, 10.0, 1.0, 0.0]])
    lapsed = clean - np.array([1.0, 0, 0, 0, 0, 0])
    finished = np.full((1, 6), 30.0)
    moved = crossings(OCTAVES, lapsed, finished).value - crossings(OCTAVES, clean, finished).value
    assert abs(moved[0]) < 0.02


def test_separated_rows_leave_all_between_the_two_gaps() -> None:
    solved, finished = np.array([[5.0, 5, 5, 0, 0, 0], [5, 5, 4, 0, 0, 0], [5, 5, 0, 0, 0, 0]]), np.full((3, 6), 5.0)
    finished[2, 2] = 0.0  # the gap of which nothing is known lies between
    found = widen_separated(crossings(OCTAVES, solved, finished), OCTAVES, solved, finished)
    assert found.value[0] == pytest.approx((OCTAVES[2] + OCTAVES[3]) / 2, abs=1e-9)
    np.testing.assert_allclose(found.low, [OCTAVES[2], found.value[1], OCTAVES[1]], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.high, [OCTAVES[3], found.value[1], OCTAVES[3]], rtol=0, atol=1e-12)
