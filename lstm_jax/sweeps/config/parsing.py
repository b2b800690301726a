"""Options as tyro reads them, for every command: paths are on this machine, and errors are one line. No jax."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from lstm_jax.errors import ConfigError
from lstm_jax.registry import nearest
from lstm_jax.sweeps.config.fields import expected, fields_of, local, words_of

T = TypeVar("T")
ALL_OPTIONS = "--help lists all options"


def parse_options(cls: type[T], argv: Sequence[str], prog: str, description: str, default: T | None = None) -> T:
    """The options in `argv`, paths on this machine; raises ConfigError of one line where tyro would fill a box.

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
        raise _cause(stop) or _in_one_line(errors.getvalue(), cls, argv) from None
    return on_this_machine("", parsed)


def _cause(error: BaseException | None) -> ConfigError | None:
    """The ConfigError of a field that was given what it does not admit, around which tyro has put its own."""
    while error is not None and not isinstance(error, ConfigError):
        error = error.__context__
    return error


def _in_one_line(box: str, cls: Any, argv: Sequence[str]) -> ConfigError:
    """What tyro says at length of an option that is unknown, missing or of another type."""
    message = " ".join(word for word in box.split() if set(word) - set("-─│╭╮╰╯"))
    fields = fields_of(cls)
    unknown = re.search(r"Unrecognized options?: (.+)", message)
    if unknown:
        word = re.split(r"[\s,=]", unknown[1])[0]
        return ConfigError(f"unknown option {word!r}: {nearest(word, [option(name) for name in fields], ALL_OPTIONS)}")
    if message.startswith("Required options"):
        required = [field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING]
        return ConfigError(f"{', '.join(required)}: no value given; {ALL_OPTIONS}")
    named = re.search(r"--([a-z][\w.-]*)", message)
    name = named[1].replace("-", "_") if named else ""
    if name not in fields:
        return ConfigError(message)
    given = " ".join(values_of(option(name), argv))
    return expected(name, repr(given), fields[name]) if given else no_value(name, fields[name])


def no_value(name: str, hint: Any) -> ConfigError:
    """The error of an option that is given without a value, or with an empty one."""
    return ConfigError(f"{name}: no value given; expected {words_of(hint)}")


def option(name: str) -> str:
    """A field's name as the command line spells it."""
    return f"--{name.replace('_', '-')}"


def values_of(option: str, argv: Sequence[str]) -> list[str]:
    """The values behind the last `option`, up to the next one."""
    values: list[str] = []
    inside = False
    for argument in argv:
        if argument.startswith("--"):
            inside = argument.split("=")[0] == option
            if inside:
                values = argument.split("=", 1)[1:]
        elif inside:
            values.append(argument)
    return values


def on_this_machine(name: str, value: T) -> T:
    """Return `value` with each path in it as `local` makes it; raises ConfigError for the address of another place."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        changed = {each: on_this_machine(each, getattr(value, each)) for each in fields}
        return dataclasses.replace(value, **changed)
    if isinstance(value, Path):
        try:
            path: Any = local(value)
        except ValueError as error:
            raise ConfigError(f"{name}: {error}") from None
        value = path
    return value
