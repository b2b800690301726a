import dataclasses
import math

import numpy as np
import pytest
from simulate import counts, grid, simulated_runs

from benchmarks.coverage import QUICK
from lstm_jax.analysis.gaps.contrasts import Contrast, contrasts, difference
from lstm_jax.analysis.gaps.horizon import horizons
from lstm_jax.analysis.gaps.posterior import Posterior, horizons_of, posterior
from lstm_jax.analysis.resampling import holm
from lstm_jax.sweeps.store.records import Run, columns_of

GAPS = QUICK.gaps
HORIZONS = {"rnn": 3.3, "gru": 5.3, "lstm": 5.0}


def reaching(gap: int, cell: str, of: int = 4, gaps: tuple[int, ...] = GAPS) -> list[Run]:
    return counts({each: of * (each <= gap) for each in gaps}, of, cell)


@pytest.fixture(scope="module")
def sweep() -> list[Run]:
    return simulated_runs(seed=3, horizons=HORIZONS, shorter=np.array([1.0, 0.0, 3.0]))


def test_columns_are_those_of_the_file() -> None:
    assert ",".join(columns_of(Contrast)) == (
        "cell_a,cell_b,ratio,bound,ci_low,ci_high,p_value,best_ci_low,best_ci_high,best_p_value"
    )


def test_every_pair_has_a_row_that_agrees_with_the_horizons(sweep: list[Run]) -> None:
    runs = sweep + reaching(160, "all") + reaching(0, "none")
    found = {row.cell: row for row in horizons(runs, QUICK.tuning_seeds)}
    pairs = contrasts(runs, QUICK.tuning_seeds)
    assert len(pairs) == 10 and [pair.cell_a for pair in pairs[:4]] == ["rnn"] * 4
    bounds = {(pair.cell_a, pair.cell_b): pair.bound for pair in pairs}
    assert bounds["rnn", "gru"] == "" and bounds["rnn", "all"] == "<" and bounds["rnn", "none"] == ">"
    assert bounds["all", "none"] == ">"
    for pair in pairs:
        a, b = found[pair.cell_a].horizon, found[pair.cell_b].horizon
        assert a is not None and b is not None and pair.ratio == pytest.approx(a / b, rel=1e-12)
        assert (pair.best_ci_low or 0) <= (pair.ci_low or 0) and (pair.best_ci_high or 1e9) >= (pair.ci_high or 1e9)
        assert pair.p_value is not None and pair.best_p_value is not None


def test_the_pair_that_differs_most_has_a_one_sided_ratio_and_a_small_p_value() -> None:
    (pair,) = contrasts(reaching(160, "a") + reaching(10, "b"), ())
    assert (pair.bound, pair.ci_high) == (">", None) and pair.ci_low is not None and pair.ci_low > 7
    assert pair.p_value is not None and pair.p_value < 1e-3
    (pair,) = contrasts(reaching(160, "a") + reaching(160, "b"), ())
    assert pair == Contrast("a", "b", None, "", None, None, 1.0, None, None, 1.0)


def test_no_number_of_cells_makes_a_difference_of_many_octaves_insignificant() -> None:
    gaps = tuple(2**octave for octave in range(1, 14))
    runs = [run for i in range(11) for run in reaching(2 ** (i + 2), f"c{i}", 8, gaps)]
    found = {(pair.cell_a, pair.cell_b): pair.p_value for pair in contrasts(runs, ())}
    assert len(found) == 55
    far = [p for (a, b), p in found.items() if abs(int(a[1:]) - int(b[1:])) > 1]
    assert max(p for p in far if p is not None) < 0.05 and None not in far


def of(rows: list[list[int]], gaps: tuple[int, ...] = GAPS) -> Posterior:
    return posterior(np.array(gaps), np.array(rows, dtype=float), np.ones((len(rows), len(gaps))))


def test_a_difference_against_draws_from_both_posteriors() -> None:
    """Of horizons within the gaps, on grids that do not fall together."""
    other = (6, 11, 24, 50)
    a, b = of([[1, 1, 1, 1, 0, 0]] * 3 + [[1, 1, 1, 0, 0, 0]] * 3), of([[1, 1, 0, 0]] * 3 + [[1, 1, 1, 0]] * 3, other)
    rng = np.random.default_rng(0)
    drawn = [rng.choice(horizons_of(each.gaps), p=each.mass, size=10**6) for each in (a, b)]
    drawn = [each + (rng.random(10**6) - 0.5) / 16 for each in drawn]  # steps of the grid as densities
    low, high, p_value = difference((a,), (b,))
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn[0] - drawn[1], (0.025, 0.975))), abs=0.08)
    assert p_value == pytest.approx(2 * (drawn[0] < drawn[1]).mean(), rel=0.1)


