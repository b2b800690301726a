import dataclasses

import numpy as np
import pytest
from simulate import QUICK, draw_cell, make_run, simulate_runs

from lstm_jax.analysis.summary import choose_learning_rate, summarise
from lstm_jax.sweeps.records import Run


def solved(rate: float, seed: int, *, gap: int = 10, step: int = 500, accuracy: float = 0.99) -> Run:
    return make_run(
        learning_rate=rate, seed=seed, gap=gap, status="solved", solved_step=step, steps=step, accuracy=accuracy
    )


def test_the_rate_that_solves_most_is_chosen_whatever_its_speed_and_accuracy() -> None:
    runs = [solved(0.1, 0, step=1900), solved(0.1, 1, step=1900), solved(0.01, 0, step=10, accuracy=1.0)]
    assert choose_learning_rate([*runs, make_run(learning_rate=0.01, seed=1, accuracy=0.98)]) == 0.1


def test_most_solved_is_a_fraction_so_that_a_missing_run_is_no_failure() -> None:
    runs = [solved(0.1, 0), make_run(learning_rate=0.1, seed=1), make_run(learning_rate=0.1, seed=2, status="failed")]
    assert choose_learning_rate([*runs, *[solved(0.01, 3)], make_run(learning_rate=0.01, status="failed")]) == 0.01


def test_a_diverged_run_is_a_failure() -> None:
    runs = [solved(0.1, 0), make_run(learning_rate=0.1, seed=1, status="diverged", accuracy=None)]
    assert choose_learning_rate([*runs, solved(0.01, 0), solved(0.01, 1)]) == 0.01


def test_among_equals_the_near_gaps_decide_before_speed() -> None:
    here = [make_run(learning_rate=rate) for rate in (0.001, 0.01, 0.1)]
    near = [solved(0.01, 0, gap=5), *(make_run(learning_rate=rate, gap=5) for rate in (0.001, 0.1))]
    far = [solved(0.1, 0, gap=640, step=10), *(make_run(learning_rate=rate, gap=640) for rate in (0.001, 0.01))]
    assert choose_learning_rate(here, elsewhere=near + far) == 0.01
    assert choose_learning_rate(here, elsewhere=far) == 0.1
    assert choose_learning_rate([*here[:2], solved(0.1, 0)], elsewhere=near) == 0.1  # its own gap comes first


def test_then_speed_then_accuracy_then_the_smaller_rate() -> None:
    assert choose_learning_rate([solved(0.01, 0, step=90), solved(0.1, 0, step=80, accuracy=0.99)]) == 0.1
    unsolved = [make_run(learning_rate=0.01, accuracy=0.3), make_run(learning_rate=0.1, accuracy=0.4)]
    assert choose_learning_rate(unsolved) == 0.1
    assert choose_learning_rate([make_run(learning_rate=0.1), make_run(learning_rate=0.01)]) == 0.01


def test_a_run_without_accuracy_neither_helps_nor_harms() -> None:
    runs = [make_run(learning_rate=0.01, seed=seed, accuracy=value) for seed, value in enumerate((float("nan"), 0.4))]
    assert choose_learning_rate([*runs, make_run(learning_rate=0.1, accuracy=0.3)]) == 0.01


@pytest.mark.parametrize("runs", [[], [make_run(status="failed")], [make_run(gap=5), make_run(gap=6)]])
def test_there_has_to_be_something_to_choose_from(runs: list[Run]) -> None:
    with pytest.raises(ValueError, match="finished runs of one cell at one gap"):
        choose_learning_rate(runs)


def test_report_seeds_never_influence_the_choice() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        design = dataclasses.replace(QUICK, landscapes=("tied",))
        runs = simulate_runs(design, draw_cell(design, rng), rng)
        flipped = [
            run
            if run.seed in design.tuning_seeds or run.status == "failed"
            else dataclasses.replace(run, status="unsolved", solved_step=None, steps=2000, accuracy=rng.random())
            if run.status == "solved"
            else dataclasses.replace(run, status="solved", solved_step=1, steps=1, accuracy=1.0)
            for run in runs
        ]
        chosen, after = (
            {row.gap: row.learning_rate for row in summarise(r, design.tuning_seeds)} for r in (runs, flipped)
        )
        assert chosen == after
        tuning = [run for run in runs if run.seed in design.tuning_seeds]
        for gap, rate in chosen.items():
            here = [run for run in tuning if run.gap == gap]
            assert rate == choose_learning_rate(here, elsewhere=[run for run in tuning if run.gap != gap])


def test_without_tuning_seeds_several_rates_are_an_error_and_one_is_the_choice() -> None:
    with pytest.raises(ValueError, match=r"lstm has runs at gap 10 with the learning rates 0\.01, 0\.1\. Name"):
        summarise([solved(0.1, 0), solved(0.01, 0)], ())
    assert [row.learning_rate for row in summarise([solved(0.1, 0), solved(0.01, 0, gap=20)], ())] == [0.1, 0.01]
