"""Parts that the pages of all sweeps have: the rows of all runs, and how they were made."""

from __future__ import annotations

import collections
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_jax.figures.page.charts import Axis, curves
from lstm_jax.figures.page.content import Chart, Page, Section, Table, Value
from lstm_jax.figures.page.render import write_page
from lstm_jax.figures.words import Words
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.store.records import Record, Run

if TYPE_CHECKING:
    from lstm_jax.analysis.gaps.budgets import HorizonAtBudget

QUESTION = "How far back can a recurrent network learn to look, and why does it stop?"
_RUN_COLUMNS = (
    "cell", "gap", "seed", "learning_rate", "status", "solved_step", "steps", "score", "chance", "loss", "hidden_dim",
    "num_params", "duration_seconds", "device",
)  # fmt: skip


def write(page: Page, file: Path) -> Path:
    """Write the page; returns where it is."""
    write_page(page, file)
    return file


def all_runs(runs: Sequence[Run], name: str = "") -> Section:
    """Return the section with a row for each run."""
    counts = collections.Counter(run.status for run in runs)
    text = ", ".join(f"{count} {status}" for status, count in counts.items())
    title = f"All runs of {name}" if name else "All runs"
    number = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    return Section(title, [f"{number}: {text}."], tables=[Table.of("runs", runs, _RUN_COLUMNS)])


def budgets_chart(labels: Sequence[str], rows: Sequence[HorizonAtBudget], gaps: Sequence[int], words: Words) -> Chart:
    """Return the figure of horizons against budgets; `gaps` are those that were measured."""
    columns = ("cell", "budget", "bound", "horizon", "ci_low", "ci_high", "learning_rate", "sequences", "seconds")
    x = Axis("budget", "budget (updates)", scale="log", ticks=sorted({row.budget for row in rows}))
    y = Axis("horizon", f"horizon: {words.axis}", scale="log", ticks=gaps, ends=room(gaps))
    alt = f"Horizon of each {words.cell} against the number of updates, with 95% intervals."
    return curves(labels, Table.of("horizon_by_budget", rows, columns), x, y, alt=alt, band=("ci_low", "ci_high"))


def room(gaps: Sequence[int]) -> tuple[float, float]:
    """Return the ends of an axis of horizons: half an octave beyond the measured gaps, for what is open there."""
    return gaps[0] * 2.0**-0.5, gaps[-1] * 2.0**0.5


def how_made(
    config: SweepConfig, records: Sequence[Record], protocol: str, name: str = "", machines: Sequence[str] = ()
) -> Section:
    """Return the section that says how the runs were made, and how to make them again."""
    from experiments.report import module_of
    from lstm_jax.sweeps.machine import versions_of

    runs = [record.run for record in records]
    made = {run.versions: versions_of(run.versions) for run in runs if run.versions}
    rows: list[list[Value]] = [[option, as_text(value)] for option, value in config.flat.items() if value is not None]
    versions: list[list[Value]] = [
        [package, ", ".join(dict.fromkeys(found[package] for found in made.values() if package in found))]
        for package in dict.fromkeys(package for found in made.values() for package in found)
    ]
    seconds = sum(run.duration_seconds for run in runs)
    devices = ", ".join(dict.fromkeys(run.device for run in runs)) or "no run yet"
    text = [
        *([protocol] if protocol else []),
        f"Device: {devices}. {seconds:,.0f} seconds of training in all, summed over runs."
        + "".join(f" Machine: {machine}." for machine in machines),
        "The same numbers again:",
    ]
    command = shlex.join(
        ["python", "-m", module_of(config), "--config", str(config.out / "sweep.yaml"), "--out", "results/again"]
    )
    return Section(
        f"How it was made{f': {name}' if name else ''}",
        text,
        tables=[Table("configuration", ["option", "value"], rows), Table("versions", ["package", "version"], versions)],
        commands=[command],
    )


def as_text(value: Any) -> str:
    """Return the value of an option as it is given on the command line."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
