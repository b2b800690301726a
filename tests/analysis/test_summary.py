import dataclasses
import math
import random

import numpy as np
import pytest
from simulate import CHANCE, make_run, runs_of, simulated_runs

from benchmarks.coverage import QUICK, draw_cell, draw_effects, simulate
from lstm_jax.analysis.gaps.summary import Summary, median_solved_step, summarise
from lstm_jax.sweeps.stages.run_table import tabulate
from lstm_jax.sweeps.store.records import Run, columns_of


def solved(step: int, seed: int = 0, **changes: float) -> Run:
    run = make_run(seed=seed, status="solved", solved_step=step, steps=step, score=1.0)
    return dataclasses.replace(run, **changes)  # type: ignore[arg-type]


def test_columns_are_those_of_the_file() -> None:
    assert ",".join(columns_of(Summary)) == (
        "cell,gap,learning_rate,num_runs,num_solved,num_diverged,solve_rate,ci_low,ci_high,score,chance,"
        "median_solved_step,measure,solved_at,at_edge"
    )


def test_chance_is_that_of_the_gap() -> None:
    runs = [dataclasses.replace(make_run(seed=seed, gap=gap), chance=1 / gap) for gap in (5, 10) for seed in range(3)]
    assert [(row.gap, row.chance) for row in summarise(runs, ())] == [(5, 0.2), (10, 0.1)]


@pytest.mark.parametrize(("num_solved", "num_runs"), [(0, 3), (3, 3), (3, 10), (15, 30), (29, 30)])
def test_interval_of_the_solve_rate_is_wilsons(num_solved: int, num_runs: int) -> None:
    runs = [solved(100, seed) for seed in range(num_solved)]
    (row,) = summarise([*runs, *(make_run(seed=seed) for seed in range(num_solved, num_runs))], ())
    z, p = 1.959963984540054, num_solved / num_runs
    centre = (p + z**2 / (2 * num_runs)) / (1 + z**2 / num_runs)
    half = z * math.sqrt(p * (1 - p) / num_runs + z**2 / (4 * num_runs**2)) / (1 + z**2 / num_runs)
    assert row.solve_rate == p
    assert (row.ci_low, row.ci_high) == pytest.approx((max(0.0, centre - half), min(1.0, centre + half)), abs=1e-12)


