"""A run that is followed: it is trained as a sweep trains it, and its rows say what was asked for."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import rescues, why
from experiments.followed import FIRST_SEED, follow_one, runs_of
from experiments.followed import followed as followed_of
from lstm_jax.analysis.rescued import RESCUES
from lstm_jax.api import load
from lstm_jax.diagnostics.follow import at_ends, follow, quiet_form
from lstm_jax.diagnostics.measure import Effort, diagnose, fact_step, largest, log_spaced
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.sweeps.job import Job, RunKey
from lstm_jax.sweeps.plan import sized
from lstm_jax.sweeps.run import run_sweep
from lstm_jax.sweeps.worker.vmapped import LiveRun, VmappedRuns
from lstm_jax.tasks.copy import Copy
from lstm_jax.tasks.gap import Gap
from lstm_jax.terminal import make_console
from lstm_jax.training import Hypers

SMALL = Effort(num_batches=4, num_probed=64, num_followed=2, num_iterations=2)
OPTIONS = {
    "cells": ("gru",), "gaps": (2,), "hidden_dim": 12, "embedding_dim": 8, "batch_size": 16, "eval_size": 64,
    "learning_rates": (0.03,), "tuning_seeds": (), "seeds": (0,), "max_steps": 150, "wandb": "disabled",
    "executor": "serial",
}  # fmt: skip


@pytest.fixture(scope="module")
def training():
    config = SweepConfig.of(**OPTIONS)
    return Job(sized(config, "gru", 2)).training()


@pytest.fixture(scope="module")
def followed(training):
    """With the effort of the commands, which share what it takes to compile; that is most of the time here."""
    return follow("gru", training, 0, 0.03, 1.0, (0, 50, 150), 50)


def test_rows_say_when_and_of_which_distances(followed):
    steps = [moment.step for moment in followed.moments]
    assert steps[:2] == [0, 50] and steps == sorted(set(steps)) and steps[-1] <= 150
    assert {(row.step, row.distance) for row in followed.by_distance} == {(s, d) for s in steps for d in (0, 1, 2)}
    for moment in followed.moments:
        last = next(row for row in followed.by_distance if (row.step, row.distance) == (moment.step, 2))
        assert (last.transport, last.memory, last.quiet_memory) == (
            moment.transport, moment.memory, moment.quiet_memory,
        )  # fmt: skip
    assert all(row.transport == 1.0 for row in followed.by_distance if row.distance == 0)
    assert all(moment.sharpness is not None for moment in followed.moments)


def test_a_followed_run_is_the_one_that_a_sweep_trains(tmp_path, followed):
    result = run_sweep(SweepConfig.of(**OPTIONS, out=tmp_path / "sweep"), make_console())
    (record,) = result.records
    scores = {point.step: point.score for point in record.curve}
    assert record.run.solved_step == followed.solved_step
    for moment in followed.moments:
        if moment.step:
            assert scores[moment.step] == pytest.approx(moment.score, abs=1e-6)


def test_a_flax_cell_is_diagnosed_as_ours_are():
    config = SweepConfig.of(cells=("flax.nnx:GRUCell",), gaps=(2,), hidden_dim=6, embedding_dim=4, batch_size=8)
    training = Job(sized(config, "flax.nnx:GRUCell", 2)).training()
    hypers = Hypers(jnp.uint32(0), jnp.float32(0.01), jnp.float32(1.0))
    found = diagnose(training, training.init(hypers), hypers.learning_rate, jax.random.key(0), (0, 2), SMALL)
    assert found.transport[0] == 1.0 and 0.0 < found.transport[1] < 1.0 and found.memory.accuracy[0] > 0.9
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found._replace(quiet=())))


def test_the_fact_stands_where_the_diagnostics_look_for_it(training):
    for task in (Gap(5), Gap(5, length=11), Gap(3, filler="blank")):
        other = dataclasses.replace(training, task=task)
        batch = task.sample(jax.random.key(0), 32)
        np.testing.assert_array_equal(batch.inputs[fact_step(other)], batch.targets[-1])


def test_quiet_sequences_differ_in_the_fact_alone():
    task = Gap(6)
    inputs = task.sample(jax.random.key(0), 50).inputs
    quiet = np.asarray(quiet_form(task)(inputs))
    np.testing.assert_array_equal(quiet[[0, -1]], np.asarray(inputs)[[0, -1]])
    assert (quiet[1:-1] == task.num_facts).all() and quiet_form(task) is quiet_form(Gap(6))
    assert quiet_form(Gap(6, filler="blank")) is None and quiet_form(Copy(6)) is None


def test_distances_are_log_spaced_and_end_at_the_tasks():
    assert log_spaced(1) == (0, 1) and log_spaced(2) == (0, 1, 2) and log_spaced(20) == (0, 1, 2, 4, 8, 16, 20)


def test_the_largest_figure_of_a_group():
    signal = {"stack": {"w": jnp.float32(0.2), "b": jnp.float32(-1.0)}, "embedding": jnp.float32(0.9)}
    assert largest(signal, "stack") == pytest.approx(0.2) and largest(signal, "embedding") == pytest.approx(0.9)


def test_only_the_path_with_second_derivatives_is_diagnosed(training):
    model = dataclasses.replace(training.model, backward="states")
    other = dataclasses.replace(training, model=model)
    state = jax.eval_shape(other.init, Hypers(jnp.uint32(0), jnp.float32(0.03), jnp.float32(1.0)))
    with pytest.raises(ValueError, match="expected a model on the path autodiff"):
        diagnose(other, state, jnp.float32(0.03), jax.random.key(0), (0, 2), SMALL)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "out"
    run_sweep(SweepConfig.of(**OPTIONS | {"max_steps": 50}, out=out), make_console())
    return out


def test_the_command_takes_settings_and_rates_of_a_sweep_and_trains_nothing_twice(tmp_path, sweep, followed, capsys):
    argv = ["--sweep", str(sweep), "--out", str(tmp_path / "out"), "--seeds", "1", "--max-steps", "150"]
    argv += ["--rescue-seeds", "12"]
    (task,), (other, none) = runs_of(parse_options(why.Why, argv, "why", ""))
    assert "is of other settings, code or updates" in other and "new ones are trained" in none
    assert (task.learning_rate, task.seed, task.steps) == (0.03, FIRST_SEED, (0, 50, 100, 150))
    assert task.job.settings.model.hidden_dim == 12 and task.job.settings.training.batch_size == 16
    place = tmp_path / "out" / "followed" / f"{task.name}.json"
    place.parent.mkdir(parents=True)
    stopped = dataclasses.replace(followed, solved_step=None)
    place.write_text(json.dumps(dataclasses.asdict(stopped)))  # as an earlier command left it
    (tmp_path / "out" / "runs").mkdir()
    seeds = tuple(range(rescues.FIRST_SEED, rescues.FIRST_SEED + 12))
    for piece in rescues.with_changes(task.job.settings, task.learning_rate, seeds, RESCUES):
        trees = [
            {"seed": seed, "solved_step": 50 if piece.rescue == "batch x8" else None, "score": 0.5} for seed in seeds
        ]
        (tmp_path / "out" / "runs" / f"{piece.name}.json").write_text(json.dumps(trees))
    assert why.main(argv) == 0
    with (tmp_path / "out" / "diagnostics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [moment.step for moment in followed.moments]
    assert math.isclose(float(rows[0]["signal"]), followed.moments[0].signal)
    with (tmp_path / "out" / "verdicts.csv").open() as file:
        (verdict,) = csv.DictReader(file)
    assert (verdict["cell"], verdict["gap"], verdict["num_runs"]) == ("gru", "2", "1")
    with (tmp_path / "out" / "rescues.csv").open() as file:
        assert [row["rescue"] for row in csv.DictReader(file) if row["helps"] == "True"] == ["batch x8"]
    output = capsys.readouterr().out
    assert (tmp_path / "out" / "why_gru.png").stat().st_size > 10_000 and "why_gru.png" in output
    assert f"gru at 2: {verdict['cause']} (1 of 1 runs" in output and "helped by batch x8" in output


def options_of(sweep, out, *argv):
    return parse_options(why.Why, ["--sweep", str(sweep), "--out", str(out), *argv], "why", "")


def test_a_kept_state_is_diagnosed_as_the_state_trained_in_this_process_bit_for_bit(tmp_path, sweep):
    (task,), (line,) = runs_of(options_of(sweep, tmp_path, "--seeds", "1"))
    assert "1 runs are its own" in line and (task.seed, task.steps) == (0, (0, 50))
    (run,) = load(sweep).rows
    runs = VmappedRuns(dataclasses.replace(task.job, runs=(RunKey(0, 0.03),)), run.lanes, run.backward)
    runs.begin([LiveRun(RunKey(0, 0.03))])
    ended = []
    while not ended:
        ended = runs.advance()
    ((record, state),) = ended
    state = jax.tree.map(jnp.asarray, state._replace(key=jax.random.wrap_key_data(state.key)))
    expected = at_ends("gru", task.job.training(), 0, 0.03, 1.0, state, record.run.solved_step)
    found = followed_of(json.loads(json.dumps(follow_one(task))))
    assert found == expected and [moment.step for moment in found.moments] == [0, 50]
    assert found.moments[0] != dataclasses.replace(found.moments[1], step=0)
    assert found.moments[1].score == pytest.approx(run.score, abs=1e-6)


def test_runs_without_a_last_state_are_named_and_trained(tmp_path, sweep):
    (own, new), lines = runs_of(options_of(sweep, tmp_path, "--seeds", "2"))
    assert own.last is not None and new.last is None and new.seed == FIRST_SEED + 1 and new.steps == (0, 16, 32, 50)
    assert lines[-1] == f"sweep: no last state there, trained now: gru at 2 seed {FIRST_SEED + 1}"


@pytest.mark.parametrize("loss", ["no checkpoints", "damaged", "other updates"])
def test_a_directory_without_last_states_says_so_and_new_runs_are_trained(tmp_path, sweep, loss):
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns("checkpoints") if loss == "no checkpoints" else None
    shutil.copytree(sweep, copy, ignore=ignored)
    argv = ["--seeds", "2", *(("--max-steps", "150") if loss == "other updates" else ())]
    if loss == "damaged":
        file = max((path for path in copy.glob("checkpoints/*/ended-0/**/*") if path.is_file()), key=os.path.getsize)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    tasks, lines = runs_of(options_of(copy, tmp_path, *argv))
    assert lines[-1] == f"sweep: {copy} has no last states of these runs; new ones are trained"
    word = {"damaged": "the checksum does not match", "other updates": "of other settings, code or updates"}.get(loss)
    assert len(lines) == 1 if word is None else word in lines[0]
    assert tasks == runs_of(options_of(copy, tmp_path, *argv, "--anew")).runs
    assert [(task.seed, task.last) for task in tasks] == [(FIRST_SEED, None), (FIRST_SEED + 1, None)]
    kept = runs_of(options_of(sweep, tmp_path, "--seeds", "2", "--anew"))
    assert kept.lines == [] and all(task.last is None for task in kept.runs)


def test_the_command_measures_what_a_sweep_has_kept(tmp_path, sweep, capsys):
    out = tmp_path / "out"
    assert why.main(["--sweep", str(sweep), "--seeds", "1", "--workers", "1", "--out", str(out)]) == 0
    with (out / "diagnostics.csv").open() as file:
        assert [(row["seed"], row["step"]) for row in csv.DictReader(file)] == [("0", "0"), ("0", "50")]
    assert "1 runs are its own" in capsys.readouterr().out and (out / "why_gru.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [("--cells lstm", "learning_rate: none given; expected one"), ("--gaps 0", "gaps"), ("--seeds 0", "seeds")],
)
def test_what_can_not_be_followed_is_refused_in_one_line(tmp_path, sweep, capsys, options, message):
    assert why.main(["--sweep", str(sweep), "--out", str(tmp_path / "out"), *options.split()]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert why.main(["--sweep", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
