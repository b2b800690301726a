import dataclasses
import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from simulate import FULL, QUICK, Cell, make_run, simulate_runs

from lstm_jax.analysis.gaps.bootstrap import percentile_interval
from lstm_jax.analysis.gaps.horizon import Contrast, Horizon, contrasts, holm, horizons
from lstm_jax.sweeps.store.records import Run, columns_of


def grid(solved: Mapping[int, Sequence[bool]], cell: str = "lstm", rate: float = 1e-3, first: int = 0) -> list[Run]:
    """Make one run per gap and entry, the entries being seeds from `first` on."""
    return [
        make_run(cell=cell, gap=gap, seed=first + seed, learning_rate=rate, status="solved", solved_step=100, steps=100)
        if outcome
        else make_run(cell=cell, gap=gap, seed=first + seed, learning_rate=rate)
        for gap, outcomes in solved.items()
        for seed, outcome in enumerate(outcomes)
    ]


def some(count: int, of: int) -> list[bool]:
    return [index < count for index in range(of)]


def test_columns_are_those_of_the_files() -> None:
    assert columns_of(Horizon) == ["cell", "horizon", "ci_low", "ci_high", "bound"]
    assert columns_of(Contrast) == ["cell_a", "cell_b", "ratio", "ci_low", "ci_high", "p_value"]


def test_separated_seeds_give_the_whole_interval_between_the_gaps() -> None:
    (found,) = horizons(grid({10: [True] * 5, 20: [True] * 5, 40: [False] * 5, 80: [False] * 5}), ())
    assert found.bound == ""
    assert found.horizon == pytest.approx(20 * 2**0.5, rel=1e-9)
    assert found.ci_low is not None
    assert found.ci_low <= 20.0
    assert found.ci_high is not None
    assert found.ci_high >= 40.0


@pytest.mark.parametrize(
    ("outcomes", "horizon", "bound", "ends"),
    [
        ({5: 10, 10: 10, 20: 10}, 20.0, ">", (20.0, None)),
        ({5: 0, 10: 0, 20: 0}, 5.0, "<", (None, 5.0)),
        ({5: 10, 10: 10, 20: 9}, 20.0, ">", (20.0, None)),
        ({5: 0, 10: 0, 20: 10}, 5.0, "<", (None, None)),  # the wrong way round
        ({20: 10}, 20.0, ">", (20.0, None)),
        ({20: 0}, 20.0, "<", (None, 20.0)),
        ({20: 6}, 20.0, ">", (None, None)),
    ],
)
def test_bounds_are_measured_gaps_and_never_extrapolated(
    outcomes: dict[int, int], horizon: float, bound: str, ends: tuple[float | None, float | None]
) -> None:
    (found,) = horizons(grid({gap: some(count, 10) for gap, count in outcomes.items()}), ())
    assert (found.horizon, found.bound) == (horizon, bound)
    if len(outcomes) == 1 or bound == ">" or outcomes[20] == 0:
        assert (found.ci_low, found.ci_high) == ends


def test_every_number_lies_within_the_measured_gaps_and_the_interval_holds_its_estimate() -> None:
    rng = np.random.default_rng(0)
    for index in range(60):
        outcomes = {gap: list(rng.random(4) < rng.random()) for gap in (5, 10, 20, 40)}
        (found,) = horizons(grid(outcomes), (), num_bootstrap=50, seed=index)
        assert 5.0 <= (found.ci_low or 5.0) <= found.horizon <= (found.ci_high or 40.0) <= 40.0


@pytest.fixture(scope="module")
def sweep() -> list[Run]:
    rng = np.random.default_rng(3)
    cells = {"rnn": 3.3, "gru": 5.3, "lstm": 5.0}
    return [
        run
        for name, octave in cells.items()
        for run in simulate_runs(QUICK, Cell(octave, 2.0, np.array([1.0, 0.0, 3.0])), rng, name)
    ]


