"""A finished directory is analysed and drawn again without its command: the same files to the byte."""

from __future__ import annotations

import shlex
import shutil
import sys
import types
from pathlib import Path

import pytest
from commands import rows, run

from experiments import report
from experiments.common import Experiment
from lstm_jax.api import load
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.tasks import TASKS
from lstm_jax.terminal import make_console

SMALL = "--preset smoke --hidden-dim 4 --max-steps 20 --eval-size 16 --seeds 0 1 --wandb disabled"
SMALL += " --executor serial --out out"
COMMANDS = {
    "gap_length": "--cells rnn lstm@forget_bias=5 --gaps 2 4 --learning-rates 0.003 0.01 --tuning-seeds 100",
    "translation": "--task reverse --cells rnn lstm@attention=dot --gaps 2 4 --embedding-dim 4 --batch-size 8",
}
TABLES = ("summary.csv", "horizon.csv", "contrasts.csv", "horizon_by_budget.csv", "growth.csv", "rates.csv")


# In short the report of the other command is that of test_text_commands.py.
@pytest.fixture(scope="module", params=["gap_length", pytest.param("translation", marks=pytest.mark.long)])
def finished(request, tmp_path_factory):
    """A sweep: the name of its command, its directory, and what the command said."""
    path = tmp_path_factory.mktemp(request.param)
    status, output, errors = run(request.param, *shlex.split(f"{SMALL} {COMMANDS[request.param]}"), cwd=path)
    assert status == 0, errors
    return request.param, path / "out", output


def files_of(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_same_files_are_written_again(finished, tmp_path):
    name, directory, output = finished
    shutil.copytree(directory, tmp_path / "out")
    figures = (f"{name}.png", f"{name}.svg", "learning_curves.png", "horizon_by_budget.png")
    figures += ("rates.png",) if name == "gap_length" else ()  # the other has one learning rate
    for file in (*TABLES, *figures):
        (tmp_path / "out" / file).unlink()
    status, again, errors = run("report", "out", cwd=tmp_path)
    assert (status, errors) == (0, "")
    assert files_of(tmp_path / "out") == files_of(directory)
    assert again in output and "horizon" in again


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished[1], tmp_path / "out")
    return tmp_path / "out"


def set_options(directory, **options):
    file = directory / "sweep.yaml"
    lines = [line for line in file.read_text().splitlines() if line.partition(":")[0] not in options]
    file.write_text("\n".join([*lines, *(f"{name}: {value}" for name, value in options.items())]) + "\n")


def answers(capsys, directory, status):
    """What the command says on the standard error."""
    assert report.main([str(directory)]) == status
    return capsys.readouterr().err


def test_runs_of_other_settings_are_left_out(copy, capsys):
    file = next((copy / "records").glob("rnn-gap2/*"))
    (copy / "runs.csv").unlink()  # the records are what counts
    set_options(copy, cells="[rnn]", gaps="[2]")
    num_runs = len(list(file.parent.iterdir()))
    assert answers(capsys, copy, 0) == ""
    assert {(row["cell"], row["gap"]) for row in rows(copy / "summary.csv")} == {("rnn", "2")}
    set_options(copy, max_steps=21)
    assert f"{num_runs} of {num_runs} runs were made with other settings" in answers(capsys, copy, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cells": "[rnn, nowhere:Cell]"}, "cells: cell 'nowhere:Cell': can't import 'nowhere'"),
        ({"task": "nowhere:Task"}, "task: task 'nowhere:Task': can't import 'nowhere'"),
        ({"task": "gap@"}, "task: 'gap@'"),
        ({"max_steps": 21}, "has no finished run of its sweep.yaml"),
    ],
)
def test_what_is_missing_is_said_in_one_line(copy, capsys, options, message):
    set_options(copy, **options)
    line = answers(capsys, copy, 2)
    assert line.startswith("error: ") and message in line and line.count("\n") == 1


def test_a_directory_without_a_finished_run_is_one_line(copy, capsys, tmp_path):
    before = files_of(copy)
    shutil.rmtree(copy / "records")
    line = answers(capsys, copy, 2)
    assert line == f"error: directory: {copy} has no finished run of its sweep.yaml\n"
    assert all((copy / file).read_bytes() == before[file] for file in files_of(copy))
    assert "expected the directory of a sweep" in answers(capsys, tmp_path, 2)


def test_an_experiment_of_ones_own_has_its_own_report(copy, capsys, monkeypatch):
    mine = types.ModuleType("yours")
    mine.EXPERIMENT = Experiment("experiments.yours", "", "My question", {})
    monkeypatch.setitem(sys.modules, "experiments.yours", mine)
    before = files_of(copy)
    assert report.main([str(copy), "--experiment", "experiments.yours"]) == 0
    assert "My question" in (copy / "yours.svg").read_text() and "yours.png" in capsys.readouterr().out
    (copy / "yours.svg").unlink()
    report.report(load(copy), make_console(), mine.EXPERIMENT)
    assert (copy / "yours.svg").exists(), "as its command ends"
    for name, message in (("experiments.status", "expected a module with an EXPERIMENT"), ("nowhere", "can't import")):
        assert report.main([str(copy), "--experiment", name]) == 2
        line = capsys.readouterr().err
        assert message in line and line.count("\n") == 1
    assert report.main([str(copy)]) == 0
    kinds = ("learning_curves.png", "summary.csv")
    assert all(files_of(copy)[Path(name)] == before[Path(name)] for name in kinds)


@pytest.mark.parametrize("task", [*TASKS, "own_tasks:Shuffled"])
def test_a_task_says_which_experiment_it_is_of(task):
    own = {"copy": "copy_task", "language": "language_model"}
    own |= dict.fromkeys(("translation", "reverse", "addition"), "translation")
    experiment = report.experiment_of(SweepConfig.of(learning_rates=(0.003,), task=task))
    assert experiment.module == f"experiments.{own.get(task, 'gap_length')}"
