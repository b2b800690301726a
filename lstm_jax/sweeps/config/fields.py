"""State what a field admits once, at the field: check, error message and help come from there.

batch_size: Annotated[int, Allowed("a whole number of at least 1", lambda value: value >= 1)] = 32
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
import struct
import types
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from lstm_jax.errors import ConfigError

MAX_COUNT = 2**31 - 1
_SHOWN = 60
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # a Path has one slash of `gs://`; Windows' drives have one letter


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What a field admits: in words, and as a check of a value that has its type; for a tuple, of each element."""

    words: str
    admits: Callable[[Any], bool] = lambda value: True
    at_least: int = 0
    """Elements of a tuple."""
    metavar: str = ""
    """The constraint as `--help` shows it behind the option; "": the type alone."""
    parse: Callable[[str], Any] | None = None
    """Makes of text the value that the field holds, or raises ValueError."""


def whole(low: int, high: int = MAX_COUNT, reason: str = "") -> Allowed:
    """A whole number in `low` to `high`."""
    metavar = f"{low}..{high}" if high < MAX_COUNT else f"INT>={low}"
    return Allowed(
        f"a whole number in {low} to {high}{reason}", lambda value: bool(low <= value <= high), metavar=metavar
    )


Count = Annotated[int, whole(1)]
AT_LEAST_ONE = Allowed("a whole number of at least 1", lambda number: bool(number >= 1), metavar="INT>=1")


def single(number: float) -> float:
    """Round to single precision (float32), in which runs compute."""
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


def is_positive_single(number: float) -> bool:
    """Whether it is a positive normal number in single precision: many machines take smaller ones for 0."""
    return 2.0**-126 <= single(number) < math.inf


def fields_of(cls: Any) -> Mapping[str, Any]:
    """The options of a dataclass with their annotations; those of a group of options as `group.name`.

    A group whose annotation gives it the name "" lends its options no prefix.
    """
    found: dict[str, Any] = {}
    for name, hint in _hints(cls).items():
        group, *extras = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
        if dataclasses.is_dataclass(group):
            prefix = "" if any(getattr(extra, "name", None) == "" for extra in extras) else f"{name}."
            found |= {prefix + inner: its for inner, its in fields_of(group).items()}
        else:
            found[name] = hint
    return found


def words_of(hint: Any) -> str:
    """Say in words what an annotation admits."""
    base, allowed, is_optional = _taken_apart(hint)
    if typing.get_origin(base) is typing.Literal:
        *others, last = map(str, typing.get_args(base))
        words = f"{', '.join(others)} or {last}"
    elif dataclasses.is_dataclass(base):
        words = f"a {getattr(base, '__name__', base)}"
    else:
        words = allowed.words if allowed else "true or false" if base is bool else "a value of another type"
    return f"{words}, or None" if is_optional else words


def plain_type(hint: Any) -> Any:
    """The type of an annotation without constraints and None: int, tuple[str, ...], a Literal, ..."""
    return _taken_apart(hint)[0]


def admits_none(hint: Any) -> bool:
    """Whether None is a value of its own."""
    return _taken_apart(hint)[2]


def expected(name: str, given: str, hint: Any) -> ConfigError:
    """Make the error that says what the field `name` admits."""
    base = plain_type(hint)
    choices = map(str, typing.get_args(base)) if typing.get_origin(base) is typing.Literal else ()
    near = difflib.get_close_matches(given.strip("'"), choices, n=1)
    suggestion = f"; did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"{name}: got {given}; expected {words_of(hint)}{suggestion}")


