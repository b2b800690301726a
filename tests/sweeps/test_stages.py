"""Two stages: which runs are asked for, against outcomes that are known beforehand; and a sweep that trains them."""

from __future__ import annotations

import collections
import dataclasses
import math
import random

import programs
import pytest
import rich.console

from lstm_jax.api import load
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.job import Job, RunKey, Settings
from lstm_jax.sweeps.run import run_sweep
from lstm_jax.sweeps.stages.asked import FIRST_RATES, RATES, asked_for, num_runs, possible_runs, runs_of_cell
from lstm_jax.sweeps.stages.choice import least_loss_runs
from lstm_jax.sweeps.store.records import Record, Run
from lstm_jax.sweeps.views.status import sweep_status

CONFIG = SweepConfig.of(cells=("rnn", "lstm"), gaps=(40, 5, 10, 20), seeds=(0, 1, 2), tuning_seeds=(100, 101))
GAPS = (5, 10, 20, 40)


def outcome(best: float, reach: float, gap: int, key: RunKey) -> Run:
    """A cell that solves gaps up to `reach` at the rate `best`, half as far and later for each half-decade beside."""
    off = abs(math.log10(key.learning_rate / best)) / 0.5
    does = gap <= reach * 2.0 ** -round(off)
    return Run(
        job="", cell="rnn", task="gap", gap=gap, seed=key.seed, learning_rate=key.learning_rate, hidden_dim=8,
        num_params=100, forget_bias=None, status="solved" if does else "unsolved",
        solved_step=100 + 50 * round(off) if does else None,
        steps=200 if does else 1000, score=1.0 if does else 0.5 - 0.01 * off, loss=None, chance=0.125,
        duration_seconds=1.0,
    )  # fmt: skip


def simulate(best, reach, seed=0, failed=(), grid=CONFIG.grid):
    """All runs that are asked for, made in any order by workers that take some of them at a time."""
    rng, ended = random.Random(seed), {}
    while missing := [
        (gap, key)
        for gap, keys in runs_of_cell(grid, ended, failed).items()
        for key in keys
        if (gap, key) not in ended and gap not in failed
    ]:
        for gap, key in rng.sample(missing, rng.randint(1, len(missing))):
            ended[gap, key] = outcome(best, reach, gap, key)
    return runs_of_cell(grid, ended, failed)


def rates_at(asked, gap):
    return {key.learning_rate for key in asked[gap] if key.seed >= 100}


@pytest.mark.parametrize("best", RATES)
def test_the_best_rate_is_found_and_has_both_neighbours_or_lies_at_a_bound(best):
    asked = simulate(best, reach=1000)
    reported = {key.learning_rate for keys in asked.values() for key in keys if key.seed < 100}
    place = RATES.index(best)
    assert reported == {best} and set(RATES[max(0, place - 1) : place + 2]) <= rates_at(asked, 5)
    assert all(
        {key.seed for key in keys if key.learning_rate == best} == {0, 1, 2, 100, 101} for keys in asked.values()
    )


@pytest.mark.parametrize(("best", "reach"), [(0.01, 10), (0.0001, 20), (1.0, 80), (0.003, 0), (0.03, 5)])
def test_the_order_in_which_runs_end_makes_no_difference(best, reach):
    assert all(simulate(best, reach, seed) == simulate(best, reach, seed=99) for seed in range(8))


def test_a_rate_that_fails_at_two_gaps_is_tried_at_no_larger_one():
    asked = simulate(0.01, reach=5)
    assert [rates_at(asked, gap) for gap in GAPS[:2]] == [{0.003, 0.01, 0.03}] * 2
    assert rates_at(asked, 20) == {0.01} and rates_at(asked, 40) == set()
    assert [{key.seed for key in asked[gap]} >= {0, 1, 2} for gap in GAPS] == [True, True, True, False]


def test_one_solved_report_run_takes_the_others_to_larger_gaps():
    def lucky(gap, key):
        run = outcome(0.01, 5, gap, key)
        return dataclasses.replace(run, status="solved", solved_step=900) if (gap, key.seed) == (20, 1) else run

    ended, asked = {}, {}
    while asked != (asked := runs_of_cell(CONFIG.grid, ended)):
        ended |= {(gap, key): lucky(gap, key) for gap, keys in asked.items() for key in keys}
    assert RunKey(0, 0.01) in asked[40] and RunKey(100, 0.01) not in asked[40]


def test_ten_runs_that_fail_at_one_gap_are_enough():
    grid = CONFIG.replace(seeds=tuple(range(10))).grid
    asked = simulate(0.01, reach=5, grid=grid)
    assert [RunKey(9, 0.01) in asked[gap] for gap in GAPS] == [True, True, False, False]


def test_where_nothing_solves_the_score_decides():
    asked = simulate(0.0001, reach=0)
    assert {key.learning_rate for key in asked[5] if key.seed == 0} == {0.0001} and asked[40] == set()
    assert rates_at(asked, 10) == {0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001, 3e-5} and rates_at(asked, 20) == set()


def test_a_gap_whose_job_has_failed_is_not_waited_for():
    for failed in ((5,), (40,), (10, 20), GAPS):
        asked = simulate(0.001, reach=1000, failed=failed)
        assert failed == GAPS or all(RunKey(0, 0.001) in asked[gap] for gap in GAPS)


