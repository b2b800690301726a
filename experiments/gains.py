"""What does a change gain? `python -m experiments.translation gains`, from files alone."""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments import text
from experiments.cli import program
from lstm_jax.choices import Against
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.fields import Checked
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import Run, read_runs, write_rows
from lstm_jax.terminal import make_console

if TYPE_CHECKING:
    from lstm_jax.analysis.text.gains import Gain

Key = tuple[str, int, float]


@dataclasses.dataclass(frozen=True)
class GainsOptions(Checked):
    """BLEU of trained models, and what each gains over the one before or over the first; writes gains.csv.

    The sweeps are of the same test sentences; how they are cut into tokens may differ. Of a sweep with several learning
    rates the runs at the one that its tuning seeds choose are compared.
    """

    steps: tyro.conf.Positional[tuple[str, ...]]
    """Directories of sweeps in order, DIR:MODEL where a sweep has several models."""
    against: Against = "before"
    """What each step is compared with: the step before (changes one after the other), or the first (each alone)."""
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
    out = options.out or Path(options.steps[-1].partition(":")[0]) / "gains.csv"
    text.check_writable(out)
    named = [_runs(step) for step in options.steps]
    try:
        rows = gains_of(named, against=options.against)
    except ValueError as error:
        raise ConfigError(f"steps: {error}") from None
    write_rows(out, Gain, rows)
    console = make_console()
    show(console, rows)
    console.print(f"table: {out}", highlight=False, soft_wrap=True)


def show(console: Console, rows: Sequence[Gain]) -> None:
    """Print what changes gain as a table."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("step", "runs", "learning rate", "updates", "BLEU (95%)", "one reference", "gain (95%)"):
        table.add_column(name, justify="left" if name == "step" else "right", overflow="fold")
    for row in rows:
        gain = "-" if row.gain is None else f"{row.gain:+.1f} ({row.gain_low:.1f} to {row.gain_high:.1f})"
        scored = f"{row.bleu:.1f} ({row.ci_low:.1f} to {row.ci_high:.1f})"
        trained = (str(row.num_runs), f"{row.learning_rate:g}", f"{row.steps_trained:,}")
        table.add_row(Text(row.step), *trained, scored, f"{row.first_reference_bleu:.1f}", gain)
    console.print(table)


def _runs(step: str) -> tuple[str, list[tuple[Run, list[Mapping[str, Any]]]]]:
    """The name of a step, and the reported runs of its model with their translations."""
    place, _, cell = step.partition(":")
    root = Path(place)
    files = [root / name for name in ("runs.csv", "translations.csv", "sweep.yaml")]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise ConfigError(f"steps: {step}: there is no {missing[0]}; expected the directory of a finished sweep")
    try:
        cells = list(dict.fromkeys(run.cell for run in read_runs(files[0])))
    except ValueError as error:
        raise ConfigError(f"steps: {step}: {error}") from None
    if not cells:
        raise ConfigError(f"steps: {step}: {files[0]} has no run; expected that of a finished sweep")
    if (cell or len(cells) > 1) and cell not in cells:
        raise ConfigError(f"steps: {step}: expected DIR:MODEL with one of {', '.join(cells)}")
    chosen = text.reported_runs(Directory(root), cell or cells[0])
    rows: dict[Key, list[Mapping[str, Any]]] = {_key(run): [] for run in chosen}
    csv.field_size_limit(sys.maxsize)
    with files[1].open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            key = row["cell"], int(row["seed"]), float(row["learning_rate"])
            if key in rows:
                rows[key].append(row)
    if silent := [run.job for run in chosen if not rows[_key(run)] and run.status != "diverged"]:
        raise ConfigError(f"steps: {step}: {files[1]} has nothing of {silent[0]}; repeat the command of the sweep")
    return f"{root.name}: {chosen[0].cell}", [(run, rows[_key(run)]) for run in chosen]


def _key(run: Run) -> Key:
    return run.cell, run.seed, run.learning_rate
