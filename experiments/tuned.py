"""A finished sweep as what others start from: its settings, and the learning rates that it chose. No jax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.config.parsing import on_this_machine

if TYPE_CHECKING:
    from lstm_jax.analysis.gaps.summary import Summary
    from lstm_jax.sweeps.store.records import Record


class Tuned(NamedTuple):
    """A sweep, what its report runs did at each gap, the rate of each cell, and all runs."""

    config: SweepConfig
    summary: list[Summary]
    rates: Mapping[str, float]
    records: Sequence[Record]


def tuned_sweep(directory: Path) -> Tuned:
    """Read sweep.yaml and runs.csv; raises ConfigError where they are not there."""
    from lstm_jax.analysis.gaps.summary import summarise
    from lstm_jax.sweeps.views.tables import read_tables

    directory = on_this_machine("sweep", directory)
    if not (directory / "sweep.yaml").is_file() or not (directory / "runs.csv").is_file():
        raise ConfigError(f"sweep: got {directory}; expected the directory of a finished sweep, with runs.csv")
    config = from_yaml(directory / "sweep.yaml")
    records = read_tables(directory)
    summary = summarise([record.run for record in records], config.grid.tuning_seeds)
    return Tuned(config, summary, {row.cell: row.learning_rate for row in summary}, records)