def test_runs_that_nobody_asked_for_change_nothing():
    """A directory may hold those of another command."""
    others = {(gap, RunKey(7, 0.1)): outcome(0.1, 1000, gap, RunKey(7, 0.1)) for gap in GAPS}
    others |= {(gap, RunKey(100, 0.1)): outcome(0.1, 1000, gap, RunKey(100, 0.1)) for gap in GAPS}
    assert runs_of_cell(CONFIG.grid, others) == runs_of_cell(CONFIG.grid, {})


@pytest.mark.parametrize("best", [1e-5, 0.001, 0.003, 0.1, 1.0])
def test_on_text_the_held_out_loss_chooses(best):
    """Its runs never solve, and their accuracy may say something else than their loss."""
    config = CONFIG.replace(task="translation@corpus=0123456789abcdef", gaps=(30,), cells=("rnn",))
    jobs = [Job(Settings("rnn", config.task, 30, config.model, config.training), possible_runs(config.grid))]

    def with_loss(key):
        off = abs(math.log10(key.learning_rate / best))
        run = dataclasses.replace(outcome(1.0, 0, 30, key), loss=2.0 + off, score=off)
        overflows = key.learning_rate > 5 * best
        return dataclasses.replace(run, status="diverged", loss=math.nan) if overflows else run

    records = {}
    while missing := [key for key in asked_for(config, jobs, records.values())[0].runs if key not in records]:
        records |= {key: Record(with_loss(key), ()) for key in missing}
    place = RATES.index(best)
    assert {key.learning_rate for key in records if key.seed in (0, 1, 2)} == {best}
    assert set(RATES[max(0, place - 1) : place + 2]) <= {key.learning_rate for key in records if key.seed >= 100}
    shown, without = least_loss_runs([each.run for each in records.values()], config.grid.tuning_seeds)
    assert {(run.learning_rate, run.seed) for run in shown} == {(best, seed) for seed in (0, 1, 2)} and not without


def test_on_text_nothing_is_reported_of_a_cell_that_always_diverges():
    ended = {}
    for _ in range(20):
        asked = runs_of_cell(CONFIG.replace(gaps=(30,)).grid, ended, by_loss=True)
        ended = {(30, key): dataclasses.replace(outcome(1.0, 0, 30, key), status="diverged") for key in asked[30]}
    tried = {rate for rate in RATES if rate <= max(FIRST_RATES)}
    assert rates_at(asked, 30) == tried and all(key.seed >= 100 for key in asked[30])


def test_on_text_a_job_that_fails_asks_for_no_other_rate():
    """Nor for report runs at the one rate of which a run has diverged: the report would not show them."""
    grid = CONFIG.replace(gaps=(30,)).grid
    key = RunKey(100, FIRST_RATES[0])
    ended = {(30, key): dataclasses.replace(outcome(1.0, 0, 30, key), status="diverged")}
    asked = runs_of_cell(grid, ended, failed=[30], by_loss=True)
    assert rates_at(asked, 30) == set(FIRST_RATES) and all(key.seed >= 100 for key in asked[30])


def test_rates_given_by_hand_are_a_full_grid():
    config = CONFIG.replace(learning_rates=(0.1, 0.2))
    jobs = [Job(Settings("rnn", "gap", 5, config.model, config.training), possible_runs(config.grid))]
    assert asked_for(config, jobs, []) == jobs and len(jobs[0].runs) == 2 * 5
    assert num_runs(config.grid) == 2 * 4 * 2 * 5 and num_runs(CONFIG.grid) == 2 * 4 * (3 * 2 + 3)


def test_without_tuning_seeds_there_must_be_one_rate():
    with pytest.raises(ConfigError, match="tuning_seeds: got none; expected at least one, to choose a learning rate"):
        CONFIG.replace(tuning_seeds=())
    assert CONFIG.replace(tuning_seeds=(), learning_rates=(0.1,))


def test_a_sweep_trains_what_is_asked_for_and_goes_on_where_it_stood(tmp_path, monkeypatch):
    programs.share(monkeypatch)
    config = SweepConfig.of(
        cells=("rnn",), gaps=(1, 2, 30), seeds=(0,), tuning_seeds=(100,), hidden_dim=8, batch_size=8, embedding_dim=4,
        max_steps=60, chunk_steps=20, eval_size=16, executor="serial", out=tmp_path / "whole",
    )  # fmt: skip
    console = rich.console.Console(quiet=True)
    whole = run_sweep(config, console)
    rates = collections.Counter(run.learning_rate for run in whole.rows if run.seed == 0)
    assert len(rates) == 1 and set(rates.values()) == {2}, "nothing solves: no run at the third gap"
    assert {run.learning_rate for run in whole.rows if run.seed == 100} >= set(FIRST_RATES)
    assert load(config.out).records == whole.records
    status = sweep_status(config, config.out, [])
    assert status.num_runs == status.num_ended == len(whole.records) and status.count("done") == 3
    assert run_sweep(config, console).num_trained == 0
    # The same in pieces, by another command in between: records of gap 2 alone, then all.
    parts = config.replace(out=tmp_path / "parts")
    run_sweep(parts.replace(gaps=(2,)), console)
    again = run_sweep(parts, console)

    def numbers(result):
        return [dataclasses.replace(run, duration_seconds=0.0) for run in result.rows]

    assert numbers(again) == numbers(whole)
