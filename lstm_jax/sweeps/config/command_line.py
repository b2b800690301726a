"""Command line and YAML to a SweepConfig: preset, file, options, each overriding the one before. No jax."""

from __future__ import annotations

import ast
import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

from lstm_jax.errors import ConfigError
from lstm_jax.registry import nearest
from lstm_jax.sweeps.config.fields import Allowed, admits_none, plain_type
from lstm_jax.sweeps.config.options import FIELDS, SweepConfig, expected
from lstm_jax.sweeps.config.parsing import ALL_OPTIONS, no_value, on_this_machine, option, parse_options, values_of

MAX_FILE_BYTES = 1_000_000

_AS_TEXT = {"null": "None", "~": "None", ".inf": "inf"}
"""How YAML writes values that Python spells otherwise."""
_FLAGS = {"true": "--", "false": "--no-"}


@dataclasses.dataclass(frozen=True)
class Command:
    """What a command line asks for."""

    sweep: Annotated[SweepConfig, tyro.conf.arg(name="")]
    config: Annotated[Path | None, Allowed("a YAML file"), tyro.conf.arg(metavar="FILE")] = None
    """A YAML file with any of these options, such as the sweep.yaml of an earlier sweep; options override it."""
    grid: Annotated[Path | None, Allowed("a YAML file with method: grid"), tyro.conf.arg(metavar="FILE")] = None
    """A grid in wandb's sweep-file format (method: grid). Every combination is trained."""
    show: bool = False
    """Print a few examples of the task and exit."""
    data: tyro.conf.Suppress[Any] = None
    """Options of an experiment that prepares data of its own."""


def _with_data(data: Any) -> type[Command]:
    """The command of an experiment whose own options are the fields of the dataclass instance `data`."""
    if data is None:
        return Command
    field = ("data", Annotated[type(data), tyro.conf.arg(name="")], dataclasses.field(default=data))
    return dataclasses.make_dataclass("Command", [field], bases=(Command,), frozen=True)


def parse_command(
    presets: Mapping[str, SweepConfig], argv: Sequence[str], prog: str, description: str, data: Any = None
) -> Command:
    """The command that `argv` asks for; raises ConfigError, or SystemExit(0) after `--help`.

    The fields of the dataclass instance `data` are options too, on the command line alone. YAML is read as text (no
    numbers, booleans or nulls of YAML's own), put in front of the options, and tyro checks
    the types of both. A `--grid` is for `lstm_jax.sweeps.config.grid.parse_commands` to expand.
    """
    argv = usual_forms(argv)
    file = value_of("--config", argv)
    from_file = options_of(read_yaml(on_this_machine("config", Path(file))), file) if file is not None else []
    every = [*from_file, *argv]
    try:
        preset, beside = value_of("--preset", every) or "quick", value_of("--beside", every)
        beside = None if beside == "None" else beside  # as an earlier sweep's file has it
        defaults = next(iter(presets.values())) if beside else presets.get(preset)
        if defaults is None:
            *others, last = presets
            raise ConfigError(f"preset: got {preset!r}; expected {', '.join(others)} or {last}")
        if beside:
            defaults = _settings_of(on_this_machine("beside", Path(beside)), defaults, argv)
        for name, hint in FIELDS.items():
            if "" in values_of(option(name), every):
                raise no_value(name, hint)
        cls = _with_data(data)
        command = parse_options(cls, every, prog, description, cls(defaults))
    except ConfigError as error:
        name = option(str(error).partition(":")[0])
        is_in_file = name in from_file and name not in "=".join(argv).split("=")
        raise ConfigError(f"{file}: {error}" if is_in_file else str(error)) from None
    command.sweep.logging.target()  # raises where the environment asks for what wandb refuses
    return command


def _settings_of(directory: Path, defaults: SweepConfig, argv: Sequence[str]) -> SweepConfig:
    """What a sweep beside that in a directory has where nothing else is given: its settings, but not where it ran."""
    if value_of("--preset", argv) is not None:
        raise ConfigError(f"preset: expected none with --beside, which takes the settings of {directory}")
    file = directory / "sweep.yaml"
    if not file.is_file():
        raise ConfigError(
            f"beside: got {directory}; expected the directory of a finished sweep, with sweep.yaml and runs.csv"
        )
    if not values_of("--cells", argv) and value_of("--config", argv) is None:
        raise ConfigError("cells: none given; expected those to train beside the sweep, such as package.module:Name")
    out = Path("results") / f"beside_{directory.resolve().name}"
    sweep = from_yaml(file)
    return dataclasses.replace(sweep, execution=defaults.execution, logging=defaults.logging, out=out)


