"""`lstm-jax`, as the script that pip makes of the entry point: commands, names, help that is true, and how fast."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from commands import inherited, rows, run, run_here

import experiments
from experiments import completion
from experiments.cli import COMMANDS

ROOT = Path(experiments.__file__).parents[1]
SCRIPT = """
import sys
from {module} import {function}
if __name__ == "__main__":
    sys.exit({function}())
"""
NO_COMMANDS = {
    "__init__",
    "gains",
    "search",
    "thoughts",
    "beside",
    "captions",
    "cli",
    "common",
    "followed",
    "gaps",
    "text",
    "recorded",
    "tuned",
}


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    (entry,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"].items()
    name, target = entry
    module, function = target.split(":")
    path = tmp_path_factory.mktemp("bin") / name
    path.write_text(SCRIPT.format(module=module, function=function))
    return path


@pytest.fixture(scope="module")
def lstm_jax(script, tmp_path_factory):
    path = tmp_path_factory.mktemp("cli")
    environment = {**inherited(), "PYTHONPATH": str(ROOT), "COLUMNS": "100"}

    def run(*argv, cwd=path, before=()):
        command = [sys.executable, *before, str(script), *map(str, argv)]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


def test_every_command_is_listed_with_what_it_does():
    modules = {path.stem for path in Path(experiments.__file__).parent.glob("*.py")} - NO_COMMANDS
    assert {name.replace("-", "_") for name in COMMANDS} == modules


@pytest.mark.parametrize("argv", [(), ("--help",), ("-h",)], ids=str)
def test_help_lists_the_commands_at_once(lstm_jax, argv):
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        status, output, errors = lstm_jax(*argv)
        seconds.append(time.monotonic() - started)
        if seconds[-1] < 1.0:  # else the machine was busy
            break
    assert (status, errors) == (0, "") and min(seconds) < 1.0
    lines = output.splitlines()
    assert lines[0] == "usage: lstm-jax COMMAND [OPTIONS]" and max(map(len, lines)) <= 88
    for name, what in COMMANDS.items():
        assert any(line.split() == [name, *what.split()] for line in lines)


def test_help_loads_no_jax(lstm_jax):
    status, _, errors = lstm_jax("--help", before=("-X", "importtime"))
    loaded = {line.rpartition("|")[2].strip() for line in errors.splitlines()}
    assert status == 0 and "experiments.cli" in loaded
    assert loaded & {"jax", "flax", "wandb", "matplotlib", "scipy", "tyro"} == set()


@pytest.mark.parametrize(
    ("word", "near"), [("gaplength", "gap-length"), ("translate", "translation"), ("to_wanbd", "to-wandb")]
)
def test_an_unknown_command_is_one_line_with_the_nearest(here, word, near):
    status, output, errors = here(word, "--preset", "smoke")
    assert (status, output) == (2, "")
    assert errors.startswith(f"error: unknown command '{word}': did you mean '{near}'?") and errors.count("\n") == 1


@pytest.fixture
def here(monkeypatch, script, tmp_path):
    """As `lstm_jax`, in this process."""
    monkeypatch.setattr(sys, "argv", [str(script)])
    return lambda *argv: run_here("cli", *argv, cwd=tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_says_how_it_was_called(here, command):
    """Which is `python -m experiments.<command>` where it was (tests/experiments/test_commands.py)."""
    status, output, _ = here(command, "--help")
    assert status == 0 and f"usage: lstm-jax {command} " in output and "python -m" not in output.splitlines()[0]


def test_help_of_subcommands(here):
    for words in (["translation", "translate"], ["language-model", "sample"]):
        status, output, _ = here(*words, "--help")
        assert status == 0 and f"usage: lstm-jax {' '.join(words)} " in output
        status, _, errors = here(*words, "--nothing")
        assert status == 2 and "unknown option '--nothing'" in errors


def test_it_does_what_the_module_does(lstm_jax, tmp_path):
    """Trains in worker processes, which import the script anew; its status too, and its errors."""
    argv = shlex.split(
        "--preset smoke --cells lstm --gaps 2 --tuning-seeds --seeds 0 1 --learning-rates 0.01 --max-steps 20 "
        "--chunk-steps 10 --eval-size 32 --hidden-dim 4 --wandb disabled --workers 1"
    )
    status, output, errors = lstm_jax("gap-length", *argv, cwd=tmp_path)
    assert (status, errors) == (0, "") and "plot: results/gap_length/gap_length.png" in output
    status, output, _ = run("gap_length", *argv, "--executor", "serial", "--out", "other", cwd=tmp_path)
    assert status == 0 and "plot: other/gap_length.png" in output
    ours, theirs = (rows(tmp_path / out / "runs.csv") for out in ("results/gap_length", "other"))
    assert [row["loss"] for row in ours] == [row["loss"] for row in theirs] and len(ours) == 2
    status, output, _ = lstm_jax("status", "results/gap_length", "--check", cwd=tmp_path)
    assert status == 0 and "0 damaged" in output
    status, _, errors = lstm_jax("copy-task", "--preset", "nothing", cwd=tmp_path)
    assert status == 2 and errors.startswith("error: preset")


COMPLETE = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_lstm_jax lstm-jax "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
echo "${COMPREPLY[*]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="completes in bash")
def test_bash_completes_commands_and_their_options(tmp_path, capfd):
    assert completion.main([]) == 0
    (tmp_path / "completion").write_text(capfd.readouterr().out)
    (tmp_path / "complete").write_text(COMPLETE)

    def complete(*words):
        argv = ["bash", str(tmp_path / "complete"), str(tmp_path / "completion"), "lstm-jax", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()

    assert complete("gap") == ["gap-length"]
    assert complete("status", "--ch") == ["--check"]
    assert complete("gap-length", "--schedule", "co") == ["constant", "cosine"]
