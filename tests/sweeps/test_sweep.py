"""A sweep over worker processes: it is repeatable, extensible, and survives a job that fails or kills its worker."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import rich.console

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.run import run_sweep
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import read_runs
from lstm_jax.sweeps.store.status import JobStatus, write_status
from lstm_jax.sweeps.views.progress import Progress
from lstm_jax.sweeps.views.tables import OWN_TABLES
from lstm_jax.sweeps.views.wandb import MARKER, WandbLogger, logged_ids, run_id

HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(autouse=True)
def _own_modules_in_workers(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HELPERS))


def config_of(tmp_path, **changes):
    config = SweepConfig.of(
        cells=("rnn",),
        gaps=(2, 3),
        hidden_dim=16,
        learning_rates=(0.01,),
        seeds=(0, 1),
        tuning_seeds=(),
        batch_size=16,
        eval_size=64,
        chunk_steps=25,
        max_steps=50,
        workers=2,
        wandb="disabled",
        out=tmp_path / "out",
    )
    return config.replace(**changes)


# In this process, where the test has no need of workers: each would import jax anew.
SERIAL = {"executor": "serial"}


def sweep(config):
    output = io.StringIO()
    console = rich.console.Console(file=output, width=200)
    return run_sweep(config, console), output.getvalue()


def rows_but_durations(out):
    with (out / "runs.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "duration_seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    path = tmp_path_factory.mktemp("done")
    config = config_of(path)
    outcome, output = sweep(config)
    return config, outcome, output


def test_a_row_for_every_run_in_the_order_of_the_grid(done):
    config, outcome, _ = done
    runs = read_runs(config.out / "runs.csv")
    assert [(run.cell, run.gap, run.seed) for run in runs] == [("rnn", gap, seed) for gap in (2, 3) for seed in (0, 1)]
    assert runs == [record.run for record in outcome.records]
    assert outcome.num_trained == 4 and not outcome.failures and outcome.stopped_by == 0
    with (config.out / "curves.csv").open() as file:
        assert len(list(csv.DictReader(file))) == sum(len(record.curve) for record in outcome.records)


def test_repeating_the_command_trains_nothing(done):
    config, outcome, _ = done
    before = (config.out / "runs.csv").read_text()
    again, output = sweep(config)
    assert again.num_trained == 0 and again.records == outcome.records
    assert "4 of 4 runs are there already" in output
    assert (config.out / "runs.csv").read_text() == before


def test_a_larger_grid_keeps_what_is_there_and_the_number_of_workers_changes_no_number(done, tmp_path):
    """What two workers and this process have trained, against one worker."""
    config, _, _ = done
    shutil.copytree(config.out, tmp_path / "out")
    larger = config.replace(gaps=(2, 3, 4), seeds=(0, 1, 2), workers=1)
    outcome, _ = sweep(larger.replace(out=tmp_path / "out", **SERIAL))
    assert outcome.num_trained == 5
    fresh, _ = sweep(larger.replace(out=tmp_path / "fresh"))
    assert fresh.num_trained == 9
    assert rows_but_durations(tmp_path / "out") == rows_but_durations(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 8}, "out: .* holds another sweep \\(batch_size: 16 there, 8 in this command\\)"),
        ({"gaps": (2,)}, "gaps: 3 is there but not in this command"),
        ({"max_steps": 60, "optimizer": "rmsprop"}, "optimizer: adam there.*; max_steps: 50 there"),
    ],
)
def test_another_sweeps_directory_is_refused(done, changes, message):
    config, _, _ = done
    before = (config.out / "sweep.yaml").read_text()
    with pytest.raises(ConfigError, match=message):
        sweep(config.replace(**changes))
    assert (config.out / "sweep.yaml").read_text() == before


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere/out"])
def test_a_directory_that_cannot_be_written_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"out: can't write to .*; expected a directory to write to"):
        sweep(config_of(tmp_path, out=tmp_path / place))
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]


def test_bad_input_makes_no_directory(tmp_path):
    with pytest.raises(ConfigError):
        sweep(config_of(tmp_path, cells=("lsmt",)))
    assert list(tmp_path.iterdir()) == []


def test_a_task_of_anybodys_replaces_no_table_and_loses_none(tmp_path):
    """Names of ours, columns of ours, other columns at another gap, what is no table, values that are no text."""
    config = config_of(tmp_path, task="own_tasks:Answers", seeds=(0,), **SERIAL)
    outcome, _ = sweep(config)
    assert not outcome.failures and read_runs(config.out / "runs.csv") == [record.run for record in outcome.records]
    before = {path.name: path.read_text() for path in config.out.glob("*.csv")}
    assert sorted(before) == [
        "a%2F..%2Fb%00.csv",
        "curves.csv",
        "empty.csv",
        "numbers.csv",
        "runs.csv",
        "table_runs.csv",
    ]
    key = {"job": "rnn-gap2", "cell": "rnn", "gap": "2", "seed": "0", "learning_rate": "0.01"}

    def rows(name):
        return list(csv.DictReader(io.StringIO(before[f"{name}.csv"])))

    first, second, *_ = rows("table_runs")
    assert first == {**key, "table_gap": "mine", "own": "0.5", "3": "2", "more": "", "table_job": ""}
    assert second == {**key, "table_gap": "", "own": "", "3": "", "more": "", "table_job": "b'x'"}
    assert [(row["at"], row["only2"], row["only3"]) for row in rows("a%2F..%2Fb%00")] == [
        ("2", "True", ""),
        ("3", "", "True"),
    ]
    assert [(row["gap"], row["value"]) for row in rows("numbers")] == [("2", "1"), ("2", "2"), ("3", "1"), ("3", "2")]
    assert rows("empty") == [key, {**key, "job": "rnn-gap3", "gap": "3"}]
    sweep(config)  # from the records
    assert {path.name: path.read_text() for path in config.out.glob("*.csv")} == before


def test_all_tables_that_are_ours_are_kept_from_tasks():
    root = Path(__file__).parents[2]
    sources = [*root.glob("experiments/*.py"), *root.glob("lstm_jax/**/*.py")]
    written = {name for file in sources for name in re.findall(r'/ "(\w+)\.csv"', file.read_text())}
    assert len(written) >= 7 and written | {"curves"} == OWN_TABLES


FAILS, KILLS = "own_cells%3AFailsInTraining-gap2", "own_cells%3AKillsItsProcess-gap2"


def test_a_job_that_fails_or_kills_its_worker_is_named_and_costs_no_other(tmp_path):
    cells = ("own_cells:FailsInTraining", "own_cells:KillsItsProcess", "rnn")
    config = config_of(tmp_path, cells=cells, gaps=(2,))
    outcome, output = sweep(config)
    reasons = dict(outcome.failures)
    assert set(reasons) == {FAILS, KILLS}
    assert reasons[FAILS].startswith("RuntimeError: no luck at all (see ") and "\n" not in reasons[FAILS]
    assert "worker process died, 3 times" in reasons[KILLS]
    assert "Traceback" in (config.out / "errors" / f"{FAILS}.txt").read_text()
    assert f"failed: {FAILS}" in output
    runs = read_runs(config.out / "runs.csv")
    assert sorted((run.gap, run.seed) for run in runs if run.cell == "rnn" and run.status != "failed") == [
        (2, 0),
        (2, 1),
    ]
    failed = [run for run in runs if run.cell == cells[0]]
    assert [(run.seed, run.status) for run in failed] == [(0, "failed"), (1, "failed")]
    assert all(run.score is None and run.steps == 0 for run in failed)
    fewer = config.replace(cells=(cells[0], "rnn"), accept_changes=True, **SERIAL)
    again, _ = sweep(fewer)
    assert again.num_trained == 0 and again.failures, "a failed job is tried again, done ones are not"


def test_workers_are_single_threaded_on_a_core_each():
    script = (
        "import os; from lstm_jax.sweeps.executors.process import _start_worker; _start_worker(1, 2, os.getppid());"
        "import jax, jax.numpy as jnp; jax.jit(lambda x: x @ x)(jnp.ones((500, 500))).block_until_ready();"
        "print(sorted(os.sched_getaffinity(0)), os.environ['XLA_FLAGS'])"
    )
    environment = {**os.environ, "XLA_FLAGS": "--xla_dump_to="}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    cores = sorted(os.sched_getaffinity(0))
    flags = "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=1 --xla_dump_to="
    assert done.stdout.strip() == f"[{cores[1 % len(cores)]}] {flags}"


def test_progress_counts_and_tells_the_time_left(tmp_path, monkeypatch):
    config = config_of(tmp_path)
    directory = Directory(config.out)
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    output = io.StringIO()
    progress = Progress(config, config.out, rich.console.Console(file=output, width=300))
    clock[0] = 20.0
    write_status(directory.status_file("rnn-gap3"), JobStatus("running", {"solved": 1}, num_updates=10))
    progress.show(["rnn-gap3"])
    assert "1/4 runs (1 solved, 0 unsolved) | jobs: 1 waiting, 1 running, 0 done" in output.getvalue()
    assert output.getvalue().splitlines()[-1].endswith("| rnn-gap3")
    clock[0] = 40.0
    write_status(directory.status_file("rnn-gap3"), JobStatus("done", {"solved": 1, "unsolved": 1}))
    progress.show([])
    last = output.getvalue().splitlines()[-1]
    assert "2/4 runs (1 solved, 1 unsolved) | jobs: 1 waiting, 0 running, 1 done | 180 runs an hour" in last
    # Two runs at gap 3 (weight 13 each) took 40 s: two at gap 2 (weight 12 each) take 37 s.
    assert last.endswith("37 s left")


def test_wandb_offline_run_reads_back(done, tmp_path):
    config, outcome, _ = done
    config = config.replace(wandb="offline")
    record = outcome.records[0]
    for _ in range(2):  # the second time it is there already
        logger = WandbLogger(tmp_path, config.replace(wandb="offline"))
        logger.log(record)
        logger.finish()
        assert logger.warnings == []
    (directory,) = (tmp_path / "wandb").glob("offline-run-*")
    identity = run_id(record.run)
    assert [file.name for file in directory.glob("*.wandb")] == [f"run-{identity}.wandb"]
    inspect = subprocess.run(
        [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--summary", "--json", str(directory)],
        capture_output=True,
        text=True,
        check=True,
    )
    text = inspect.stdout
    json.loads(text) if text.lstrip().startswith("{") else None
    for fact in (record.run.status, identity, record.run.job):
        assert fact in text, text
    for name in ("score", "accuracy"):  # by its own name as the `metric` of a sweep file has it
        assert re.search(rf'"{name}"\s*:', text), text


def test_wandb_ids_are_deterministic_and_differ_by_what_matters(done):
    """test_identity.py tries every option."""
    _, outcome, _ = done
    ids = [run_id(record.run) for record in outcome.records]
    assert len(set(ids)) == 4 and all(re.fullmatch(r"[0-9a-f]{16}", each) for each in ids)
    assert ids == [run_id(dataclasses.replace(record.run, duration_seconds=9.0)) for record in outcome.records]


def test_wandb_online_is_not_satisfied_with_an_offline_run(done, tmp_path, monkeypatch):
    """What was logged offline is still to be logged online; where there is no way online, offline it stays."""
    config, outcome, _ = done
    identity = run_id(outcome.records[0].run)
    for folder, mode, other in (("offline-run-1_1", "offline", "online"), ("run-1_1", "online", "offline")):
        folder = tmp_path / mode / "wandb" / f"{folder}-{identity}"
        folder.mkdir(parents=True)
        (folder / f"run-{identity}.wandb").touch()
        assert logged_ids(tmp_path / mode, mode) == set(), "it was cut off"
        (folder / MARKER).touch()
        assert logged_ids(tmp_path / mode, mode) == {identity}
        assert (logged_ids(tmp_path / mode, other) == {identity}) == (mode == "online")

    modes = []

    def init(**options):
        modes.append(options["mode"])
        raise RuntimeError("no way")

    fake = types.SimpleNamespace(init=init, Settings=lambda **_: None, setup=lambda *_: None, teardown=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    logger = WandbLogger(tmp_path / "new", config.replace(wandb="online"))
    logger.log(outcome.records[1])
    logger.finish()
    assert modes == ["online", "offline", "offline"]
    assert [text.split(" (")[0] for text in logger.warnings] == [
        "wandb can't go online",
        "wandb failed",
        "wandb failed",
    ]
    assert "can't go online (no way); going on offline" in logger.warnings[0]


def test_what_was_not_logged_is_logged_by_the_next_command(tmp_path):
    config = config_of(tmp_path, gaps=(2,), seeds=(0,), **SERIAL)
    sweep(config)
    assert not (config.out / "wandb").exists()
    outcome, _ = sweep(config.replace(wandb="offline"))
    assert outcome.num_trained == 0
    assert len(list((config.out / "wandb").glob("offline-run-*/run-*.wandb"))) == 1


def test_wandb_never_stands_in_the_way(done, tmp_path, monkeypatch):
    config, outcome, _ = done
    monkeypatch.setitem(sys.modules, "wandb", None)
    logger = WandbLogger(tmp_path, config.replace(wandb="offline"))
    logger.log(outcome.records[0])
    logger.finish()
    assert len(logger.warnings) == 1 and "can't be imported" in logger.warnings[0]
    disabled = WandbLogger(tmp_path, config.replace(wandb="disabled"))
    disabled.log(outcome.records[0])
    disabled.finish()
    assert disabled.warnings == [] and not (tmp_path / "wandb").exists()
