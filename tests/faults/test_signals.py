"""SIGTERM and Ctrl-C: jobs save at their next call, the command ends in time, and the next one goes on from there."""

from __future__ import annotations

import json
import os
import signal
import time

import faults
import pytest

SLOW = [*faults.SWEEP, "--cells", "own_cells:Slow", "--batch-size", "1", "--eval-size", "7", "--wandb", "disabled"]


def wait_for_updates(process, out, seconds=60):
    """Until a job has made updates that no record has."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        for file in (out / "jobs").glob("*-gap*.json"):
            if json.loads(file.read_text())["num_updates"] > 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nothing was trained: {process.stdout.read()}")


@pytest.mark.parametrize(
    ("number", "to_all", "executor"),
    [
        (signal.SIGTERM, False, "process"),
        (signal.SIGINT, True, "process"),  # as a terminal's Ctrl-C
        pytest.param(signal.SIGTERM, True, "process", marks=pytest.mark.long),  # as a cluster ends everything
        pytest.param(signal.SIGTERM, False, "serial", marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, True, "process", marks=pytest.mark.long),  # as a terminal that is closed
        pytest.param(signal.SIGHUP, False, "serial", marks=pytest.mark.long),
    ],
)
def test_a_signal_saves_and_the_command_goes_on(tmp_path, undisturbed, capsys, number, to_all, executor):
    out = tmp_path / "out"
    arguments = ("--wandb", "disabled", "--executor", executor, "--checkpoint-seconds", "inf")
    process = faults.start(out, *arguments)
    wait_for_updates(process, out)
    started = time.monotonic()
    for _ in range(2 if number == signal.SIGHUP else 1):  # a shell and the system send it
        (os.killpg if to_all else os.kill)(process.pid, number)
    status, output = faults.finish(process)
    seconds = time.monotonic() - started
    assert (status, seconds < 10) == (128 + number, True), output
    assert "Traceback" not in output and "repeat the command to go on" in output
    assert faults.all_gone(process.pid)
    assert list((out / "checkpoints").glob("*/*")), "nothing was saved"
    assert len(faults.table(out)) < len(faults.table(undisturbed))
    status, output = faults.run(out, *arguments, *faults.times(faults.SERIAL, ()))  # whoever trains goes on from it
    assert status == 0, output
    assert faults.table(out) == faults.table(undisturbed)
    faults.say(capsys, f"{signal.Signals(number).name} ({executor}): ended with {128 + number} after {seconds:.1f} s")


def test_a_second_signal_ends_at_once(tmp_path):
    """Where an update takes longer than anybody waits."""
    out = tmp_path / "out"
    process = faults.start(out, sweep=SLOW)
    while not list((out / "jobs").glob("*-gap*.json")):
        time.sleep(0.05)
    time.sleep(4)  # into the first call
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status, output = faults.finish(process)
    assert (status, time.monotonic() - started < 1) == (143, True), output
    assert faults.all_gone(process.pid)


def test_nohup_hears_no_terminal_that_closes(tmp_path, undisturbed):
    out = tmp_path / "out"
    process = faults.start(out, "--wandb", "disabled", before=("nohup",))
    wait_for_updates(process, out)
    os.killpg(process.pid, signal.SIGHUP)
    status, output = faults.finish(process)
    assert status == 0, output
    assert faults.table(out) == faults.table(undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("executor", ["process", "serial"])
def test_a_call_that_does_not_end_is_not_waited_for(tmp_path, capsys, executor):
    out = tmp_path / "out"
    process = faults.start(out, "--executor", executor, sweep=SLOW)
    while not list((out / "jobs").glob("*-gap*.json")):
        time.sleep(0.05)
    time.sleep(4)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status, output = faults.finish(process)
    seconds = time.monotonic() - started
    assert (status, seconds < 10) == (143, True), output
    assert faults.all_gone(process.pid)
    faults.say(capsys, f"an update that takes minutes ({executor}): ended with 143 after {seconds:.1f} s")
