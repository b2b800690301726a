"""What does one change after another gain? `python -m experiments.translation gains`, from files alone."""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table
from rich.text import Text

from experiments import text
from experiments.cli import program
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.fields import Checked
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.sweeps.store.records import Run, read_runs, write_rows
from lstm_jax.terminal import make_console

Key = tuple[str, int, float]


@dataclasses.dataclass(frozen=True)
class GainsOptions(Checked):
    """BLEU of trained models one after the other, and what each gains over the one before; writes gains.csv.

    The sweeps are of the same test sentences; how they are cut into tokens may differ.
    """

    steps: tyro.conf.Positional[tuple[str, ...]]
    """Directories of sweeps in order, DIR:MODEL where a sweep has several models."""
    out: Path | None = None
    """The file to write. None: gains.csv in the directory of the last step."""


def gains(argv: Sequence[str]) -> int:
    """Run as a command; returns the exit status."""
    return text.answer(lambda: _gains(argv))


def _gains(argv: Sequence[str]) -> None:
    options = parse_options(GainsOptions, argv, f"{program('translation')} gains", str(GainsOptions.__doc__))
    from lstm_jax.analysis.text.gains import Gain
    from lstm_jax.analysis.text.gains import gains as gains_of
    from lstm_jax.analysis.text.ngram_scores import check_installed

    check_installed()
    if not options.steps:
        raise ConfigError("steps: got none; expected directories of sweeps, in order")
    named = [_runs(step) for step in options.steps]
    try:
        rows = gains_of(named)
    except ValueError as error:
        raise ConfigError(f"steps: {error}") from None
    out = options.out or Path(options.steps[-1].partition(":")[0]) / "gains.csv"
    write_rows(out, Gain, rows)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("step", "runs", "updates", "BLEU (95%)", "one reference", "gain (95%)"):
        table.add_column(name, justify="left" if name == "step" else "right", overflow="fold")
    for row in rows:
        gain = "-" if row.gain is None else f"{row.gain:+.1f} ({row.gain_low:.1f} to {row.gain_high:.1f})"
        scored = f"{row.bleu:.1f} ({row.ci_low:.1f} to {row.ci_high:.1f})"
        numbers = (str(row.num_runs), f"{row.steps_trained:,}", scored, f"{row.first_reference_bleu:.1f}", gain)
        table.add_row(Text(row.step), *numbers)
    console = make_console()
    console.print(table)
    console.print(f"table: {out}", highlight=False, soft_wrap=True)


def _runs(step: str) -> tuple[str, list[tuple[Run, list[Mapping[str, Any]]]]]:
    """The name of a step, and the runs of its model with their translations."""
    place, _, cell = step.partition(":")
    root = Path(place)
    files = [root / name for name in ("runs.csv", "translations.csv")]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise ConfigError(f"steps: {step}: there is no {missing[0]}; expected the directory of a finished sweep")
    runs = read_runs(files[0])
    cells = list(dict.fromkeys(run.cell for run in runs))
    if (cell or len(cells) > 1) and cell not in cells:
        raise ConfigError(f"steps: {step}: expected DIR:MODEL with one of {', '.join(cells)}")
    chosen = [run for run in runs if run.cell in (cell, "" if cell else run.cell)]
    if len({run.learning_rate for run in chosen}) > 1:
        raise ConfigError(f"steps: {step}: its runs have several learning rates; expected a sweep of one")
    rows: dict[Key, list[Mapping[str, Any]]] = {_key(run): [] for run in chosen}
    csv.field_size_limit(sys.maxsize)
    with files[1].open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            key = row["cell"], int(row["seed"]), float(row["learning_rate"])
            if key in rows:
                rows[key].append(row)
    return f"{root.name}: {chosen[0].cell}", [(run, rows[_key(run)]) for run in chosen]


def _key(run: Run) -> Key:
    return run.cell, run.seed, run.learning_rate
