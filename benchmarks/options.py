"""Options of the benchmarks, read as those of all commands are. Neither jax nor NumPy: some choose cores first."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NoReturn, TypeVar

from lstm_jax.errors import ConfigError
from lstm_jax.registry import nearest
from lstm_jax.sweeps.config.parsing import parse_options

T = TypeVar("T")


def options(cls: type[T], command: str) -> T:
    """The options of `python -m benchmarks.<command>`; exits with one line and status 2 where they are wrong."""
    name, *subcommand = command.split()
    try:
        argv = sys.argv[1 + len(subcommand) :]
        parsed = parse_options(cls, argv, f"python -m benchmarks.{command}", cls.__doc__ or "")
        for option, value in vars(parsed).items():
            if value == ():
                raise ConfigError(f"{option}: no value given; expected at least one")
    except ConfigError as error:
        refuse(f"{name}: {error}")
    return parsed


def options_of(classes: Mapping[str, type[T]], command: str) -> T:
    """Those of the subcommand that the first word names, an instance of its class."""
    words = sys.argv[1:2]
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, classes))
        lines = [f"  {name:{width}}  {cls.__doc__}" for name, cls in classes.items()]
        print(f"usage: python -m benchmarks.{command} COMMAND [OPTIONS]", "", *lines, sep="\n")
        raise SystemExit(0 if words else 2)
    if words[0] not in classes:
        refuse(f"{command}: unknown command {words[0]!r}: {nearest(words[0], list(classes))}")
    return options(classes[words[0]], f"{command} {words[0]}")


def refuse(message: str) -> NoReturn:
    """Exit with one line and status 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)