@dataclasses.dataclass(frozen=True)
class Checked:
    """A frozen dataclass whose fields hold only what their annotations admit: another can't be made.

    Lists become tuples, NumPy's numbers Python's, whole numbers floats and text paths, where the field is of that type;
    `~` becomes the home directory.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, hint in typing.get_type_hints(cls, include_extras=True).items():
            _, allowed, is_optional = _taken_apart(hint)
            if name in cls.__annotations__ and allowed and allowed.metavar:
                metavar = f"None|{allowed.metavar}" if is_optional else allowed.metavar
                cls.__annotations__[name] = Annotated[hint, tyro.conf.arg(metavar=metavar)]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, admitted(type(self), field.name, getattr(self, field.name)))


def admitted(cls: Any, name: str, value: Any) -> Any:
    """The value as the field `name` of `cls` holds it; raises ConfigError where the field does not admit it."""
    hint, label = _hints(cls)[name], f"{getattr(cls, 'GROUP', '')}{name}"
    try:
        value = _converted(value, hint)
    except ValueError as error:
        raise ConfigError(f"{label}: {error}") from None
    _check(label, value, hint)
    return value


def _check(name: str, value: Any, hint: Any) -> None:
    base, allowed, is_optional = _taken_apart(hint)
    if value is None and is_optional:
        return
    is_tuple = typing.get_origin(base) is tuple
    values, kind = (value, typing.get_args(base)[0]) if is_tuple and isinstance(value, tuple) else ((value,), base)
    if allowed and len(values) < allowed.at_least:
        raise expected(name, "none", hint)
    wrong = [each for each in values if not (_is_of(each, kind) and (allowed is None or allowed.admits(each)))]
    if wrong:
        raise expected(name, in_words(wrong), hint)
    twice = sorted({each for each in values if values.count(each) > 1})
    if twice:
        raise expected(name, f"{in_words(twice)} more than once", hint)


def _is_of(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is typing.Literal:
        return value in typing.get_args(kind)
    if isinstance(kind, type) and typing.get_origin(kind) is None:
        return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return False  # a tuple that was given as something else


def plain(value: Any) -> Any:
    """NumPy's numbers as Python's; lists, ranges and arrays as tuples."""
    if isinstance(value, list | tuple | range) or getattr(value, "ndim", 0) == 1:
        return tuple(plain(each) for each in value)
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _converted(value: Any, hint: Any) -> Any:
    base, allowed, _ = _taken_apart(hint)
    value = plain(value)
    if typing.get_origin(base) is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(base)[0]
        return tuple(_converted(each, Annotated[inner, allowed] if allowed else inner) for each in value)
    if allowed and allowed.parse and isinstance(value, str) and value:
        return allowed.parse(value)
    if base is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value) + 0.0  # -0.0 is 0.0, also in a run's identity
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return local(Path(value)) if base is Path and isinstance(value, str | Path) else value


def local(path: Path) -> Path:
    """Return a path with `~` as the home directory; raises ValueError for the address of another place.

    A shell expands `~` at the start of a word alone: neither in `--out=~/x` nor in a file.
    """
    if _ADDRESS.match(str(path)):
        raise ValueError(f"got {str(path).replace(':/', '://', 1)}; expected a path on this machine")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"got {path}; expected a path ({str(error).rstrip('.')})") from None


def in_words(values: Collection[Any]) -> str:
    """Values for a message, long ones cut off."""
    return ", ".join(map(_in_words, values))


def _in_words(value: Any) -> str:
    text = repr(value)
    if len(text) <= _SHOWN:
        return text
    return f"'{text[1:41]}... ({len(text) - 2} characters)'" if isinstance(value, str) else f"{text[:40]}..."


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _taken_apart(hint: Any) -> tuple[Any, Allowed | None, bool]:
    """The plain type of an annotation, what it allows, and whether it admits None."""
    allowed = None
    if typing.get_origin(hint) is typing.Annotated:
        hint, *extras = typing.get_args(hint)
        allowed = next((extra for extra in extras if isinstance(extra, Allowed)), None)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (inner,) = [each for each in typing.get_args(hint) if each is not type(None)]
        base, its_own, _ = _taken_apart(inner)
        return base, its_own or allowed, True
    return hint, allowed, False