def test_what_lies_beyond_the_gaps_may_be_anywhere_there() -> None:
    """By hand: masses below, at one of two gaps an octave apart, above."""

    def simple(below: float, first: float, last: float, above: float) -> Posterior:
        gaps = (2.0, 3.0)
        mass = np.zeros(len(horizons_of(gaps)))
        mass[[0, 16, 32, 48]] = below, first, last, above
        return Posterior(gaps, mass, np.ones(2), np.ones(2), 3)

    a, b = simple(0.1, 0, 0.2, 0.7), simple(0, 0.6, 0.4, 0)
    low, high, p_value = difference((a,), (b,))
    # a <= b: all below, and the last gap, or above and so no less than it, against the last gap, which counts half.
    assert p_value == pytest.approx(2 * (0.1 + (0.2 + 0.7) * 0.4 / 2), abs=1e-12)
    assert (low, high) == (-math.inf, math.inf)
    low, high, _ = difference((simple(0, 0, 0.2, 0.8),), (b,))
    assert (low, high) == (0, math.inf)


def test_contrasts_turned_round_are_the_same(sweep: list[Run]) -> None:
    names = list(HORIZONS)
    runs = {name: [run for run in sweep if run.cell == name] for name in names}
    (there,), (back,) = (contrasts(runs[a] + runs[b], QUICK.tuning_seeds) for a, b in (names[:2], names[1::-1]))
    for name in ("ratio", "ci_low", "ci_high", "best_ci_low", "best_ci_high"):
        turned = name.replace("low", "LOW").replace("high", "low").replace("LOW", "high")
        a, b = getattr(there, name), getattr(back, turned)
        assert (a is None) == (b is None) and (a is None or a * b == pytest.approx(1, rel=1e-9))
    assert (there.p_value, there.best_p_value) == pytest.approx((back.p_value, back.best_p_value), rel=1e-9)


def test_a_cell_whose_other_rate_may_be_the_best_is_not_called_shorter_at_its_best() -> None:
    """The tuned rate of b reaches less far than a, and one that its tuning seeds passed over reaches further."""
    tuning = counts({g: 2 * (g <= 20) for g in GAPS}, 2, "b", 0.01, 100)
    tuning += counts({g: 2 * (g <= 10) for g in GAPS}, 2, "b", 0.1, 100)
    runs = tuning + counts({g: 8 * (g <= 20) for g in GAPS}, 8, "b", 0.01)
    a = counts({g: 8 * (g <= 80) for g in GAPS}, 8, "a", 0.01)
    alike, further = (counts({g: 8 * (g <= gap) for g in GAPS}, 8, "b", 0.1) for gap in (20, 160))
    (one,), (two,) = (contrasts(a + runs + other, [100, 101]) for other in (alike, further))
    assert one.p_value == two.p_value and one.p_value is not None and one.p_value < 0.01
    assert one.best_p_value is not None and one.best_p_value < 0.01
    assert two.best_p_value is not None and two.best_p_value > 0.5 and (two.best_ci_low or 0) < 1


def test_from_one_report_seed_there_is_no_p_value_and_the_other_pairs_are_not_corrected_for_it() -> None:
    three = reaching(20, "a") + reaching(160, "b") + grid({gap: [gap <= 20] for gap in GAPS}, "c")
    pairs = contrasts(three, ())
    assert [pair.p_value is None for pair in pairs] == [False, True, True]
    assert pairs[1] == Contrast("a", "c", pairs[1].ratio, "", None, None, None, None, None, None)
    assert pairs[:1] == contrasts(reaching(20, "a") + reaching(160, "b"), ())
    assert contrasts([], ()) == []


def test_p_values_are_corrected_for_all_pairs(sweep: list[Run]) -> None:
    alone = [
        contrasts([run for run in sweep if run.cell in pair], QUICK.tuning_seeds)[0]
        for pair in (("rnn", "gru"), ("rnn", "lstm"), ("gru", "lstm"))
    ]
    together = contrasts(sweep, QUICK.tuning_seeds)
    for name in ("p_value", "best_p_value"):
        assert [getattr(row, name) for row in together] == holm([getattr(row, name) for row in alone])
    assert dataclasses.replace(together[0], p_value=None, best_p_value=None) == dataclasses.replace(
        alone[0], p_value=None, best_p_value=None
    )


def test_holm_against_a_hand_calculation() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06], abs=1e-15)
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
