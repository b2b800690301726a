"""The commands as a user types them, each in a process of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from commands import rows, run, run_here, start

from lstm_jax.sweeps.store.records import columns_of, read_runs

COLUMNS = {
    "runs.csv": "job,cell,task,gap,seed,learning_rate,hidden_dim,num_params,forget_bias,status,solved_step,steps,"
    "score,loss,chance,duration_seconds,measure,solved_at,backward,lanes,device,settings,versions,environment",
    "summary.csv": "cell,gap,learning_rate,num_runs,num_solved,num_diverged,solve_rate,ci_low,ci_high,score,chance,"
    "median_solved_step,measure,solved_at,at_edge",
    "horizon.csv": "cell,learning_rate,horizon,ci_low,ci_high,bound,best_high,monotone_p,num_seeds",
}
TINY = shlex.split(
    "--cells rnn --gaps 2 --learning-rates 0.01 --tuning-seeds --hidden-dim 8 --max-steps 50 --executor serial "
    "--wandb disabled"
)


def rows_but_durations(file):
    return [{key: value for key, value in row.items() if key != "duration_seconds"} for row in rows(file)]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """`--preset smoke` in an empty directory, with a label that has settings; its seconds, output and directory."""
    path = tmp_path_factory.mktemp("smoke")
    started = time.monotonic()
    status, output, errors = run("gap_length", "--preset", "smoke", "--out", "out", cwd=path, fresh=True)
    assert status == 0, errors
    return time.monotonic() - started, output, path / "out"


def test_smoke_is_over_within_a_minute_and_leaves_everything(smoke):
    seconds, output, out = smoke
    assert seconds < 60
    for name, columns in COLUMNS.items():
        assert (out / name).read_text().splitlines()[0] == columns
    figures = ("gap_length.png", "gap_length.svg", "learning_curves.png", "horizon_by_budget.png")
    for name in (*figures, "sweep.yaml", "curves.csv", "horizon_by_budget.csv", "growth.csv", "rates.csv", "rates.png",
                 "report.html"):  # fmt: skip
        assert (out / name).stat().st_size > 100
    assert " cores, " in (out / "machines.txt").read_text()
    assert (out / "gap_length.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(each.name for each in out.parent.iterdir()) == ["out"], "nothing outside of --out"
    assert output.splitlines()[-2:] == ["plot: out/gap_length.png", "report: out/report.html"]
    assert all(cell in output for cell in ("rnn", "lstm"))
    assert output.count(" updates, ") == 2, "whether each still grows"


def test_smoke_rows_follow_from_its_configuration(smoke):
    _, _, out = smoke
    config = yaml.safe_load((out / "sweep.yaml").read_text())
    runs = read_runs(out / "runs.csv")
    expected = {
        (cell, gap, seed, float(rate))
        for cell in config["cells"]
        for gap in config["gaps"]
        for seed in config["seeds"] + config["tuning_seeds"]
        for rate in config["learning_rates"]
    }
    assert {(r.cell, r.gap, r.seed, r.learning_rate) for r in runs} == expected and len(runs) == len(expected)
    summary = rows(out / "summary.csv")
    assert [(row["cell"], int(row["gap"])) for row in summary] == [
        (cell, gap) for cell in config["cells"] for gap in config["gaps"]
    ]
    for row in summary:
        chosen = [
            r
            for r in runs
            if (r.cell, r.gap, r.learning_rate) == (row["cell"], int(row["gap"]), float(row["learning_rate"]))
            and r.seed in config["seeds"]
        ]
        assert int(row["num_runs"]) == len(chosen) == len(config["seeds"])
        assert int(row["num_solved"]) == sum(r.status == "solved" for r in chosen)
        assert 0 <= float(row["ci_low"]) <= float(row["solve_rate"]) <= float(row["ci_high"]) <= 1
    assert [row["cell"] for row in rows(out / "horizon.csv")] == config["cells"]


def test_smoke_leaves_a_wandb_run_and_a_checkpoint_for_what_it_trained(smoke):
    _, _, out = smoke
    assert len(list((out / "wandb").glob("offline-run-*/run-*.wandb"))) == len(read_runs(out / "runs.csv"))
    assert {each.name for each in (out / "checkpoints").iterdir()} == {run.job for run in read_runs(out / "runs.csv")}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The directory of a small sweep that logged nothing to wandb."""
    path = tmp_path_factory.mktemp("tiny")
    status, _, errors = run("gap_length", *TINY, "--seeds", 0, 1, "--out", "out", cwd=path, draws=False)
    assert status == 0, errors
    return path / "out"


