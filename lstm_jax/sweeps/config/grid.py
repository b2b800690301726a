"""A grid file, which is a sweep file of wandb's: one file for `--grid FILE`, and for `wandb sweep FILE` with agents.

    method: grid
    parameters:
      preset: {value: smoke}
      cells: {values: [rnn, lstm]}      # of one sweep: cells, gaps, learning_rates, seeds, tuning_seeds
      seeds: {value: [0, 1, 2]}         # a list as a value: an agent trains all of it in one call
      hidden_dim: {values: [16, 32]}    # any other field: a sweep for each combination

wandb's agent calls the command once for each combination of all values; `--grid` trains the same runs in one call.
No jax, no wandb.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lstm_jax.errors import ConfigError
from lstm_jax.files import file_name
from lstm_jax.registry import nearest
from lstm_jax.sweeps.config.command_line import (
    Command,
    mapping,
    options_of,
    parse_command,
    read_yaml,
    usual_forms,
    value_of,
)
from lstm_jax.sweeps.config.execution import ExecutionOptions, LoggingOptions
from lstm_jax.sweeps.config.fields import fields_of
from lstm_jax.sweeps.config.options import FIELDS, Grid, SweepConfig
from lstm_jax.sweeps.config.parsing import ALL_OPTIONS, on_this_machine

_KEYS = (
    *("method", "parameters", "program", "command", "name", "description", "project", "entity", "metric"),
    *("apiVersion", "kind", "controller"),
)
_LESS_THAN_ALL = ("run_cap", "early_terminate")
"""What wandb knows too, and would leave out combinations or end runs early."""
_CHANGE_NO_NUMBER = {*fields_of(ExecutionOptions), *fields_of(LoggingOptions), "out", "no_accept_changes"}
_SPANNED = fields_of(Grid)


class GridFile(NamedTuple):
    """The parameters of a grid file: text, and lists of text for the fields that take several.

    A sweep has all of `fixed`; each combination of the values in `swept` is a sweep of its own.
    """

    fixed: dict[str, Any]
    swept: dict[str, list[Any]]


def parse_commands(
    presets: Mapping[str, SweepConfig], argv: Sequence[str], prog: str, description: str, data: Any = None
) -> list[Command]:
    """The commands that `argv` asks for: one, or those that its `--grid` expands to, each with its own directory.

    Options override the grid file, that overrides a `--config` file, and that the preset. Raises ConfigError, or
    SystemExit(0) after `--help`.
    """
    argv = usual_forms(argv)
    file = value_of("--grid", argv)
    if file is None:
        command = parse_command(presets, argv, prog, description, data)
        return [_in_directory(command, agents_directory(command.sweep.out))]
    given = {argument[2:].split("=")[0].replace("-", "_") for argument in argv if argument.startswith("--")}
    given |= {name.removeprefix("no_") for name in given}
    commands = []
    for name, parameters in combinations(read_grid(on_this_machine("grid", Path(file))), given):
        try:
            command = parse_command(presets, [*options_of(parameters), *argv], prog, description, data)
        except ConfigError as error:
            is_from_file = str(error).partition(":")[0] in parameters
            raise ConfigError(f"{file}: {error}" if is_from_file else str(error)) from None
        commands.append(_in_directory(command, agents_directory(command.sweep.out) / name))
    if len({command.sweep.replace(out=Path()) for command in commands}) < len(commands):
        raise ConfigError(f"{file}: two combinations are the same sweep; expected each value once")
    return commands


def read_grid(path: Path) -> GridFile:
    """The parameters of a grid file; raises ConfigError for what is not a grid, or would be another one to wandb."""
    tree = read_yaml(path, "grid", _WandbLoader)
    for key in tree:
        if key in _LESS_THAN_ALL:
            raise ConfigError(f"{path}: {key}: got {tree[key]}; expected none, every combination is trained to its end")
        if key not in _KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}; {nearest(key, _KEYS)}")
    if tree.get("method") != "grid":
        raise ConfigError(f"{path}: method: got {tree.get('method', 'none')}; expected grid")
    _check_command(path, tree.get("command", []))
    parameters = tree.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        raise ConfigError(f"{path}: parameters: got {parameters or 'none'}; expected name: {{values: [...]}}, ...")
    grid = GridFile({}, {})
    for key, entry in parameters.items():
        name = key.replace("-", "_")
        if name not in FIELDS:
            raise ConfigError(f"{path}: unknown parameter {key!r}; {nearest(key, list(FIELDS), ALL_OPTIONS)}")
        if name in grid.fixed or name in grid.swept:
            raise ConfigError(f"{path}: {name} is given twice; expected each parameter once")
        values = _values(f"{path}: {key}", entry)
        if name in _SPANNED:  # all of them are of one sweep
            grid.fixed[name] = [each for value in values for each in (value if isinstance(value, list) else [value])]
        elif "value" in entry:
            grid.fixed[name] = values[0]
        else:
            grid.swept[name] = values
    return grid


def combinations(grid: GridFile, without: Collection[str] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """A name for the directory, and the parameters, of each sweep; those in `without` are left to others.

    Named after what is swept, `hidden_dim=16,batch_size=32`; nothing where nothing is.
    """
    fixed = {name: value for name, value in grid.fixed.items() if name not in without}
    swept = {name: values for name, values in grid.swept.items() if name not in without}
    for values in itertools.product(*swept.values()):
        chosen = dict(zip(swept, values, strict=True))
        yield file_name(",".join(f"{name}={value}" for name, value in chosen.items())), fixed | chosen


def agents_directory(out: Path) -> Path:
    """`out`; in a call of a wandb agent, a directory in it of that call's own: agents work side by side."""
    run_id = os.environ.get("WANDB_RUN_ID")
    return out / file_name(run_id) if run_id and os.environ.get("WANDB_SWEEP_ID") else out


