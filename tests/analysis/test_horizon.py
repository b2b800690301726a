import dataclasses
import random

import numpy as np
import pytest
from simulate import counts, grid, make_run, simulated_runs

from benchmarks.coverage import QUICK
from lstm_jax.analysis.gaps.horizon import Horizon, horizons, monotone_p
from lstm_jax.analysis.gaps.summary import summarise
from lstm_jax.sweeps.store.records import Run, columns_of

CELLS = {"rnn": 3.3, "gru": 5.3, "lstm": 5.0}


def horizon(runs: list[Run], tuning: tuple[int, ...] = ()) -> Horizon:
    (found,) = horizons(runs, tuning)
    return found


@pytest.fixture(scope="module")
def sweep() -> list[Run]:
    return simulated_runs(seed=3, horizons=CELLS, shorter=np.array([1.0, 0.0, 3.0]))


def test_columns_are_those_of_the_file() -> None:
    assert columns_of(Horizon) == (
        ["cell", "learning_rate", "horizon", "ci_low", "ci_high", "bound", "best_high", "monotone_p", "num_seeds"]
    )


def test_seeds_that_agree_leave_nearly_all_between_two_gaps() -> None:
    found = horizon(counts({10: 10, 20: 10, 40: 0, 80: 0}))
    assert (found.bound, found.num_seeds, found.monotone_p) == ("", 10, 1.0)
    assert found.horizon == pytest.approx(20 * 2**0.5, rel=0.02)
    assert found.ci_low == pytest.approx(20, rel=0.1) and found.ci_high == pytest.approx(40, rel=0.1)


@pytest.mark.parametrize(
    ("outcomes", "value", "bound", "ends"),
    [
        ({5: 10, 10: 10, 20: 10}, 20, ">", (20, None)),
        ({5: 0, 10: 0, 20: 0}, 5, "<", (None, 5)),
        ({20: 10}, 20, ">", (20, None)),
        ({20: 0}, 20, "<", (None, 20)),
    ],
)
def test_a_bound_is_a_measured_gap_and_nothing_is_extrapolated(
    outcomes: dict[int, int], value: float, bound: str, ends: tuple[float | None, float | None]
) -> None:
    found = horizon(counts(outcomes))
    assert (found.horizon, found.bound, (found.ci_low, found.ci_high)) == (value, bound, ends)


def test_every_number_lies_within_the_measured_gaps_and_the_interval_holds_its_estimate() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        found = horizon(grid({gap: list(rng.random(4) < rng.random()) for gap in (5, 10, 20, 40)}))
        assert 5 <= (found.ci_low or 5) <= (found.horizon or 20) <= (found.ci_high or 40) <= (found.best_high or 40)
        assert (found.horizon is None) <= (found.ci_low is found.ci_high is None)


# Where solve rates do not fall with the gap


def test_an_interval_holds_each_fall_through_one_half_and_the_rise_is_flagged() -> None:
    """Ten seeds that agree, which no falling curve fits: no interval may exclude where they say half is crossed."""
    cases = {
        (0, 10, 10, 10, 0, 0): [40 * 2**0.5],
        (10, 0, 10, 10, 0, 0): [5 * 2**0.5, 40 * 2**0.5],
        (10, 10, 10, 0, 0, 10): [20 * 2**0.5, np.inf],
        (10, 0, 10, 6, 1, 0): [5 * 2**0.5, 40 * 2**0.2],
    }
    for solved, falls in cases.items():
        found = horizon(counts(dict(zip(QUICK.gaps, solved, strict=True))))
        assert found.monotone_p == pytest.approx(0.001)
        for fall in falls:
            assert (found.ci_low or 0) <= fall * 1.001 and (found.ci_high or np.inf) >= fall * 0.999, (solved, found)
        assert (found.ci_high is None) == (falls[-1] == np.inf)


def test_a_side_is_claimed_only_where_the_data_exclude_the_other() -> None:
    """Neither `<` where the largest gap is solved, nor `>` or `<` where both ends are open."""
    for solved, of in (({5: 0, 10: 0, 20: 10}, 10), ({5: 0, 10: 0, 20: 2}, 2), ({20: 5}, 10), ({20: 6}, 10)):
        found = horizon(counts(solved, of))
        assert (found.bound, found.ci_low, found.ci_high) == ("", None, None)
    assert horizon(counts({5: 0, 10: 0, 20: 10})).horizon is None
    almost = horizon(counts({5: 4, 10: 3, 20: 4, 40: 4, 80: 4} | {160: 3}, of=4))
    assert almost.bound == ">" and almost.ci_low is not None and almost.ci_low < 160, "certain on 3 of 4"


def test_the_p_value_of_falling_rates_against_draws_from_its_null() -> None:
    """Rates that are flat at one half, the hardest null: p < 0.05 in at most 5% of draws, but for their noise."""
    rng, finished = np.random.default_rng(0), np.full(5, 8.0)
    found = [monotone_p(rng.binomial(8, 0.5, 5).astype(float), finished) for _ in range(60)]
    assert np.mean(np.array(found) < 0.05) <= 0.12 and len(set(found)) > 30
    assert monotone_p(np.array([8.0, 7, 7, 0]), np.full(4, 8.0)) == 1.0
    assert monotone_p(np.array([8.0, 0, 0, 8]), np.full(4, 8.0)) == 0.001


