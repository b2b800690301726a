"""Commands as a user types them, each in a process of its own, and the tables that they leave."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

HELPERS = Path(__file__).parent
PATHS = os.pathsep.join(map(str, (HELPERS, HELPERS.parents[1])))  # of a worktree, its own code


def start(module, *argv, cwd):
    environment = {**os.environ, "PYTHONPATH": PATHS, "COLUMNS": "100"}
    environment.pop("JAX_PLATFORMS", None)
    command = [sys.executable, "-m", f"experiments.{module}", *map(str, argv)]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests may run in a shell's background, where SIGINT is ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(module, *argv, cwd, timeout=120):
    process = start(module, *argv, cwd=cwd)
    output, errors = process.communicate(timeout=timeout)
    return process.returncode, output, errors


def rows(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))
