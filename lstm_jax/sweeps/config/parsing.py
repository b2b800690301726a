"""Options as tyro reads them, for every command: paths are on this machine, and what is wrong is one line. No jax."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from lstm_jax.errors import ConfigError
from lstm_jax.registry import nearest

T = TypeVar("T")
ALL_OPTIONS = "--help lists all options"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a Path has one slash of `gs://`; Windows' drives have one letter


def flat_types(cls: Any, prefix: str = "") -> dict[str, Any]:
    """The options of a configuration with their types; one in a group is `group.name`."""
    types: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(cls).items():
        types |= flat_types(hint, f"{name}.") if dataclasses.is_dataclass(hint) else {prefix + name: hint}
    return types


def parse_options(cls: type[T], argv: Sequence[str], prog: str, description: str, default: T | None = None) -> T:
    """tyro's reading of `argv`, its paths on this machine; its errors, which fill a box, as a ConfigError of one line.

    Every command's options are read here.
    """
    output, errors = io.StringIO(), io.StringIO()
    options: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            parsed: T = tyro.cli(cls, prog=prog, description=description, args=argv, **options)
    except SystemExit as stop:
        if not stop.code:
            print(output.getvalue(), end="")
            raise
        text = " ".join(word for word in errors.getvalue().split() if set(word) - set("-─│╭╮╰╯"))
        raise _of_tyro(text, cls) from None
    return on_this_machine("", parsed)


class UnexplainedError(ConfigError):
    """What tyro says of a value: without what is allowed."""


def _of_tyro(message: str, cls: Any) -> ConfigError:
    """What tyro says at length of options that are unknown or missing, in a line that is read to its end."""
    unknown = re.search(r"Unrecognized options?: (.+)", message)
    if unknown:
        word = re.split(r"[\s,=]", unknown[1])[0]
        names = (name.removeprefix("sweep.").removeprefix("data.") for name in flat_types(cls))
        options = [f"--{name.replace('_', '-')}" for name in names]
        return ConfigError(f"unknown option {word!r}: {nearest(word, options, ALL_OPTIONS)}")
    if message.startswith("Required options"):
        required = [field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING]
        return ConfigError(f"{', '.join(required)}: no value given; {ALL_OPTIONS}")
    return UnexplainedError(message)


def on_this_machine(name: str, value: T) -> T:
    """`value`, or the paths in it, with `~` as the home directory; raises ConfigError for the address of another place.

    A shell expands `~` at the start of a word alone: neither in `--out=~/x` nor in a file.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        changed = {each: on_this_machine(each, getattr(value, each)) for each in fields}
        return dataclasses.replace(value, **changed)
    if not isinstance(value, Path):
        return value
    if _ADDRESS.match(str(value)):
        raise ConfigError(f"{name}: got {str(value).replace(':/', '://', 1)}; expected a path on this machine")
    try:
        return value.expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{name}: got {value}; expected a path ({str(error).rstrip('.')})") from None