def _in_directory(command: Command, out: Path) -> Command:
    return dataclasses.replace(command, sweep=command.sweep.replace(out=out))


def _values(where: str, entry: Any) -> list[Any]:
    """The values of a parameter; raises ConfigError for all but `value: X` and `values: [X, ...]`."""
    if not isinstance(entry, dict) or not entry:
        raise ConfigError(f"{where}: got {entry or 'nothing'}; expected {{value: X}} or {{values: [X, ...]}}")
    for key in entry:
        if key not in ("value", "values"):
            raise ConfigError(f"{where}: unknown key {key!r}; {nearest(key, ('value', 'values'))}")
    if len(entry) > 1:
        raise ConfigError(f"{where}: got value and values; expected one of them")
    values = entry.get("values", [entry.get("value")])
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where}: values: got {values or 'none'}; expected a list of one or more")
    return values


def _check_command(path: Path, command: Any) -> None:
    """An option that only agents would see would make another grid of the same file."""
    if not isinstance(command, list):
        raise ConfigError(f"{path}: command: got {command}; expected a list")
    for item in map(str, command):
        if item.startswith("--") and item[2:].split("=")[0].replace("-", "_") not in _CHANGE_NO_NUMBER:
            raise ConfigError(f"{path}: command: got {item!r}; expected it under parameters, where --grid sees it too")


class _WandbLoader(yaml.SafeLoader):
    """YAML as wandb reads it, but each scalar as the text that its agent passes on: as Python prints the value."""


def _scalar(loader: _WandbLoader, node: yaml.ScalarNode) -> str:
    text = node.value
    try:
        value = yaml.SafeLoader.yaml_constructors[node.tag](loader, node)
        is_plain = value is None or isinstance(value, str) or text.lower() in ("true", "false") or float(text) == value
    except ValueError:
        is_plain = False
    if not is_plain:  # 010 is 8 to YAML, 1:30 is 90, no is false, 2026-01-02 a date
        raise ConfigError(
            f"line {node.start_mark.line + 1}: got {text}, which YAML takes for something else; expected a decimal "
            "number, true, false, null, or text in quotes"
        )
    return str(value)


for _tag in ("str", "int", "float", "bool", "null", "timestamp"):
    _WandbLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _scalar)
_WandbLoader.add_constructor("tag:yaml.org,2002:map", mapping)
