"""Negative controls: that they pass where they should, and that each can fail."""

from __future__ import annotations

import csv
import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import controls
from experiments.control import guessing, judge
from experiments.control.tasks import Present, Shuffled
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.job import Job
from lstm_jax.sweeps.plan import sized
from lstm_jax.sweeps.store.records import Run
from lstm_jax.tasks.gap import Gap
from lstm_jax.training import Hypers

GAPS = (5, 10, 20, 40)


def run_of(cell="lstm", gap=5, seed=0, solved_step=None):
    return Run(
        job="", cell=cell, task="gap", gap=gap, seed=seed, learning_rate=0.01, hidden_dim=8, num_params=100,
        forget_bias=None, status="unsolved" if solved_step is None else "solved", solved_step=solved_step, steps=600,
        score=1.0, loss=None, chance=0.125, duration_seconds=1.0,
    )  # fmt: skip


def runs_of(step_of, cells=("lstm",), num_seeds=12):
    rng = np.random.default_rng(0)
    places = itertools.product(cells, GAPS, range(num_seeds))
    return [run_of(cell, gap, seed, step_of(gap, rng)) for cell, gap, seed in places]


# Tasks


def test_shuffled_labels_are_those_of_other_sequences():
    """As many of each, and as often right as chance."""
    batch = Shuffled(5).sample(jax.random.key(0), 4000)
    plain = Gap(5).sample(jax.random.key(0), 4000)
    np.testing.assert_array_equal(batch.inputs, plain.inputs)
    np.testing.assert_array_equal(np.sort(batch.targets[0]), np.sort(plain.targets[0]))
    share = (np.asarray(batch.targets) == Gap(5).solve(np.asarray(batch.inputs))).mean()
    assert share == pytest.approx(1 / 8, abs=4 * (7 / 64 / 4000) ** 0.5)
    held_out = Shuffled(5).held_out(256)
    assert (np.asarray(held_out.targets) == Gap(5).solve(np.asarray(held_out.inputs))).mean() < 0.3


@pytest.mark.parametrize("options", [{}, {"length": 12}, {"filler": "blank"}])
def test_the_fact_is_right_before_the_query(options):
    task = Present(7, **options)
    batch = task.sample(jax.random.key(1), 50)
    assert task.distance == 1 and batch.inputs.shape == (task.num_steps, 50)
    np.testing.assert_array_equal(batch.inputs[-2], batch.targets[0])
    assert (np.asarray(batch.inputs[:-2]) >= task.num_facts).all()
    np.testing.assert_array_equal(task.solve(np.asarray(batch.inputs)), batch.targets)


def test_the_readout_alone_is_trained():
    options = {"optimizer": "experiments.control.tasks:readout_adam", "hidden_dim": 4, "learning_rates": (0.01,)}
    training = Job(sized(SweepConfig.of(**options), "lstm", 3)).training()
    hypers = Hypers(jnp.uint32(0), jnp.float32(0.01), jnp.float32(1.0))
    before = training.init(hypers)
    after, _ = training.advance(before, hypers, 2)
    moved = jax.tree_util.tree_map(lambda a, b: bool((a != b).any()), before.params, after.params)
    by_path = {jax.tree_util.keystr(path): value for path, value in jax.tree_util.tree_leaves_with_path(moved)}
    assert {path for path, has_moved in by_path.items() if has_moved} == {path for path in by_path if "readout" in path}
    assert 0 < sum(by_path.values()) < len(by_path)


# Verdicts


def test_a_run_that_solves_shuffled_labels_fails_the_control():
    assert judge.shuffled_labels([run_of(seed=seed) for seed in range(200)]).passed
    found = judge.shuffled_labels([run_of(seed=0, solved_step=50), *(run_of(seed=seed) for seed in range(1, 200))])
    assert not found.passed and found.sentence.startswith("FAIL: shuffled labels: 1 of 200 runs solved")


def test_where_distance_matters_the_distance_free_control_fails():
    """It passes in the test below as often as its intervals say."""
    slower = judge.distance_free(runs_of(lambda gap, rng: int(rng.integers(100, 200) * np.log2(gap))))
    assert not slower.passed and "horizons within the gaps: 0" in slower.measured
    stops = judge.distance_free(runs_of(lambda gap, rng: 100 if gap < 20 else None))
    assert not stops.passed and "horizons within the gaps: 1" in stops.measured


def test_the_interval_of_a_slope_holds_nothing_as_often_as_it_says():
    """1,000 cells whose runs solve when they will: 95% within three standard errors."""
    rng = np.random.default_rng(0)
    holds = 0
    # What a slope is made of alone: to check the types of 48,000 records would take all of this test's time.
    places = [(gap, seed) for gap in GAPS for seed in range(12)]
    for _ in range(1000):
        steps = rng.integers(10**6, size=len(places)).tolist()
        runs = [
            types.SimpleNamespace(gap=gap, seed=seed, solved_step=step)
            for (gap, seed), step in zip(places, steps, strict=True)
        ]
        low, _, high = judge.slope(runs, 0.95)
        holds += low <= 0.0 <= high
    assert abs(holds / 1000 - 0.95) < 3 * (0.95 * 0.05 / 1000) ** 0.5


def test_a_frozen_cell_that_reaches_further_fails_the_control():
    short, far = (runs_of(lambda gap, rng, reach=reach: 100 if gap <= reach else None) for reach in (5, 20))
    assert judge.frozen_recurrence(far, short).passed
    found = judge.frozen_recurrence(short, far)
    assert not found.passed and "lstm 7.06 trained, 28.3 frozen" in found.measured


def test_a_draw_that_solves_fails_the_control():
    chance, solved_at = 0.125, 0.99
    rows = [
        guessing.summarised("rnn", gap, np.linspace(0.0, best, 1000), chance, solved_at)
        for gap, best in ((5, 1.0), (10, 0.5))
    ]
    found = judge.weight_guessing(rows)
    assert not found.passed and "rnn at gap 5: 10 of 1,000" in found.measured
    assert judge.weight_guessing(rows[1:]).passed and rows[1].p99 == pytest.approx(0.495)


def test_guesses_are_as_many_as_asked_for_and_the_same_again():
    config = SweepConfig.of(hidden_dim=4, learning_rates=(0.01,))
    found = [np.concatenate(list(guessing.scores(config, "rnn", 2, 120, 32))) for _ in range(2)]
    assert found[0].shape == (120,) and len(set(found[0].tolist())) > 5
    np.testing.assert_array_equal(*found)


# The command


def test_the_command_says_pass_or_fail_of_each(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    size = controls.Size(("rnn",), 3, 2, (2, 3), 30, 20)
    monkeypatch.setitem(controls.SIZES, "smoke", size)
    argv = ["--preset", "smoke", "--executor", "serial", "--out", "out"]
    status = controls.main(argv)
    output = capsys.readouterr().out
    with (tmp_path / "out" / "controls.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["control"] for row in rows] == [
        "shuffled labels",
        "a distance-free task",
        "frozen recurrence",
        "random weight guessing",
    ]
    assert status == int(any(row["passed"] == "False" for row in rows))
    assert all(f": {row['control']}: {row['measured']}" in output for row in rows)
    assert (tmp_path / "out" / "guessing.png").stat().st_size > 1000
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("*.csv")}
    assert controls.main(argv) == status and "3 of 3 runs are there already" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in (tmp_path / "out").glob("*.csv")} == before


def test_bad_options(capsys):
    assert controls.main(["--preset", "quick"]) == 2
    assert capsys.readouterr().err.startswith("error: preset: got 'quick'; expected full or smoke")