# What a cell's numbers depend on


def test_same_runs_in_any_order_give_the_same_numbers(sweep: list[Run]) -> None:
    found = horizons(sweep, QUICK.tuning_seeds)
    assert [row.cell for row in found] == list(CELLS)
    assert horizons(sweep, list(reversed(QUICK.tuning_seeds))) == found
    shuffled = random.Random(0).sample(sweep, len(sweep))
    assert sorted(horizons(shuffled, QUICK.tuning_seeds), key=str) == sorted(found, key=str)


def test_other_cells_and_their_seeds_change_nothing(sweep: list[Run]) -> None:
    found = horizons(sweep, QUICK.tuning_seeds)
    many = simulated_runs(dataclasses.replace(QUICK, num_report=30), horizons={"other": 5.0})
    assert horizons([*sweep, *many], QUICK.tuning_seeds)[: len(found)] == found
    for row in found:
        assert horizons([run for run in sweep if run.cell == row.cell], QUICK.tuning_seeds) == [row]


def test_failed_runs_are_as_absent_as_missing_ones_and_diverged_ones_unsolved(sweep: list[Run]) -> None:
    found = horizons(sweep, QUICK.tuning_seeds)
    without = [run for run in sweep if run.status != "failed"]
    assert len(without) < len(sweep) and horizons(without, QUICK.tuning_seeds) == found
    unsolved = [
        dataclasses.replace(run, status="unsolved", score=run.chance, steps=2000) if run.status == "diverged" else run
        for run in sweep
    ]
    assert unsolved != sweep and horizons(unsolved, QUICK.tuning_seeds) == found


def test_the_horizon_is_that_of_the_tuned_rate_as_in_the_summary(sweep: list[Run]) -> None:
    """One rate a cell; the report runs of others move `best_high` alone, which holds what the best of them reaches."""
    summaries = summarise(sweep, QUICK.tuning_seeds)
    for row in horizons(sweep, QUICK.tuning_seeds):
        assert {each.learning_rate for each in summaries if each.cell == row.cell} == {row.learning_rate}
    tuning = counts({10: 2, 20: 1, 40: 0}, 2, first=100) + counts({10: 2, 20: 0, 40: 0}, 2, rate=0.1, first=100)
    report = counts({10: 8, 20: 4, 40: 0}, 8)
    worse = horizon(tuning + report + counts({10: 8, 20: 0, 40: 0}, 8, rate=0.1), (100, 101))
    better = horizon(tuning + report + counts({10: 8, 20: 8, 40: 8}, 8, rate=0.1), (100, 101))
    assert better.best_high is None and worse.best_high is not None and worse.best_high == worse.ci_high
    assert dataclasses.replace(better, best_high=worse.best_high) == worse
    assert worse == dataclasses.replace(horizon(report), best_high=worse.best_high)


def test_one_tuning_seed_that_errs_moves_the_horizon_and_its_own_interval_alone() -> None:
    """The interval is for the rate that was chosen, well or badly: [ci_low, best_high] holds the other one too."""
    tuning = counts({10: 1, 20: 0, 40: 0}, 1, rate=0.1, first=100) + counts({10: 0, 20: 0, 40: 0}, 1, first=100)
    runs = tuning + counts({10: 8, 20: 0, 40: 0}, 8, rate=0.1) + counts({10: 8, 20: 8, 40: 0}, 8)
    found = horizon(runs, (100,))
    assert found.learning_rate == 0.1 and found.ci_high is not None and found.ci_high < 21
    assert found.best_high is not None and found.best_high > 36


def test_from_one_report_seed_no_end_is_closed_and_no_side_claimed() -> None:
    for outcomes in ({10: [True], 20: [False]}, {10: [True], 20: [True]}, {10: [False], 20: [False]}):
        found = horizon(grid(outcomes) + grid({10: [True] * 9, 20: [True] * 9}, first=100), tuple(range(100, 109)))
        assert (found.num_seeds, found.ci_low, found.ci_high, found.best_high, found.bound) == (1, None, None, None, "")
    two = horizon(grid({10: [True] * 2, 20: [True] * 2, 40: [False] * 2, 80: [False] * 2}))
    assert two.num_seeds == 2 and None not in (two.ci_low, two.ci_high)


def test_several_rates_without_tuning_seeds_are_an_error(sweep: list[Run]) -> None:
    with pytest.raises(ValueError, match="expected tuning seeds"):
        horizons(sweep, ())


def test_an_interrupted_sweep_has_the_horizons_it_can() -> None:
    runs = grid({5: [True] * 3, 10: [False] * 3}) + grid({5: [True]}, "gru", first=100)
    runs += [make_run("rnn", seed=seed, learning_rate=rate) for seed in (0, 1) for rate in (0.1, 0.01)]
    assert [row.cell for row in horizons(runs, [100])] == ["lstm"]
    assert horizons([], [100]) == []