def test_same_runs_in_any_order_give_the_same_numbers(sweep: list[Run]) -> None:
    found = horizons(sweep, QUICK.tuning_seeds)
    assert [row.cell for row in found] == ["rnn", "gru", "lstm"]
    assert horizons(sweep, list(reversed(QUICK.tuning_seeds))) == found
    shuffled = random.Random(0).sample(sweep, len(sweep))
    assert sorted(horizons(shuffled, QUICK.tuning_seeds), key=str) == sorted(found, key=str)


def test_the_seed_of_the_bootstrap_matters_to_the_interval_alone() -> None:
    design = dataclasses.replace(FULL, num_rates=1, num_tuning=0)
    runs = simulate_runs(design, Cell(5.0, 2.0, np.zeros(1)), np.random.default_rng(0))
    (a,), (b,) = horizons(runs, (), seed=0), horizons(runs, (), seed=1)
    assert a.horizon == b.horizon
    assert (a.ci_low, a.ci_high) != (b.ci_low, b.ci_high)
    assert (a.ci_low, a.ci_high) == pytest.approx((b.ci_low, b.ci_high), rel=0.05)
    (wide,) = horizons(runs, (), confidence=0.99)
    assert (wide.ci_low or 0.0) < (a.ci_low or 0.0)
    assert (wide.ci_high or np.inf) > (a.ci_high or np.inf)


def test_a_cells_interval_does_not_depend_on_the_other_cells(sweep: list[Run]) -> None:
    found = horizons(sweep, QUICK.tuning_seeds)
    for row in found:
        assert horizons([run for run in sweep if run.cell == row.cell], QUICK.tuning_seeds) == [row]


def test_failed_runs_are_as_absent_as_missing_ones(sweep: list[Run]) -> None:
    without = [run for run in sweep if run.status != "failed"]
    assert len(without) < len(sweep)
    assert horizons(without, QUICK.tuning_seeds) == horizons(sweep, QUICK.tuning_seeds)


def test_a_diverged_run_counts_as_unsolved(sweep: list[Run]) -> None:
    unsolved = [
        dataclasses.replace(run, status="unsolved", score=run.chance, steps=2000) if run.status == "diverged" else run
        for run in sweep
    ]
    assert horizons(unsolved, QUICK.tuning_seeds) == horizons(sweep, QUICK.tuning_seeds)


def test_the_choice_of_learning_rate_widens_the_interval() -> None:
    # Two tuning seeds disagree on the better of two rates; on report seeds one of them learns two gaps further.
    gaps = (5, 10, 20, 40, 80, 160)
    tuning = grid({gap: [gap <= 20, gap <= 80] for gap in gaps}, rate=0.01, first=100)
    tuning += grid({gap: [gap <= 40, gap <= 40] for gap in gaps}, rate=0.1, first=100)
    report = grid({gap: [gap <= 80] * 10 for gap in gaps}, rate=0.01)
    other = grid({gap: [gap <= 20] * 10 for gap in gaps}, rate=0.1)
    (fixed,) = horizons(tuning + report, [100, 101])
    (chosen,) = horizons(tuning + report + other, [100, 101])
    assert chosen.ci_low is not None
    assert fixed.ci_low is not None
    assert chosen.ci_low < 0.8 * fixed.ci_low


def test_several_rates_without_tuning_seeds_are_an_error(sweep: list[Run]) -> None:
    with pytest.raises(ValueError, match="expected tuning seeds"):
        horizons(sweep, ())
    with pytest.raises(ValueError, match="expected tuning seeds"):
        contrasts(sweep, ())


def test_an_interrupted_sweep_has_the_horizons_it_can() -> None:
    runs = grid({5: [True] * 3, 10: [False] * 3}) + grid({5: [True]}, "gru", first=100)
    assert [row.cell for row in horizons(runs, [100])] == ["lstm"]
    assert horizons([], [100]) == []
    assert contrasts([], [100]) == []