def test_interval_against_a_published_value() -> None:
    runs = [*(solved(100, seed) for seed in range(81)), *(make_run(seed=seed) for seed in range(81, 263))]
    (row,) = summarise(runs, ())
    # Newcombe (1998), table I: 81 of 263, score method without continuity correction.
    assert (row.ci_low, row.ci_high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_median_is_kaplan_meiers_with_diverged_runs_censored_at_the_budget() -> None:
    runs = [solved(step, seed) for seed, step in enumerate((100, 200, 300))]
    runs += [make_run(seed=3), make_run(seed=4, status="diverged", steps=50)]
    # Survival 4/5, 3/5, 2/5: the third. Censored at 50 instead, the diverged run would make it the second: 3/4, 2/4.
    assert median_solved_step(runs, 2000) == 300.0
    (row,) = summarise(runs, ())
    assert (row.median_solved_step, row.num_runs, row.num_solved, row.num_diverged) == (300.0, 5, 3, 1)


def test_median_is_reached_by_exactly_half_and_not_by_less() -> None:
    assert median_solved_step([solved(10), solved(20), make_run(), make_run()], 2000) == 20.0
    assert median_solved_step([solved(10), make_run(), make_run()], 2000) is None
    assert median_solved_step([make_run()], 2000) is None
    for half in range(1, 40):  # products of fractions must not miss one half by rounding
        runs = [solved(step) for step in range(1, half + 1)] + [make_run()] * half
        assert median_solved_step(runs, 2000) == float(half)


def test_a_median_that_is_flat_at_one_half_is_the_middle_of_that_piece() -> None:
    """As R has it: survfit(Surv(c(100, 200, 300, 400)) ~ 1) says 250."""
    steps = [100, 200, 300, 400]
    assert median_solved_step([solved(step) for step in steps], 2000) == 250.0 == np.median(steps)
    assert median_solved_step([solved(step) for step in (*steps, 500)], 2000) == 300.0
    assert median_solved_step([solved(100), solved(200), solved(700), make_run()], 2000) == 450.0


def test_accuracy_counts_diverged_runs_as_chance_and_leaves_out_what_was_not_evaluated() -> None:
    runs = [
        make_run(seed=0, score=0.9),
        make_run(seed=1, status="diverged", score=None),
        make_run(seed=2, status="diverged", score=0.7),
        make_run(seed=3, score=None),
        make_run(seed=4, score=float("nan")),
    ]
    (row,) = summarise(runs, ())
    assert row.score == pytest.approx((0.9 + 2 * CHANCE) / 3, abs=1e-15)
    (unknown,) = summarise(runs[3:], ())
    assert unknown.score is None


def test_a_run_that_solved_and_overflowed_later_is_solved_and_ends_at_chance() -> None:
    runs = [solved(100, 0), solved(200, 1, score=float("nan"))]
    (row,) = summarise(runs, ())
    assert (row.num_solved, row.num_diverged, row.median_solved_step) == (2, 0, 150.0)
    assert row.score == pytest.approx((1.0 + CHANCE) / 2, abs=1e-15)


def test_tuning_and_failed_runs_are_not_reported_and_what_has_none_yet_is_left_out() -> None:
    runs = [
        solved(10, 0),
        solved(10, 1, status="failed"),  # type: ignore[arg-type]
        solved(10, 100),
        solved(10, 100, gap=20),
        solved(10, 2, gap=40, status="failed"),  # type: ignore[arg-type]
    ]
    assert [(row.gap, row.num_runs) for row in summarise(runs, [100])] == [(10, 1)]
    assert summarise([], [100]) == []


def test_a_rate_chosen_but_not_yet_run_on_report_seeds_is_left_out() -> None:
    runs = [solved(10, 100), make_run(seed=100, learning_rate=0.1), solved(10, 0, learning_rate=0.1)]
    assert summarise(runs, [100]) == []


def test_cells_come_in_order_of_appearance_gaps_ascending_and_rows_of_runs_in_any_order() -> None:
    design = dataclasses.replace(QUICK, num_report=5)
    runs = simulated_runs(design, 1, {"b": 4.0, "a": 5.0})
    rows = summarise(runs, design.tuning_seeds)
    assert [(row.cell, row.gap) for row in rows] == [(cell, gap) for cell in "ba" for gap in design.gaps]
    shuffled = random.Random(0).sample(runs, len(runs))
    key = lambda row: (row.cell, row.gap)  # noqa: E731
    assert sorted(summarise(shuffled, design.tuning_seeds), key=key) == sorted(rows, key=key)


def test_runs_become_the_table_that_they_were_made_from() -> None:
    rng = np.random.default_rng(0)
    made = simulate(QUICK, draw_cell(QUICK, rng), draw_effects(QUICK, rng), rng)
    (table,) = tabulate(runs_of(made))
    for name in ("seeds", "gaps", "learning_rates", "finished", "solved", "steps"):
        np.testing.assert_array_equal(getattr(table, name), getattr(made, name))


def test_two_runs_of_the_same_place_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"several of lstm at gap 10, learning rate 0\.001, seed 7"):
        summarise([make_run(seed=7), make_run(seed=7)], ())


def test_edge_of_the_grid() -> None:
    """Of the rates that were tried, whatever others there might be; a single one was not tuned."""
    best = [solved(10, learning_rate=0.01, seed=seed) for seed in (0, 100)]
    others = {rate: make_run(gap=10, learning_rate=rate, seed=100) for rate in (0.1, 0.001)}
    for rates, at_edge in (((0.1,), True), ((0.001,), True), ((0.1, 0.001), False), ((), False)):
        (row,) = summarise([*best, *(others[rate] for rate in rates)], (100,))
        assert (row.learning_rate, row.at_edge) == (0.01, at_edge)
