"""Names and settings as text: `lstm@forget_bias=5` <-> a class and its fields. No jax.

Cells and tasks are frozen dataclasses, so their fields are their command line. One grammar serves both:

    name                              a registered class, with its defaults
    name@field=value,field=value      other settings
    package.module:Class@field=value  a class of the user's own
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import math
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

_SPEC = re.compile(r"(?P<name>[^@]+)(@(?P<settings>.+))?")


class Spec(str):
    """A name and the text of its settings; as text it is the label that files and plots carry.

    Read from text once, where options are read, and passed on as this value.
    """

    name: str
    settings: tuple[tuple[str, str], ...]

    def __new__(cls, name: str, settings: tuple[tuple[str, str], ...] = ()) -> Spec:
        """Write the label."""
        text = ",".join(f"{field}={value}" for field, value in settings)
        spec = super().__new__(cls, f"{name}@{text}" if settings else name)
        spec.name, spec.settings = name, settings
        return spec

    def __getnewargs__(self) -> Any:
        return self.name, self.settings

    def with_settings(self, settings: tuple[tuple[str, str], ...]) -> Spec:
        """The same name with other settings."""
        return Spec(self.name, settings)


def parse(text: str) -> Spec:
    """Split `name@field=value,...`, unless that has been done; raises ValueError that says what the form is."""
    if isinstance(text, Spec):
        return text
    match = _SPEC.fullmatch(text.strip())
    form = "expected name, name@field=value or package.module:Name@field=value,field=value"
    if match is None:
        raise ValueError(f"{text!r}: {form}")
    settings = []
    for setting in (match["settings"] or "").split(",") if match["settings"] else []:
        field, separator, value = (part.strip() for part in setting.partition("="))
        if not (field and separator and value):
            raise ValueError(f"{text!r}: {setting!r} is no field=value; {form}")
        settings.append((field, value))
    names = [field for field, _ in settings]
    if len(set(names)) < len(names):
        raise ValueError(f"{text!r}: a field is set twice; {form}")
    return Spec(match["name"].strip(), tuple(settings))


MAX_LISTED = 8
"""Choices that an error message lists; of more only the nearest."""


def nearest(word: str, choices: Collection[str], all_are: str = "") -> str:
    """The end of an error message: the nearest of `choices` where one is near, and all of them where they are few.

    Of many, where to find them all, as `all_are` says, or the first.
    """
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    suggestion = f"did you mean {near[0]!r}? " if near else ""
    if len(choices) <= MAX_LISTED:
        return f"{suggestion}choose from {', '.join(choices)}"
    first = ", ".join(list(choices)[:MAX_LISTED])
    return suggestion + (all_are or f"choose from {first}, ... ({len(choices)} in all)")


def is_class(value: Any) -> bool:
    """Whether it is a class."""
    return isinstance(value, type)


def load(kind: str, name: str, registered: Mapping[str, str], is_one: Callable[[Any], bool] = is_class) -> Any:
    """The object called `name`: a registered name, or `package.module:Name` of the user's own.

    Raises ValueError with the nearest name, or with the reason why an own module can't be had. `is_one` says what else
    in an own module may have been meant.
    """
    if ":" not in name:
        if name not in registered:
            raise ValueError(
                f"unknown {kind} {name!r}: {nearest(name, list(registered))}, or package.module:Name of your own"
            )
        name = registered[name]
    module_name, _, attribute = name.partition(":")
    if module_name == "__main__":
        raise ValueError(
            f"{kind} {name!r} is defined in the script or notebook itself, which worker processes do not import; "
            f"expected it in a module: put it into a file beside this one, own.py say, and name it own:{attribute}"
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may fail in any way; the command answers with one line
        raise ValueError(
            f"{kind} {name!r}: can't import {module_name!r} ({type(error).__name__}: {error}); "
            "is it on PYTHONPATH or installed?"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        others = [each for each, value in vars(module).items() if is_one(value)]
        near = difflib.get_close_matches(attribute, others, n=1, cutoff=0.5)
        suggestion = f"did you mean {near[0]!r}?" if near else f"expected package.module:Name of a {kind}"
        raise ValueError(f"{kind} {name!r}: {module_name} has no {attribute!r}; {suggestion}") from None


def construct(kind: str, spec: Spec, cls: Any, base: type, fixed: Mapping[str, Any]) -> Any:
    """`cls` with the settings of `spec`, and with those `fixed` values that it has a field for.

    Raises ValueError that names the field, what was given and what is allowed.
    """
    if not (isinstance(cls, type) and issubclass(cls, base) and dataclasses.is_dataclass(cls)):
        expected = f"a dataclass derived from {base.__module__}.{base.__name__}"
        raise ValueError(f"{kind} {spec.name!r}: expected {expected}, got {cls!r}")
    fields = fields_of(cls)
    free = [setting for setting in fields if setting not in fixed]
    values, rest = split(kind, spec, cls, free)
    for setting, _ in rest.settings:
        if setting in fixed:
            raise ValueError(f"{kind} {spec!r}: {setting} is set by the experiment's own option, not here")
        allowed = nearest(setting, free) if free else "it has no settings"
        raise ValueError(f"{kind} {spec!r}: unknown setting {setting!r}; {allowed}")
    values |= {fields[setting]: value for setting, value in fixed.items() if setting in fields}
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{kind} {spec!r}: {error}") from None


def split(kind: str, spec: Spec, cls: type, settings: Collection[str]) -> tuple[dict[str, Any], Spec]:
    """Those of the given `settings` of `cls` that `spec` sets, as values by field, and the spec with the others.

    Raises ValueError that names the setting, what was given and what is allowed.
    """
    fields, hints = fields_of(cls), typing.get_type_hints(cls)
    values = {}
    for setting, text in spec.settings:
        if setting in settings:
            try:
                values[fields[setting]] = parse_value(text, hints[fields[setting]])
            except ValueError as error:
                raise ValueError(f"{kind} {spec!r}: {setting}: {error}") from None
    rest = tuple(item for item in spec.settings if item[0] not in settings)
    return values, spec.with_settings(rest)


def fields_of(cls: Any) -> dict[str, str]:
    """The fields of a dataclass by setting: its own name, unless that is taken by a method (a cell's `init`)."""
    return {field.metadata.get("setting", field.name): field.name for field in dataclasses.fields(cls) if field.init}


def parse_value(text: str, hint: Any) -> Any:
    """`text` as a value of the type `hint`: bool, int, float, str, a Literal, or one of these or None."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        options = typing.get_args(hint)
        if type(None) in options and text.lower() == "none":
            return None
        hint = next(option for option in options if option is not type(None))
    if typing.get_origin(hint) is typing.Literal:
        choices = {str(choice): choice for choice in typing.get_args(hint)}
        if text not in choices:
            raise ValueError(f"got {text!r}; {nearest(text, list(choices))}")
        return choices[text]
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"got {text!r}; expected true or false")
        return text.lower() == "true"
    if hint not in (int, float, str):
        raise ValueError(f"a field of type {hint} can't be set by text")
    try:
        value = hint(text)
    except ValueError:
        raise ValueError(f"got {text!r}; expected {'a whole number' if hint is int else 'a number'}") from None
    if hint is float and not math.isfinite(value):
        raise ValueError(f"got {text!r}; expected a finite number")
    return value


def is_as_before(field: dataclasses.Field[Any], value: Any) -> bool:
    """Whether `value` is what all had before the field was there: `field(default=0, metadata={"before": 0})`.

    An identity has such a field only where it has another value: what was made before the field keeps its identity. The
    metadata stay when the default changes.
    """
    return "before" in field.metadata and bool(field.metadata["before"] == value)