def test_contrasts_are_of_pairs_with_a_measured_horizon_and_agree_with_the_horizons(sweep: list[Run]) -> None:
    always = grid({gap: [True] * 3 for gap in QUICK.gaps}, "best", rate=0.1)
    found = {row.cell: row for row in horizons(sweep + always, QUICK.tuning_seeds)}
    pairs = contrasts(sweep + always, QUICK.tuning_seeds)
    assert found["best"].bound == ">"
    assert [(pair.cell_a, pair.cell_b) for pair in pairs] == [("rnn", "gru"), ("rnn", "lstm"), ("gru", "lstm")]
    for pair in pairs:
        assert pair.ratio == pytest.approx(found[pair.cell_a].horizon / found[pair.cell_b].horizon, rel=1e-12)
        assert (pair.ci_low or 0.0) <= pair.ratio <= (pair.ci_high or np.inf)


def test_contrasts_turned_round_are_the_same() -> None:
    rng = np.random.default_rng(5)
    design = dataclasses.replace(FULL, num_rates=1, num_tuning=0)
    a = simulate_runs(design, Cell(5.0, 2.0, np.zeros(1)), rng, "a")
    b = simulate_runs(design, Cell(7.0, 2.0, np.zeros(1)), rng, "b")
    (there,), (back,) = contrasts(a + b, ()), contrasts(b + a, ())
    assert None not in (there.ci_low, there.ci_high, back.ci_low, back.ci_high)
    assert (back.ratio * there.ratio, back.p_value) == pytest.approx((1.0, there.p_value), rel=1e-12)
    assert (back.ci_low, back.ci_high) == pytest.approx((1 / there.ci_high, 1 / there.ci_low), rel=1e-12)  # type: ignore[operator]
    assert there.p_value == pytest.approx(2 / 2001, rel=1e-12)


def test_a_ratio_of_separated_cells_is_all_that_their_ends_allow() -> None:
    """One horizon lies between 10 and 20, the other between 20 and 40: their ratio between 10/40 and 20/20."""
    sooner, later = (grid({gap: [gap <= last] * 5 for gap in (5, 10, 20, 40, 80)}, f"{last}") for last in (10, 20))
    (found,) = contrasts(sooner + later, ())
    assert found.ratio == pytest.approx(0.5, rel=1e-6)
    assert (found.ci_low or 0.0) <= 0.25 and (found.ci_high or np.inf) >= 1.0 and found.p_value == 1.0


def test_a_seed_that_is_good_for_both_cells_cancels_in_their_ratio() -> None:
    # The same seeds reach 20 or 80 with both cells: the horizons are uncertain, their ratio is not.
    gaps = (5, 10, 20, 40, 80, 160)
    outcomes = {gap: [gap <= (20 if seed % 2 else 80) for seed in range(30)] for gap in gaps}
    opposite = {gap: [gap <= (80 if seed % 2 else 20) for seed in range(30)] for gap in gaps}
    (paired,) = contrasts(grid(outcomes, "a") + grid(outcomes, "b"), ())
    (crossed,) = contrasts(grid(outcomes, "a") + grid(opposite, "b"), ())
    widths = [np.log2((pair.ci_high or np.inf) / (pair.ci_low or 0.0)) for pair in (paired, crossed)]
    assert widths[0] < 0.3 * widths[1]
    assert paired.p_value == 1.0


def test_holm_against_a_hand_calculation() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06], abs=1e-15)
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_percentile_interval_leaves_out_as_many_on_both_sides() -> None:
    """Of 999 values 24 below and 24 above for 95%: the 25th from either end (Davison & Hinkley 1997, 5.3)."""
    values = np.random.default_rng(0).permutation(np.arange(1.0, 1000.0))
    assert percentile_interval(values, values + 0.5, 0.95) == (25.0, 975.5)
    assert percentile_interval(values, values, 0.50) == (250.0, 750.0)
