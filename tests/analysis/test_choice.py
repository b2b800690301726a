import dataclasses

import numpy as np
import pytest
from simulate import counts, make_run, simulated_runs

from benchmarks.coverage import QUICK
from lstm_jax.analysis.gaps.horizon import horizons
from lstm_jax.analysis.gaps.summary import summarise
from lstm_jax.sweeps.stages.choice import least_loss_runs
from lstm_jax.sweeps.store.records import Run

REPORTED = 50
RATES = (0.001, 0.01, 0.1)


def solved(rate: float, seed: int, *, gap: int = 10, step: int = 500, score: float = 0.99) -> Run:
    return make_run(learning_rate=rate, seed=seed, gap=gap, status="solved", solved_step=step, steps=step, score=score)


def tuned(*tuning: Run) -> float:
    """The one rate that is reported at all gaps, chosen by these runs."""
    gaps = {run.gap for run in tuning}
    report = [make_run(gap=gap, seed=REPORTED, learning_rate=rate) for gap in gaps for rate in RATES]
    rows = summarise([*tuning, *report], {run.seed for run in tuning})
    (rate,) = {row.learning_rate for row in rows}
    assert {row.gap for row in rows} == gaps
    return rate


def test_the_rate_that_solves_most_is_chosen_whatever_its_speed_and_score() -> None:
    runs = [solved(0.1, 0, step=1900), solved(0.1, 1, step=1900), solved(0.01, 0, step=10, score=1.0)]
    assert tuned(*runs, make_run(learning_rate=0.01, seed=1, score=0.98)) == 0.1


def test_all_gaps_together_choose_one_rate() -> None:
    one = [solved(0.01, 0, gap=5), solved(0.01, 0, gap=10), make_run(learning_rate=0.01, gap=20)]
    other = [solved(0.1, 0, gap=20, step=10), *(make_run(learning_rate=0.1, gap=gap) for gap in (5, 10))]
    assert tuned(*one, *other) == 0.01


def test_most_solved_is_a_fraction_so_that_a_missing_run_is_no_failure() -> None:
    runs = [solved(0.1, 0), make_run(learning_rate=0.1, seed=1), make_run(learning_rate=0.1, seed=2, status="failed")]
    others = [solved(0.01, 0), solved(0.01, 1), make_run(learning_rate=0.01, seed=2, status="failed")]
    assert tuned(*runs, *others) == 0.01
    assert tuned(solved(0.1, 0), solved(0.1, 1), solved(0.01, 0), solved(0.01, 1), solved(0.01, 2, step=10)) == 0.01
    slow = [solved(0.1, 0, step=900), solved(0.1, 1, step=900), make_run(learning_rate=0.1, seed=2, status="failed")]
    fast = [solved(0.01, 0, step=10), solved(0.01, 1, step=10), make_run(learning_rate=0.01, seed=2)]
    assert tuned(*slow, *fast) == 0.1, "all of two, against two of three that are faster"


def test_a_rate_is_not_chosen_on_the_one_run_that_did_not_crash() -> None:
    lone = [solved(0.1, 0, step=1), *(make_run(learning_rate=0.1, seed=seed, status="failed") for seed in range(1, 10))]
    for num_solved in (9, 6, 3):
        assert tuned(*lone, *counts({10: num_solved}, rate=0.01)) == 0.01
    assert tuned(*lone, *counts({10: 1}, rate=0.01)) == 0.1, "as one of five, which is more"
    everywhere = counts({5: 9, 10: 9, 20: 0}, rate=0.01)
    without_a_gap = counts({5: 10, 10: 9}, rate=0.1) + counts({20: 0}, of=0, rate=0.1)
    assert tuned(*everywhere, *without_a_gap) == 0.1, "a gap that says nothing is no solved one, nor a fast one"
    assert tuned(*counts({5: 9, 20: 0}, rate=0.01), *counts({5: 9}, rate=0.1)) == 0.01


def test_a_diverged_run_is_a_failure() -> None:
    runs = [solved(0.1, 0), make_run(learning_rate=0.1, seed=1, status="diverged", score=None)]
    assert tuned(*runs, solved(0.01, 0), solved(0.01, 1)) == 0.01


def test_then_speed_then_score_then_the_smaller_rate() -> None:
    assert tuned(solved(0.01, 0, step=90), solved(0.1, 0, step=80, score=0.99)) == 0.1
    assert tuned(make_run(learning_rate=0.01, score=0.3), make_run(learning_rate=0.1, score=0.4)) == 0.1
    assert tuned(make_run(learning_rate=0.1), make_run(learning_rate=0.01)) == 0.01


def test_a_run_without_score_neither_helps_nor_harms() -> None:
    runs = [make_run(learning_rate=0.01, seed=seed, score=value) for seed, value in enumerate((float("nan"), 0.4))]
    assert tuned(*runs, make_run(learning_rate=0.1, score=0.3), make_run(learning_rate=0.1, seed=1, score=0.3)) == 0.01


def test_report_seeds_never_influence_the_choice() -> None:
    for seed in range(20):
        runs = simulated_runs(dataclasses.replace(QUICK, shorter=((0.0, 0.05),)), seed)
        flipped = [
            run
            if run.seed in QUICK.tuning_seeds or run.status == "failed"
            else dataclasses.replace(run, status="unsolved", solved_step=None, steps=2000, score=0.9)
            if run.status == "solved"
            else dataclasses.replace(run, status="solved", solved_step=1, steps=1, score=1.0)
            for run in runs
        ]
        chosen, after = ({row.learning_rate for row in horizons(each, QUICK.tuning_seeds)} for each in (runs, flipped))
        assert chosen == after
        assert chosen == {row.learning_rate for row in summarise(runs, QUICK.tuning_seeds)}
        order = np.random.default_rng(seed).permutation(len(runs))
        assert chosen == {row.learning_rate for row in horizons([runs[place] for place in order], QUICK.tuning_seeds)}


def test_without_tuning_seeds_several_rates_are_an_error_and_one_is_the_choice() -> None:
    with pytest.raises(ValueError, match=r"lstm has runs with the learning rates 0\.01, 0\.1\. Name"):
        summarise([solved(0.1, 0), solved(0.01, 0)], ())
    assert [row.learning_rate for row in summarise([solved(0.1, 0), solved(0.1, 0, gap=20)], ())] == [0.1, 0.1]


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
