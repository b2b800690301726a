"""Arms of the gap experiment, and runs at other gaps than their own."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
import rich.console

from experiments import arms, generalization
from lstm_jax.api import load
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.job import RunKey
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.worker import states
from lstm_jax.tasks import make_task

SMALL = (
    "--preset smoke --cells gru --gaps 1 --learning-rates 0.03 --hidden-dim 12 --embedding-dim 8 --executor serial "
    "--wandb disabled"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("arms") / "out"
    assert arms.main([*SMALL.split(), "--out", str(out)]) == 0
    return out


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_each_arm_has_its_order(made):
    rows = rows_of(made / "arms.csv")
    tasks = {"distractors": "gap", "blank": "gap@filler=blank", "fixed length": "gap@length=3"}
    assert {row["arm"]: row["task"] for row in rows} == tasks
    assert all((made / arm.replace(" ", "_") / "horizon.csv").exists() for arm in tasks)
    assert {row["place"] for row in rows} == {"1"} and (made / "arms.png").stat().st_size > 10_000


def test_scores_are_those_of_the_last_states_on_the_held_out_set_of_the_other_gap(made):
    rows = rows_of(made / "generalization.csv")
    assert {(row["trained_gap"], row["tested_gap"]) for row in rows} >= {("1", "2"), ("1", "4")}
    finished = load(made / "distractors")
    job = next(job for job in make_jobs(finished.config, to_train=False)[0] if job.settings.gap == 1)
    solved = [run for run in finished.rows if run.gap == 1 and run.status == "solved" and run.seed < 100]
    batch = make_task("gap", 4).held_out(finished.config.training.eval_size)
    scores = []
    for run in solved:
        state = states.restore(Directory(made / "distractors").checkpoints(job), job, RunKey(run.seed, 0.03))
        answers = np.asarray(job.training().trained(state)(batch.inputs)).argmax(axis=-1)
        scores.append(float((answers == np.asarray(batch.targets)).mean()))
    (row,) = (row for row in rows if (row["trained_gap"], row["tested_gap"]) == ("1", "4"))
    assert int(row["num_runs"]) == len(solved) > 0 and float(row["score"]) == pytest.approx(np.mean(scores), abs=1e-6)


def test_tables_alone_can_not_be_tested(made, tmp_path, capsys):
    copy = shutil.copytree(made / "distractors", tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints"))
    assert generalization.main([str(copy)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "expected checkpoints of all its runs" in error


def test_at_a_fixed_length_there_is_no_larger_gap(made, capsys):
    assert generalization.main([str(made / "fixed_length")]) == 2
    assert "length: expected at least gap + 2" in capsys.readouterr().err


@pytest.mark.parametrize("factor", ["1", "0.5", "nan"])
def test_a_factor_is_above_one(made, capsys, factor):
    assert generalization.main([str(made / "distractors"), "--factors", factor]) == 2
    assert "factors" in capsys.readouterr().err


@pytest.mark.parametrize("options", ["--task copy", "--task gap@filler=blank", "--task gap@length=9"])
def test_arms_set_filler_and_length_of_the_gap_task(capsys, options):
    assert arms.main(options.split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "expected gap, without filler and length" in error


def test_an_arm_keeps_the_other_settings_of_the_task():
    found = arms.arms_of(SweepConfig.of(task="gap@num_facts=4", gaps=(3, 9)))
    assert [sweep.task for sweep in found.values()] == [
        "gap@num_facts=4", "gap@num_facts=4,filler=blank", "gap@num_facts=4,length=11",
    ]  # fmt: skip


def test_nothing_solved_is_said(made, tmp_path):
    finished = load(made / "distractors")
    unsolved = type(finished)(finished.config, ())
    with pytest.raises(ValueError, match="no report run in"):
        generalization.report(unsolved, tmp_path, rich.console.Console(quiet=True))
