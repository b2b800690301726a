"""The Slurm executor on a real Slurm: `make test-slurm`, which starts one on this machine."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time

import faults
import pytest

SMOKE = ("--preset", "smoke", "--wandb", "disabled")
# Jobs that are still at work when a test looks: their runs use up their budget.
LONG = shlex.split(
    "--preset smoke --wandb disabled --gaps 60 61 --learning-rates 0.0001 --seeds 0 --tuning-seeds --max-steps 3000 "
    "--checkpoint-seconds inf"
)


def start(out, *arguments, sweep=SMOKE):
    return faults.start(out, *arguments, sweep=sweep)


def run(out, *arguments, sweep=SMOKE):
    started = time.monotonic()
    status, output = faults.finish(start(out, *arguments, sweep=sweep), timeout=400)
    assert status == 0 and "Traceback" not in output, output
    return time.monotonic() - started


def queue():
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i %T"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(line.split() for line in listed.stdout.splitlines())


def is_empty_soon(seconds=10.0):
    """Whether nothing is left in the queue; Slurm takes a moment to see that a task has ended."""
    deadline = time.monotonic() + seconds
    while queue() and time.monotonic() < deadline:
        time.sleep(0.2)
    return queue() == {}


def wait_for(condition, process, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline and process.poll() is None, faults.finish(process)[1]
        time.sleep(0.05)
    return found


def at_work(out):
    """The processes of the jobs that have made updates, by name."""
    found = {}
    for file in (out / "jobs").glob("*-gap*.json"):
        status = json.loads(file.read_text())
        if status["state"] == "running" and status["num_updates"] > 0:
            found[file.stem] = status["pid"]
    return found


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("smoke") / "out"
    run(out)
    return out


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    out = tmp_path_factory.mktemp("long") / "out"
    run(out, sweep=LONG)
    return out


def test_the_smoke_preset_as_a_job_array(tmp_path, smoke, capsys):
    out = tmp_path / "out"
    seconds = run(out, "--executor", "slurm")
    (script,) = (out / "slurm").glob("*_submission.sh")
    assert "#SBATCH --array=0-3" in script.read_text()
    assert faults.table(out) == faults.table(smoke) and is_empty_soon()
    faults.say(capsys, f"the smoke preset as a job array: the same {len(faults.table(smoke))} rows, in {seconds:.0f} s")


def test_a_task_is_killed(tmp_path, long, capsys):
    out = tmp_path / "out"
    process = start(out, "--executor", "slurm", sweep=LONG)
    job, pid = next(iter(wait_for(lambda: at_work(out), process).items()))
    os.kill(pid, signal.SIGKILL)
    status, output = faults.finish(process, timeout=400)
    assert status == 0 and "Traceback" not in output, output
    (warning,) = (line for line in output.splitlines() if "its worker died" in line)
    assert warning.startswith(f"warning: {job}: its worker died") and warning.endswith("it is tried again")
    assert faults.table(out) == faults.table(long) and is_empty_soon()
    faults.say(capsys, f"{warning}\nSIGKILL to a task: the same {len(faults.table(long))} rows")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_command_goes_on(tmp_path, long, capsys, number):
    out = tmp_path / "out"
    process = start(out, "--executor", "slurm", sweep=LONG)
    wait_for(lambda: len(at_work(out)) > 1, process)
    then = time.monotonic()
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    status, output = faults.finish(process)
    seconds = time.monotonic() - then
    assert (status, seconds < 10) == (128 + number, True), output
    assert "Traceback" not in output and "repeat the command to go on" in output
    saved = list((out / "checkpoints").glob("*/running-*"))
    assert saved
    assert is_empty_soon()
    run(out, "--executor", "slurm", sweep=LONG)
    assert faults.table(out) == faults.table(long)
    name = signal.Signals(number).name
    seen = f"ended with {status} after {seconds:.1f} s, {len(saved)} jobs saved, the queue empty"
    faults.say(capsys, f"{name}: {seen}; repeated: the same rows")


def test_tasks_that_somebody_cancels_are_taken_up_again(tmp_path, long, capsys):
    """scancel tells a task to end; to the sweep that is one that was stopped."""
    out = tmp_path / "out"
    process = start(out, "--executor", "slurm", sweep=LONG)
    wait_for(lambda: at_work(out), process)
    subprocess.run(["scancel", *queue()], check=True)
    status, output = faults.finish(process, timeout=400)
    assert status == 0 and "Traceback" not in output, output
    assert faults.table(out) == faults.table(long) and is_empty_soon()
    faults.say(capsys, "scancel of all tasks: the sweep submits them again, the same rows")


def test_a_command_that_is_killed_leaves_tasks_that_the_next_one_waits_for(tmp_path, long, capsys):
    out = tmp_path / "out"
    process = start(out, "--executor", "slurm", sweep=LONG)
    wait_for(lambda: at_work(out), process)
    process.kill()
    process.wait()
    assert queue()
    run(out, "--executor", "slurm", sweep=LONG)
    assert faults.table(out) == faults.table(long)
    faults.say(capsys, "the command is killed, its tasks are not: the next command ends with the same rows")


def test_what_slurm_refuses_is_told_at_once(tmp_path, capsys):
    status, output = faults.finish(start(tmp_path / "out", "--executor", "slurm", "--slurm.partition", "nowhere"))
    assert status == 2 and output.splitlines()[-1].startswith("error: slurm: sbatch refuses"), output
    faults.say(capsys, output.splitlines()[-1])
