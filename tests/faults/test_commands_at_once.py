"""Two commands on one directory: one works, the other refuses at once and names it; the dead hold nothing."""

from __future__ import annotations

import fcntl
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time

import faults
import pytest

from lstm_jax.sweeps.store import locks

QUIET = ("--wandb", "disabled")


def test_the_second_command_refuses_and_names_the_first(tmp_path, undisturbed):
    out = tmp_path / "out"
    first = faults.start(out, *QUIET)
    while not (out / "sweep.yaml").exists():
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGSTOP)  # or it might end before the second begins
    holder = f"error: out: process {first.pid} on {socket.gethostname()} is at work in {out}"
    seconds = []
    while not seconds or (seconds[-1] >= 2 and len(seconds) < 3 and first.poll() is None):
        started = time.monotonic()  # the first command and other tests have the cores too: one of three is enough
        status, output = faults.run(out, *QUIET)
        seconds.append(time.monotonic() - started)
        assert status == 2 and output.startswith(holder) and output.count("\n") == 1
    assert min(seconds) < 2
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    status, output = faults.run(out, *QUIET)  # its workers may live for a moment yet
    assert status == 0, output
    assert faults.table(out) == faults.table(undisturbed)


@pytest.mark.long
def test_races(tmp_path, undisturbed, capsys):
    """Two commands started within a moment of each other, one of them killed now and then."""
    num_races = 20
    refused = 0
    for number in range(num_races):
        out = tmp_path / str(number)
        commands = []
        for _ in range(2):
            commands.append(faults.start(out, *QUIET))
            time.sleep(random.uniform(0, 0.3))
        if number % 3 == 2:
            time.sleep(random.uniform(0, 5))
            os.kill(commands[0].pid, signal.SIGKILL)
        ended = [faults.finish(command) for command in commands]
        for status, output in ended:
            assert status in (0, 2, -signal.SIGKILL), output
            assert status != 2 or re.search(r"process \d+ on \S+ is at work in", output), output
            refused += status == 2
        if not any(status == 0 for status, _ in ended):
            status, output = faults.run(out, *QUIET)
            assert status == 0, output
        assert faults.table(out) == faults.table(undisturbed)
        assert not (out / "quarantine").exists()
    faults.say(capsys, f"{num_races} races: {refused} commands refused, each table is the undisturbed one")


HOLD = "import sys, time; from pathlib import Path; from lstm_jax.sweeps.store import locks\n"
HOLD += "with locks.hold(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


@pytest.mark.parametrize("has_locks", [True, False], ids=["flock", "no flock"])
def test_a_lock_ends_with_its_owner(tmp_path, monkeypatch, has_locks):
    """By the system's own word; on a file system that knows no locks, by whether the owner's process is there."""
    file = tmp_path / "lock"
    prelude = ""
    if not has_locks:
        prelude = "import errno, fcntl\ndef flock(*_): raise OSError(errno.ENOLCK, 'no locks')\nfcntl.flock = flock\n"
        monkeypatch.setattr(fcntl, "flock", fcntl.flock)  # first, so that it is put back
        exec(prelude, {})  # here, too
    process = subprocess.Popen([sys.executable, "-c", prelude + HOLD, file], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(locks.HeldError, match=f"process {process.pid} on {socket.gethostname()}"), locks.hold(file):
            pass
        assert locks.is_held(file) and str(process.pid) in locks.holder(file)
    finally:
        process.kill()
        process.wait()
    with locks.hold(file):
        assert has_locks == locks.is_held(file)  # without flock, one's own hold is no obstacle
    assert locks.holder(file) == ""
