"""The command `lstm-jax`, once installed: `lstm-jax gap-length` is `python -m experiments.gap_length`. No jax.

To add a command: a module beside this one with a `main(argv)` that returns the exit status, and a line in `COMMANDS`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from lstm_jax.registry import nearest
from lstm_jax.terminal import lasting_output

NAME = "lstm-jax"
COMMANDS = {
    "gap-length": "How learning degrades with the distance between a fact and its use",
    "copy-task": "The copying memory task: how long symbols can be held",
    "translation": "Train translators of sentences; `translation translate` uses one",
    "language-model": "Train language models on a text; `language-model sample` uses one",
    "controls": "Negative controls: what a sweep must not find",
    "arms": "The gap experiment with other filler, and at a fixed total length",
    "suite": "All cells on a small set of tasks; repeated, it goes on",
    "leaderboard": "Cells ranked by horizon on each task of a suite, with ties",
    "generalization": "Runs of a finished sweep at larger gaps than they were trained at",
    "why": "Why a cell stops: signal, memory and gradient of a far fact",
    "rescues": "What lets a cell learn that had stopped: one change at a time",
    "drift": "Whether a cell's memory grows or shrinks before it has seen the fact",
    "reproduce": "Published comparisons at their own settings, and a verdict",
    "gates": "The gates of a trained cell over a sentence",
    "images": "Fetch images for the task sequential_image",
    "report": "Analyse and draw a finished sweep again, from its files",
    "status": "How far a sweep is, and what is damaged (--check)",
    "to-wandb": "Log a finished sweep to Weights & Biases",
    "completion": "Shell completion: a script that bash reads",
}
"""What each command does; its module has the same name with underscores."""


def program(command: str) -> str:
    """How the user calls a command, for help and messages: as it was called just now."""
    if sys.argv and Path(sys.argv[0]).stem == NAME:
        return f"{NAME} {command}"
    return f"python -m experiments.{command.replace('-', '_')}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names; returns its exit status, 2 where there is none of that name."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        with lasting_output():
            print(_help())
        return 0
    command = argv[0].replace("_", "-")
    if command not in COMMANDS:
        with lasting_output():
            print(f"error: unknown command {argv[0]!r}: {nearest(command, list(COMMANDS))}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"experiments.{command.replace('-', '_')}")
    status: int = module.main(argv[1:])
    return status


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {command:{width}}  {what}" for command, what in COMMANDS.items()]
    return "\n".join([f"usage: {NAME} COMMAND [OPTIONS]", "", *lines, "", f"{NAME} COMMAND --help lists its options."])


if __name__ == "__main__":
    sys.exit(main())
