"""The Slurm executor where there is no Slurm: submitit's processes on this machine. With Slurm: tests/slurm."""

from __future__ import annotations

import json
import os
import signal
import time

import faults
import pytest

pytest.importorskip("submitit")

# Two jobs of a few seconds each.
SWEEP = [*faults.SWEEP, "--cells", "rnn", "--gaps", "3", "4", "--max-steps", "4000", "--wandb", "disabled"]
LOCAL = ("--executor", "slurm", "--slurm.cluster", "local")


def start(out, *arguments, **environment):
    return faults.start(out, *arguments, sweep=SWEEP, **environment)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same sweep in one process."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    status, output = faults.finish(start(out, *faults.SERIAL))
    assert status == 0, output
    return out


def started(process, out):
    """A job that has made updates, and the process that makes them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for file in (out / "jobs").glob("*-gap*.json"):
            status = json.loads(file.read_text())
            if status["state"] == "running" and status["num_updates"] > 0:
                return file.stem, status["pid"]
        time.sleep(0.02)
    raise AssertionError(f"nothing was trained: {faults.finish(process)[1]}")


@pytest.mark.long
def test_a_process_that_is_killed_is_tried_again(tmp_path, undisturbed):
    out = tmp_path / "out"
    process = start(out, *LOCAL)
    job, pid = started(process, out)
    os.kill(pid, signal.SIGKILL)
    status, output = faults.finish(process)
    assert status == 0 and "Traceback" not in output, output
    assert output.count("its worker died") == 1 and f"warning: {job}: its worker died (Slurm's job " in output
    assert faults.table(out) == faults.table(undisturbed)
    assert (out / "slurm").stat().st_mode & 0o777 == 0o700
    assert faults.all_gone(process.pid)


@pytest.mark.long
def test_signals_save_and_the_command_goes_on(tmp_path, undisturbed):
    """SIGTERM; Ctrl-C, which reaches all processes of a terminal."""
    out = tmp_path / "out"
    for number in (signal.SIGTERM, signal.SIGINT):
        saved = set((out / "checkpoints").glob("*/running-*"))
        process = start(out, *LOCAL, "--checkpoint-seconds", "inf")
        started(process, out)
        then = time.monotonic()
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        status, output = faults.finish(process)
        assert (status, time.monotonic() - then < 10) == (128 + number, True), output
        assert "Traceback" not in output and "repeat the command to go on" in output
        assert faults.all_gone(process.pid)
        assert set((out / "checkpoints").glob("*/running-*")) - saved, "nothing was saved"
        assert len(faults.table(out)) < len(faults.table(undisturbed))
    status, output = faults.finish(start(out, *LOCAL))
    assert status == 0, output
    assert faults.table(out) == faults.table(undisturbed)


@pytest.mark.long
def test_what_does_not_end_is_killed(tmp_path):
    """An update that takes minutes; and its process ends with the command."""
    slow = ["--cells", "own_cells:Slow", "--batch-size", "1", "--eval-size", "7"]
    process = start(tmp_path / "out", *LOCAL, *slow)
    while not list((tmp_path / "out" / "jobs").glob("*-gap*.lock")):
        time.sleep(0.05)
    time.sleep(4)
    then = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status, output = faults.finish(process)
    assert (status, time.monotonic() - then < 10) == (143, True), output
    assert faults.all_gone(process.pid)


def test_no_slurm_here(tmp_path):
    nowhere = str(tmp_path)
    status, output = faults.finish(start(tmp_path / "out", "--executor", "slurm", PATH=nowhere))
    assert status == 2
    assert output.startswith("error: executor: there is no Slurm here; expected sbatch") and output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
