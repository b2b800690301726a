"""Analyse and draw finished sweeps again, from files alone.

python -m experiments.report DIR                            # the tables, figures and report.html of a sweep again
python -m experiments.report DIR DIR2 --out both.html       # one page with several sweeps side by side

A sweep's own command ends with the same `report`, from sweep.yaml and the records: it writes the same files.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich.console
import tyro

from experiments import gaps
from experiments.cli import program
from experiments.common import Experiment, command
from experiments.text import task_name
from lstm_jax.errors import ConfigError, UnwritableError
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.config.parsing import parse_options

if TYPE_CHECKING:
    from lstm_jax.sweeps.run import SweepResult

EXPERIMENTS: Mapping[str, str] = {
    "copy": "experiments.copy_task",
    "reverse": "experiments.translation",
    "addition": "experiments.translation",
    "translation": "experiments.translation",
    "language": "experiments.language_model",
}
"""The experiment whose report a task gets, by its name."""
OF_OTHER_TASKS = "experiments.gap_length"


@dataclasses.dataclass(frozen=True)
class Report:
    """Write the tables, figures and report.html of a finished sweep again, or a page with several side by side."""

    directories: tyro.conf.Positional[tuple[Path, ...]]
    """Directories of sweeps: with their records, or, for --out, with sweep.yaml and runs.csv alone; and those of
    experiments.why, whose verdicts the page then has."""
    out: Path | None = None
    """The file of a page, report.html, that is written instead of the tables and figures of one sweep."""
    experiment: str | None = None
    """The module of an experiment of your own whose report to write, as experiments.yours. None: that of the task."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""

    def act(console: rich.console.Console) -> int:
        arguments = parse_options(
            Report, sys.argv[1:] if argv is None else argv, program("report"), str(Report.__doc__)
        )
        if arguments.out is not None or len(arguments.directories) != 1:
            return side_by_side(arguments.directories, arguments.out, console)
        (directory,) = arguments.directories
        from lstm_jax.api import load

        finished = load(directory)
        num_runs = finished.num_others + len(finished.records)
        others = (
            f"{finished.num_others} of {num_runs} runs were made with other settings than sweep.yaml's, or with other "
            "code of your cells and task"
        )
        if not finished.records:
            reason = f": {others}" if finished.num_others else ""
            raise ConfigError(f"directory: {directory} has no finished run of its sweep.yaml{reason}")
        if finished.num_others:
            print(f"warning: {others}: they are left out", file=sys.stderr)
        try:
            write_report(finished, console, _load(arguments.experiment) if arguments.experiment else None)
        except OSError as error:
            raise UnwritableError.of(directory, error) from error
        return 0

    return command(act)


def side_by_side(directories: Sequence[Path], out: Path | None, console: rich.console.Console) -> int:
    """Write one page of all these sweeps, from their files; returns the exit status."""
    from experiments.page.gaps import of_gaps
    from experiments.page.read import read_sweeps
    from experiments.page.sections import write

    if out is None or not directories:
        raise ConfigError(
            f"out, directories: got {out}, {len(directories)} directories; expected directories of sweeps, and for "
            "several of them the file of their page, as in --out both.html"
        )
    sweeps, verdicts = read_sweeps(directories)
    try:
        console.print(f"report: {write(of_gaps(sweeps, verdicts), out)}")
    except OSError as error:
        raise UnwritableError.of(out, error) from error
    return 0


def report(result: SweepResult, console: rich.console.Console, experiment: Experiment) -> None:
    """Write the tables and figures of a sweep that a command of `experiment` has just made, as `load` would find it.

    Of our own experiments the task's is taken: what a directory holds does not depend on the command that filled it.
    """
    finished = tuple(record for record in result.records if record.run.status != "failed")  # these are in no file
    is_ours = experiment.module in (OF_OTHER_TASKS, *EXPERIMENTS.values())
    write_report(dataclasses.replace(result, records=finished), console, None if is_ours else experiment)


def write_report(finished: SweepResult, console: rich.console.Console, experiment: Experiment | None = None) -> None:
    """Write the tables and figures of a sweep as `experiment` does, or else the one of its task."""
    experiment = experiment or experiment_of(finished.config)
    (experiment.report or gaps.report)(experiment, finished.config, finished.records, console)


def experiment_of(config: SweepConfig) -> Experiment:
    """Return the experiment of a sweep's task."""
    return _load(module_of(config))


def module_of(config: SweepConfig) -> str:
    """Name the module of the experiment of a sweep's task."""
    return EXPERIMENTS.get(task_name(config), OF_OTHER_TASKS)


def _load(module: str) -> Experiment:
    try:
        found = getattr(importlib.import_module(module), "EXPERIMENT", None)
    except ImportError as error:
        raise ConfigError(f"experiment: got {module!r}; can't import it ({error})") from None
    if not isinstance(found, Experiment):
        raise ConfigError(f"experiment: got {module!r}; expected a module with an EXPERIMENT, an Experiment")
    return found


if __name__ == "__main__":
    sys.exit(main())
