"""Runs of a finished sweep beside those of this one (`--beside DIR`): its tables are read, nothing is trained again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.differences import differences
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.sources import version_changes
from lstm_jax.sweeps.store.records import Record


class Joined(NamedTuple):
    """The sweep of all cells, their records, and how those of the directory were made otherwise, a line each."""

    config: SweepConfig
    records: Sequence[Record]
    notes: Sequence[str]


def check(config: SweepConfig) -> None:
    """Raise ConfigError where the sweep can't stand beside the directory that it names."""
    if config.beside is not None:
        _read(config, config.beside)


def join(config: SweepConfig, records: Sequence[Record]) -> Joined:
    """Return the directory's runs and these as one sweep; without `beside`, these. Raises ConfigError as `check`."""
    if config.beside is None:
        return Joined(config, records, ())
    sweep, others = _read(config, config.beside)
    grid = dataclasses.replace(config.grid, cells=(*sweep.grid.cells, *config.grid.cells))
    theirs = [line for line in differences(sweep, config) if not line.startswith("cells: ")]
    notes = dict.fromkeys([*theirs, *_made_otherwise(others, records)])
    joined = dataclasses.replace(config, grid=grid)
    return Joined(joined, (*others, *records), [f"beside {config.beside}: {note}" for note in notes])


def _read(config: SweepConfig, directory: Path) -> tuple[SweepConfig, list[Record]]:
    from lstm_jax.sweeps.views.tables import read_tables

    if not (directory / "runs.csv").is_file() or not (directory / "sweep.yaml").is_file():
        raise ConfigError(
            f"beside: got {directory}; expected the directory of a finished sweep, with sweep.yaml and runs.csv"
        )
    sweep = from_yaml(directory / "sweep.yaml")
    if sweep.task != config.task:
        raise ConfigError(f"task: got {config.task}; expected {sweep.task}, which the runs in {directory} are of")
    both = [cell for cell in config.grid.cells if cell in sweep.grid.cells]
    if both:
        raise ConfigError(
            f"cells: {', '.join(both)} is in {directory} already; expected others, or other settings such as "
            "lstm@forget_bias=2"
        )
    try:
        records = read_tables(directory)
    except (OSError, ValueError) as error:
        raise ConfigError(f"beside: can't read the runs in {directory} ({error})") from None
    return sweep, [record for record in records if record.run.status != "failed"]


def _made_otherwise(others: Sequence[Record], records: Sequence[Record]) -> list[str]:
    """What the runs were made with that these were not: versions, environment, device."""
    before, now = ({_made_with(record) for record in each} for each in (others, records))
    lines = []
    for was, environment, device in sorted(before):
        for versions, environment_now, device_now in sorted(now):
            lines += version_changes(was, versions) if was and versions else []
            if environment != environment_now:
                lines.append(
                    f"environment {environment or 'without flags'} there, {environment_now or 'without flags'} here"
                )
            lines += [f"device {device} there, {device_now} here"] if device != device_now else []
    return lines


def _made_with(record: Record) -> tuple[str, str, str]:
    return record.run.versions, record.run.environment, record.run.device
