import dataclasses

import numpy as np
import pytest
from simulate import QUICK, draw_cell, make_run, simulate_runs

from lstm_jax.analysis.choice import least_loss_runs
from lstm_jax.analysis.gaps.summary import choose_learning_rate, summarise
from lstm_jax.sweeps.store.records import Run


def solved(rate: float, seed: int, *, gap: int = 10, step: int = 500, score: float = 0.99) -> Run:
    return make_run(learning_rate=rate, seed=seed, gap=gap, status="solved", solved_step=step, steps=step, score=score)


def test_the_rate_that_solves_most_is_chosen_whatever_its_speed_and_score() -> None:
    runs = [solved(0.1, 0, step=1900), solved(0.1, 1, step=1900), solved(0.01, 0, step=10, score=1.0)]
    assert choose_learning_rate([*runs, make_run(learning_rate=0.01, seed=1, score=0.98)]) == 0.1


def test_most_solved_is_a_fraction_so_that_a_missing_run_is_no_failure() -> None:
    runs = [solved(0.1, 0), make_run(learning_rate=0.1, seed=1), make_run(learning_rate=0.1, seed=2, status="failed")]
    assert choose_learning_rate([*runs, *[solved(0.01, 3)], make_run(learning_rate=0.01, status="failed")]) == 0.01
    more = [solved(0.1, 4, step=10), make_run(learning_rate=0.1, seed=5)]
    assert choose_learning_rate([*runs, *more, solved(0.01, 3, step=1900)]) == 0.01, "2 of 4 are fewer than 1 of 1"


def test_a_diverged_run_is_a_failure() -> None:
    runs = [solved(0.1, 0), make_run(learning_rate=0.1, seed=1, status="diverged", score=None)]
    assert choose_learning_rate([*runs, solved(0.01, 0), solved(0.01, 1)]) == 0.01


def test_among_equals_the_near_gaps_decide_before_speed() -> None:
    here = [make_run(learning_rate=rate) for rate in (0.001, 0.01, 0.1)]
    near = [solved(0.01, 0, gap=5), *(make_run(learning_rate=rate, gap=5) for rate in (0.001, 0.1))]
    far = [solved(0.1, 0, gap=640, step=10), *(make_run(learning_rate=rate, gap=640) for rate in (0.001, 0.01))]
    assert choose_learning_rate(here, elsewhere=near + far) == 0.01
    assert choose_learning_rate(here, elsewhere=far) == 0.1
    assert choose_learning_rate([*here[:2], solved(0.1, 0)], elsewhere=near) == 0.1  # its own gap comes first


def test_then_speed_then_score_then_the_smaller_rate() -> None:
    assert choose_learning_rate([solved(0.01, 0, step=90), solved(0.1, 0, step=80, score=0.99)]) == 0.1
    unsolved = [make_run(learning_rate=0.01, score=0.3), make_run(learning_rate=0.1, score=0.4)]
    assert choose_learning_rate(unsolved) == 0.1
    assert choose_learning_rate([make_run(learning_rate=0.1), make_run(learning_rate=0.01)]) == 0.01


def test_a_run_without_score_neither_helps_nor_harms() -> None:
    runs = [make_run(learning_rate=0.01, seed=seed, score=value) for seed, value in enumerate((float("nan"), 0.4))]
    assert choose_learning_rate([*runs, make_run(learning_rate=0.1, score=0.3)]) == 0.01


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
            else dataclasses.replace(run, status="unsolved", solved_step=None, steps=2000, score=rng.random())
            if run.status == "solved"
            else dataclasses.replace(run, status="solved", solved_step=1, steps=1, score=1.0)
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


# Where no run solves anything: by loss


def lossy(rate: float, seed: int, loss: float | None, status: str = "unsolved", cell: str = "lstm") -> Run:
    return dataclasses.replace(make_run(cell, learning_rate=rate, seed=seed, status=status), loss=loss)  # type: ignore[arg-type]


TUNING = (100, 101)
REPORT = [lossy(rate, seed, 9.0) for rate in (0.001, 0.01) for seed in (0, 1)]


def chosen(*tuning: Run, report: list[Run] = REPORT) -> set[float]:
    """The rates of the runs that are reported, of which there is one at most."""
    runs, without = least_loss_runs([*tuning, *report], TUNING)
    rates = {run.learning_rate for run in runs}
    assert len(rates) <= 1 and bool(rates) != bool(without) and not {run.seed for run in runs} & {*TUNING}
    return rates


def test_the_least_mean_loss_of_the_tuning_seeds_is_chosen() -> None:
    few = [lossy(0.001, 100, 2.0), lossy(0.001, 101, 2.2), lossy(0.01, 100, 1.0), lossy(0.01, 101, 3.0)]
    assert chosen(*few) == {0.01} and chosen(*few, lossy(0.01, 102, 0.1)) == {0.01}
    assert chosen(lossy(0.001, 100, 2.0), lossy(0.01, 100, 2.0)) == {0.001}, "of equals the smaller"


def test_a_crashed_tuning_run_says_nothing_and_its_rate_is_not_chosen_for_it() -> None:
    crashed = [lossy(0.001, seed, None, "failed") for seed in TUNING]
    assert chosen(*crashed, lossy(0.01, 100, 5.0)) == {0.01}
    assert chosen(lossy(0.001, 100, None, "failed"), lossy(0.001, 101, 2.0), lossy(0.01, 100, 3.0)) == {0.001}
    assert chosen(lossy(0.01, 100, 5.0)) == {0.01}, "a rate without a tuning run"


def test_a_diverged_tuning_run_is_the_worst_that_there_is() -> None:
    some = [lossy(0.001, 100, 0.1), lossy(0.001, 101, 0.1, "diverged")]
    assert chosen(*some, lossy(0.01, 100, 5.0)) == {0.01}
    all_diverged = [lossy(0.01, seed, None, "diverged") for seed in TUNING]
    assert chosen(*some, *all_diverged) == {0.001}, "of two that may diverge the one that may not"
    assert chosen(lossy(0.001, 100, float("nan")), lossy(0.01, 100, 5.0)) == {0.01}


def test_where_no_tuning_run_ended_nothing_is_reported() -> None:
    """Runs of several rates are never one result, nor is a rate chosen that diverged, or by nothing."""
    for status in ("failed", "diverged"):
        bad = [lossy(rate, seed, None, status) for rate in (0.001, 0.01) for seed in TUNING]
        assert chosen(*bad) == set()
    assert chosen() == set()
    good = [lossy(0.01, 100, 1.0, cell="gru"), lossy(0.01, 0, 1.0, cell="gru"), lossy(0.1, 100, 2.0, cell="gru")]
    runs, without = least_loss_runs([*REPORT, *good], TUNING)
    assert [(run.cell, run.seed) for run in runs] == [("gru", 0)] and without == ["lstm"]


def test_one_rate_is_not_chosen_and_several_need_tuning_seeds() -> None:
    one = [lossy(0.01, 0, None, "diverged"), lossy(0.01, 1, 2.0), lossy(0.01, 2, None, "failed"), lossy(0.01, 100, 1.0)]
    assert least_loss_runs(one, TUNING) == (one[:2], [])
    assert least_loss_runs(one, TUNING, (0.01,)) == (one[:2], [])
    assert least_loss_runs(one[:3], TUNING, (0.01, 0.1)) == ([], ["lstm"]), "two were to be tried"
    with pytest.raises(ValueError, match="expected tuning seeds to choose a learning rate by, got none: lstm"):
        least_loss_runs(REPORT, ())
