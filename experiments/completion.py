"""Shell completion of the command `lstm-jax`, as tyro has it for each of its commands.

lstm-jax completion > ~/.local/share/bash-completion/completions/lstm-jax    # bash
autoload -U bashcompinit && bashcompinit && source <(lstm-jax completion)    # zsh
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import re
import sys
from collections.abc import Sequence

import rich.console

from experiments.cli import COMMANDS, NAME, program
from experiments.common import command
from lstm_jax.sweeps.config.parsing import parse_options

_DISPATCH = """
_lstm_jax() {{
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "${{COMP_WORDS[1]}}"))
    return 0
  fi
  local called="${{COMP_WORDS[1]}}" COMP_CWORD=$((COMP_CWORD - 1))
  local -a COMP_WORDS=("${{COMP_WORDS[0]}}" "${{COMP_WORDS[@]:2}}")
  case "$called" in
{cases}
  esac
}}
complete -F _lstm_jax {name}
"""


@dataclasses.dataclass(frozen=True)
class Completion:
    """Print a script that completes commands and options in bash."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""

    def act(console: rich.console.Console) -> int:
        given = sys.argv[1:] if argv is None else argv
        parse_options(Completion, given, program("completion"), str(Completion.__doc__))
        print(script())
        return 0

    return command(act)


def script() -> str:
    """Return tyro's functions of all commands, and one that picks among them by the command's name."""
    functions, cases = [], []
    for name in COMMANDS:
        text = _of_command(name)
        functions.append(re.sub(r"^# Register completion.*", "", text, flags=re.DOTALL | re.MULTILINE))
        cases.append(f"    {name}) _tyro_{re.sub(r'[^a-zA-Z0-9]', '_', f'{NAME} {name}')} ;;")
    return "\n".join(functions) + _DISPATCH.format(commands=" ".join(COMMANDS), cases="\n".join(cases), name=NAME)


def _of_command(name: str) -> str:
    """Return what tyro prints for a command, as called by way of `lstm-jax`."""
    module = importlib.import_module(f"experiments.{name.replace('-', '_')}")
    printed = io.StringIO()
    argv, sys.argv = sys.argv, [NAME]
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            module.main(["--tyro-print-completion", "bash"])
    finally:
        sys.argv = argv
    return printed.getvalue()


if __name__ == "__main__":
    sys.exit(main())
