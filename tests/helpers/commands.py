"""Commands as a user types them, each in a process of its own (see forking.py), and the tables that they leave."""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import os
from pathlib import Path
from unittest import mock

import forking

HELPERS = Path(__file__).parent
PATHS = os.pathsep.join(map(str, (HELPERS, HELPERS.parents[1])))  # of a worktree, its own code


def inherited():
    """This process's environment without the service of a test that has used wandb here: a command has its own."""
    return {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}


def start(module, *argv, cwd, fresh=False, draws=True, merged=False):
    """A command; one that is told so draws nothing (see undrawn.py)."""
    environment = {**inherited(), "PYTHONPATH": PATHS, "COLUMNS": "100"}
    name = f"experiments.{module}" if draws else "undrawn"
    return forking.popen(name, list(map(str, argv)), cwd=cwd, env=environment, fresh=fresh, merged=merged)


def run(module, *argv, cwd, timeout=120, **options):
    process = start(module, *argv, cwd=cwd, **options)
    output, errors = process.communicate(timeout=timeout)
    return process.returncode, output, errors


def run_here(module, *argv, cwd):
    """As `run`, in this process: for a command that trains nothing, where that is not what is tested."""
    output, errors = io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors)
    with mock.patch.dict(os.environ, COLUMNS="100"), contextlib.chdir(cwd), streams[0], streams[1]:
        try:
            status = importlib.import_module(f"experiments.{module}").main(list(map(str, argv)))
        except SystemExit as stop:  # --help
            status = stop.code
    return status, output.getvalue(), errors.getvalue()


def rows(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))