def test_the_configuration_file_gives_the_same_numbers(tiny, tmp_path):
    status, _, errors = run("gap_length", "--config", tiny / "sweep.yaml", "--out", "other", cwd=tmp_path, draws=False)
    assert status == 0, errors
    assert rows_but_durations(tmp_path / "other" / "runs.csv") == rows_but_durations(tiny / "runs.csv")
    for name in ("summary.csv", "horizon.csv", "curves.csv", "sweep.yaml"):
        assert (tmp_path / "other" / name).read_text() == (tiny / name).read_text()


def test_repeating_the_command_is_quick_and_changes_nothing(smoke):
    _, _, out = smoke
    before = (out / "runs.csv").read_text()
    started = time.monotonic()
    status, output, _ = run("gap_length", "--preset", "smoke", "--out", out, cwd=out.parent)
    assert status == 0 and time.monotonic() - started < 15
    assert "are there already" in output
    assert (out / "runs.csv").read_text() == before


def test_to_wandb_logs_what_is_not_logged_yet(tiny, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(tiny, out)
    for logged in ("2 of 2 runs logged", "0 of 2 runs logged"):
        status, output, errors = run("to_wandb", out, cwd=tmp_path)
        assert status == 0, errors
        assert logged in output
        assert len(list((out / "wandb").glob("offline-run-*/run-*.wandb"))) == 2
    for wrong in (["nowhere"], [out, "--wandb", "of"], []):
        status, _, errors = run_here("to_wandb", *wrong, cwd=tmp_path)
        assert status == 2 and errors.startswith("error: ") and errors.count("\n") == 1


def test_the_command_of_the_issue(tmp_path):
    """Every option of the command line at once, by its documented name."""
    line = (
        "--preset smoke --cells lstm@forget_bias=5 flax.nnx:SimpleCell own_cells:Leaky --gaps 3 --seeds 0 1 "
        "--tuning-seeds 100 --learning-rates 0.003 0.01 --hidden-dim 12 --batch-size 8 --max-steps 20 --chunk-steps 10 "
        "--eval-size 16 --out results --workers 1 --wandb disabled --task gap@filler=blank"
    )
    status, output, errors = run("gap_length", *line.split(), cwd=tmp_path, draws=False)
    assert status == 0, errors
    runs = read_runs(tmp_path / "results" / "runs.csv")
    assert {r.cell for r in runs} == {"lstm@forget_bias=5", "flax.nnx:SimpleCell", "own_cells:Leaky"}
    assert {r.hidden_dim for r in runs} == {12} and {r.task for r in runs} == {"gap@filler=blank"}
    assert {r.forget_bias for r in runs if r.cell.startswith("lstm")} == {5.0}
    assert all(r.steps <= 20 for r in runs)
    assert not (tmp_path / "results" / "wandb").exists()
    assert "own_cells:Leaky" in output


def test_copy_task(tmp_path):
    status, output, errors = run(
        "copy_task",
        "--preset",
        "smoke",
        "--gaps",
        2,
        "--max-steps",
        50,
        "--seeds",
        0,
        "--cells",
        "rnn",
        "--executor",
        "serial",
        "--wandb",
        "disabled",
        "--out",
        "c",
        cwd=tmp_path,
    )
    assert status == 0, errors
    assert (tmp_path / "c" / "copy_task.png").exists() and "copy_task.png" in output
    curves = rows(tmp_path / "c" / "curves.csv")
    # 2 symbols of 4 after T = 2: 2 ln 4 / (2 + 4)
    assert {round(float(row["memoryless_loss"]), 6) for row in curves} == {0.462098}
    assert all(float(row["sequence_loss"]) != float(row["loss"]) for row in curves)


@pytest.mark.parametrize("module", ["gap_length", "copy_task", "to_wandb", "report"])
def test_help_answers_within_a_second_without_jax(module, tmp_path):
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        status, output, _ = run(module, "--help", cwd=tmp_path, fresh=True)
        seconds.append(time.monotonic() - started)
        assert status == 0 and "usage: python -m experiments" in output
        if seconds[-1] < 1.0:  # else the machine was busy
            break
    assert min(seconds) < 1.0
    script = f"import sys, experiments.{module} as m\ntry:\n  m.main(['--help']) if not hasattr(m, 'EXPERIMENT') else "
    script += "__import__('experiments.common').common.main(m.EXPERIMENT, ['--help'])\nexcept SystemExit: pass\n"
    script += "print([name for name in ('jax', 'flax', 'wandb', 'matplotlib', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_show(tmp_path):
    status, output, _ = run_here("gap_length", "--show", "--gaps", 3, 50, cwd=tmp_path)
    assert status == 0
    assert output.count("I grew up in") == 6 and output.count("I speak fluent ___") == 6
    assert "5 time steps, chance level 0.125" in output and "52 time steps" in output
    status, output, _ = run_here("copy_task", "--show", "--gaps", 3, cwd=tmp_path)
    assert status == 0 and output.count("target") == 3
    assert list(tmp_path.iterdir()) == []


BAD = [
    ("--cells lsmt", "lstm"),
    ("--cells lstm@forget=3", "forget_bias"),
    ("--cells nowhere:Cell", "nowhere"),
    ("--task gpa", "gap"),
    ("--gaps 0", "gaps: got 0"),
    ("--gaps 2.5", "gaps: got '2.5'"),
    ("--gaps", "gaps: got none"),
    ("--learning-rates nan", "learning_rates: got nan"),
    ("--seeds 4294967296", "seeds: got 4294967296"),
    ("--seeds 1 1", "seeds: got 1 more than once"),
    ("--hidden-dim 10000000", "GiB"),
    ("--nonsense 3", "--nonsense"),
    ("--task own_tasks:Broken", "task: 'own_tasks:Broken' can't be made"),
    ("--config /dev/zero", "at most"),
    ("--config nowhere.yaml", "nowhere.yaml"),
    ("--config twice.yaml", "gaps is given twice"),
    ("--out twice.yaml/below", "out: can't write"),
    (f"--out {'x' * 300}", "out: can't write"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[line for line, _ in BAD])
def test_bad_input_is_one_line_and_status_two(tmp_path, line, message):
    (tmp_path / "twice.yaml").write_text("gaps: [1]\ngaps: [2]\n")
    started = time.monotonic()
    arguments = line.split() if "--out" in line else [*line.split(), "--out", "made"]
    status, output, errors = run_here("gap_length", *arguments, cwd=tmp_path)
    assert status == 2 and output == ""
    assert errors.startswith("error: ") and errors.count("\n") == 1
    assert message in errors
    assert time.monotonic() - started < 5
    assert [each.name for each in tmp_path.iterdir()] == ["twice.yaml"]


def test_a_failed_job_is_status_one_and_named(tmp_path):
    arguments = [*TINY, "--seeds", 0, "--cells", "own_cells:FailsInTraining", "rnn", "--out", "out"]
    status, output, errors = run("gap_length", *arguments, cwd=tmp_path, draws=False)
    assert status == 1
    assert "own_cells%3AFailsInTraining-gap2 failed: RuntimeError: no luck" in errors
    assert errors.count("\n") == 1
    assert [row["cell"] for row in rows(tmp_path / "out" / "summary.csv")] == ["rnn"]
    assert "rnn" in output


def test_a_run_that_overflows_is_diverged_and_the_command_succeeds(tmp_path):
    arguments = [*TINY, "--seeds", 0, 1, "--learning-rates", "3e38", "--out", "out"]
    status, _, errors = run("gap_length", *arguments, cwd=tmp_path, draws=False)
    assert status == 0, errors
    assert [row["status"] for row in rows(tmp_path / "out" / "runs.csv")] == ["diverged", "diverged"]
    assert rows(tmp_path / "out" / "summary.csv")[0]["num_diverged"] == "2"


@pytest.mark.parametrize(
    "to_the_group",
    [pytest.param(each, marks=pytest.mark.long) for each in (False, True)],  # in short tests/faults/test_signals.py
    ids=["kill", "terminal"],
)
def test_interrupt_keeps_what_is_done_and_the_command_goes_on(tmp_path, to_the_group):
    """SIGINT to the command alone, and to all of its processes as a terminal's Ctrl-C sends it."""
    line = "--cells rnn --gaps 20 --learning-rates 1e-6 --tuning-seeds --hidden-dim 16 --max-steps 600 --workers 1"
    line += " --checkpoint-seconds 0.1"
    arguments = shlex.split(f"{line} --wandb disabled --out out --seeds 0 1 2 3 4 5 6 7")
    process = start("gap_length", *arguments, cwd=tmp_path)
    records = tmp_path / "out" / "records"
    deadline = time.monotonic() + 60
    while len(list(records.glob("*/*.json"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    if to_the_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    done = rows(tmp_path / "out" / "runs.csv")
    assert 2 <= len(done) < 8 and f"{len(done)} of 8 runs are kept" in output
    status, output, errors = run("gap_length", *arguments, cwd=tmp_path)
    assert status == 0, errors
    assert f"{len(done)} of 8 runs are there already" in output
    assert len(rows(tmp_path / "out" / "runs.csv")) == 8
    assert done == rows(tmp_path / "out" / "runs.csv")[: len(done)], "rows that were there have not been made again"


def test_columns_are_those_of_the_code():
    from lstm_jax.analysis.gaps.horizon import Horizon
    from lstm_jax.analysis.gaps.summary import Summary

    assert ",".join(columns_of(Summary)) == COLUMNS["summary.csv"]
    assert ",".join(columns_of(Horizon)) == COLUMNS["horizon.csv"]
