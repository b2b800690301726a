"""What the tests of faults share: a small sweep as a command, what it comes to undisturbed, and how often to try."""

from __future__ import annotations

import contextlib
import csv
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import forking

ROOT = Path(__file__).parents[2]
# In this process, where the test has no need of workers: another would import jax anew.
SERIAL = ("--wandb", "disabled", "--executor", "serial")
LONG = os.environ.get("FAULTS") == "long"
"""Whether this is `make test-faults`."""


def times(short, long):
    """How often to try: so often in `make test`, so often in `make test-faults`."""
    return long if LONG else short


# Jobs of a few seconds, with runs that are solved and runs that use up their budget.
SWEEP = shlex.split(
    f"--cells {times('rnn', 'rnn lstm')} --gaps 3 --learning-rates 1e-6 0.02 --seeds 0 1 --tuning-seeds 9 "
    "--hidden-dim 8 --embedding-dim 4 --batch-size 8 --eval-size 32 --max-steps 1500 --chunk-steps 30 "
    "--checkpoint-seconds 0.3"
)


def start(out, *arguments, sweep=SWEEP, before=(), draws=False, **environment):
    """The command that runs the sweep, in a session of its own so that a test can find and end all of its processes.

    What is told to be drawn is the whole command, figures too.
    """
    module = "experiments.gap_length" if draws or LONG else "undrawn"
    argv = [str(each) for each in (*sweep, "--out", out, *arguments)]
    variables = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'helpers'}"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    env = inherited | variables | environment
    if not before:
        return forking.popen(module, argv, cwd=None, env=env, merged=True)
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, which a child inherits
    try:
        return subprocess.Popen(
            [*map(str, before), sys.executable, "-m", module, *argv],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGHUP, ours)


@contextlib.contextmanager
def limited(which, size):
    """What is started in the block has this limit of the system's (`resource.RLIMIT_...`)."""
    before = resource.getrlimit(which)
    resource.setrlimit(which, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, before)


def finish(process, timeout=120):
    """Its exit status and all that it said."""
    output, _ = process.communicate(timeout=timeout)
    return process.returncode, output


def run(out, *arguments, **options):
    return finish(start(out, *arguments, **options))


def table(out):
    """runs.csv but for durations."""
    with (Path(out) / "runs.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "duration_seconds"} for row in csv.DictReader(file)]


def processes_of(session):
    """The processes of a session that are alive, and their children: wandb's has a session of its own."""
    found, children = [], []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                state, parent, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(its_session) == session and state != "Z":
                found.append(int(folder.name))
            elif state != "Z":
                children.append((int(folder.name), int(parent)))
    return found + [pid for pid, parent in children if parent in found]


def all_gone(session, seconds=3.0):
    """Whether all processes of a session end by themselves, soon."""
    deadline = time.monotonic() + seconds
    while processes_of(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    return processes_of(session) == []


def say(capsys, text):
    """Print a count even where pytest captures what tests print."""
    with capsys.disabled():
        print(f"\n{text}", flush=True)