def usual_forms(argv: Sequence[str]) -> list[str]:
    """Options as tyro has them, from the forms of wandb's agent too.

    It spells `--hidden_dim=16`, and passes lists and booleans as Python prints them: `--cells=['rnn', 'lstm']`,
    `--accept_changes=True`.
    """
    options: list[str] = []
    for argument in argv:
        match = re.fullmatch(r"--([\w.-]+)(=.*)?", argument, re.DOTALL)
        name, value = (match[1].replace("-", "_"), (match[2] or "")[1:]) if match else ("", "")
        if is_list(name) and value.startswith("["):
            options += options_of({name: _list(name, value)})
        elif name in FIELDS and plain_type(FIELDS[name]) is bool and value:
            options += options_of({name: value})
        elif match:
            options.append(f"--{name.replace('_', '-')}{match[2] or ''}")
        else:
            options.append(argument)
    return options


def is_list(name: str) -> bool:
    """Whether an option takes several values."""
    return name in FIELDS and typing.get_origin(plain_type(FIELDS[name])) is tuple


def _list(name: str, text: str) -> list[str]:
    try:
        return [str(value) for value in ast.literal_eval(text)]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise expected(name, repr(text)) from None


def value_of(name: str, argv: Sequence[str]) -> str | None:
    """The value that `argv` gives the option last."""
    values = values_of(name, argv)
    return values[-1] if values else None


class _TextLoader(yaml.BaseLoader):
    """YAML in which every scalar is text: 1e-3 stays a number for tyro to read, `no` is no boolean."""


def mapping(loader: Any, node: yaml.MappingNode) -> dict[str, Any]:
    """A YAML mapping; raises ConfigError where a key is given twice."""
    pairs = [(loader.construct_object(key), loader.construct_object(value, deep=True)) for key, value in node.value]
    keys = [str(key) for key, _ in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ConfigError(f"line {node.start_mark.line + 1}: {', '.join(twice)} is given twice; expected each key once")
    return dict(zip(keys, (value for _, value in pairs), strict=True))


_TextLoader.add_constructor("tag:yaml.org,2002:map", mapping)


def read_yaml(path: Path, option: str = "config", loader: Any = _TextLoader) -> dict[str, Any]:
    """The YAML mapping that `option` names, of text; raises ConfigError for aliases, tags and duplicate keys."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: expected a file of at most {MAX_FILE_BYTES} bytes")
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{option}: can't read {path} ({getattr(error, 'strerror', None) or error})") from None
    try:
        for event in _events(text):
            line = event.start_mark.line + 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise ConfigError(f"line {line}: expected no anchors or aliases (& or *)")
            if getattr(event, "tag", None):
                raise ConfigError(f"line {line}: expected no tags, got {event.tag}")
        tree = yaml.load(text, loader)
    except ConfigError as error:
        raise ConfigError(f"{path}, {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected a mapping of options to values, got {type(tree).__name__}")
    return tree


def _events(text: str) -> Iterator[Any]:
    return iter(yaml.parse(text, yaml.BaseLoader))


def options_of(tree: Mapping[str, Any], file: str = "") -> list[str]:
    """A mapping of names to text and lists of text, such as a YAML file's, as command-line options."""
    prefix = f"{file}: " if file else ""
    options: list[str] = []
    seen: set[str] = set()
    for key, value in tree.items():
        name = key.replace("-", "_")
        if name in seen:
            raise ConfigError(f"{prefix}{name} is given twice; expected each key once")
        seen.add(name)
        if name not in FIELDS:
            raise ConfigError(f"{prefix}unknown key {key!r}; {nearest(key, list(FIELDS), ALL_OPTIONS)}")
        values = value if isinstance(value, list) else [value]
        if any(not isinstance(each, str) for each in values):
            raise ConfigError(f"{prefix}{expected(name, 'a nested value')}")
        if isinstance(value, list) and not is_list(name):
            raise ConfigError(f"{prefix}{expected(name, f'the list {value}')}")
        if any(each.startswith("--") for each in values):
            raise ConfigError(f"{prefix}{expected(name, repr(values))}")
        if plain_type(FIELDS[name]) is Path and value in (*_AS_TEXT, "None") and not admits_none(FIELDS[name]):
            raise ConfigError(f"{prefix}{expected(name, repr(value))}")
        if plain_type(FIELDS[name]) is bool:
            if value.lower() not in _FLAGS:
                raise ConfigError(f"{prefix}{expected(name, repr(value))}")
            options.append(_FLAGS[value.lower()] + name.replace("_", "-"))
            continue
        options += [option(name), *(_AS_TEXT.get(str(each), str(each)) for each in values)]
    return options


def to_yaml(config: SweepConfig) -> str:
    """The resolved configuration as a file that `--config` reads back to the same."""
    tree = {name: _plain(value) for name, value in config.flat.items()}
    for name in ("out", "accept_changes"):  # what a command does is not what a sweep is
        del tree[name]
    text: str = yaml.dump(tree, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, str | Path) else value


def from_yaml(path: Path) -> SweepConfig:
    """Read what `to_yaml` wrote."""
    file = str(path)
    options = options_of(read_yaml(path), file)
    try:
        return parse_options(SweepConfig, options, file, "", SweepConfig())
    except ConfigError as error:
        raise ConfigError(f"{file}: expected a sweep.yaml that this version wrote ({error})") from None
