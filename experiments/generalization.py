"""Trained at one gap, tested at larger ones: does a cell that solves a gap hold the fact for longer?

python -m experiments.generalization results/gap_length              # tested at 2 and 4 times the gap
python -m experiments.generalization results/copy_task --factors 1.5 3

Takes the last states of a finished sweep's report runs from its checkpoints; nothing is trained.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import rich.console
import tyro

from experiments.captions import describe, words_of
from experiments.cli import program
from experiments.common import command
from lstm_jax.errors import ConfigError, UnwritableError
from lstm_jax.sweeps.config.fields import Allowed, Checked
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.sweeps.job import Job, RunKey
from lstm_jax.sweeps.run import SweepResult
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import Run, write_rows

if TYPE_CHECKING:
    from lstm_jax.analysis.gaps.generalization import Generalization
    from lstm_jax.tasks.base import Task

FACTORS = (2.0, 4.0)
NOTE = "Runs of the report seeds that solved the gap they were trained at, tested at larger ones without more training."


@dataclasses.dataclass(frozen=True)
class Generalize(Checked):
    """Test the runs of a finished sweep at larger gaps than their own."""

    directory: tyro.conf.Positional[Path]
    """The directory of a sweep, with its checkpoints."""
    factors: Annotated[tuple[float, ...], Allowed("numbers above 1", lambda factor: 1.0 < factor < 1e6, 1)] = FACTORS
    """How many times their own gap runs are tested at."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""

    def act(console: rich.console.Console) -> int:
        arguments = parse_options(
            Generalize, sys.argv[1:] if argv is None else argv, program("generalization"), str(Generalize.__doc__)
        )
        from lstm_jax.api import load

        try:
            return report(load(arguments.directory), arguments.directory, console, arguments.factors)
        except OSError as error:
            raise UnwritableError.of(arguments.directory, error) from error

    return command(act)


def report(finished: SweepResult, out: Path, console: rich.console.Console, factors: Sequence[float] = FACTORS) -> int:
    """Test all runs that solved, write generalization.csv and its picture into `out`, and print what they hold.

    Raises ConfigError where there is none, or its checkpoint is missing or damaged.
    """
    from lstm_jax.analysis.gaps.generalization import Generalization
    from lstm_jax.figures.gaps.generalization import generalization_figure
    from lstm_jax.figures.style import save
    from lstm_jax.sweeps.worker.setup import pinned

    config = finished.config
    with pinned("cpu"):
        rows = list(_rows(finished, factors, console))
    if not rows:
        raise ConfigError(
            f"directory: no report run in {config.out} has solved its gap; expected one, to test at larger gaps"
        )
    write_rows(out / "generalization.csv", Generalization, rows)
    figure = generalization_figure(
        rows,
        caption=f"{NOTE} {describe(config, finished.records)}",
        title="Trained at a gap, tested at larger ones",
        words=words_of(config),
    )
    (plot,) = save(figure, out / "generalization", ["png"])
    for row in rows:
        console.print(
            f"{row.cell}, trained at {row.trained_gap}: at {row.tested_gap} {row.num_solved} of {row.num_runs} runs "
            f"solve it, {row.measure} {row.score:.3g} in the mean",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    console.print(f"plot: {plot}")
    return 0


def _rows(finished: SweepResult, factors: Sequence[float], console: rich.console.Console) -> Iterator[Generalization]:
    """Yield a row for each cell, gap and factor; the jobs of a cell in the order of its gaps."""
    from lstm_jax.analysis.gaps.generalization import generalization
    from lstm_jax.sweeps.plan import make_jobs

    jobs = {(job.settings.cell, job.settings.gap): job for job in make_jobs(finished.config, to_train=False)[0]}
    solved = list(_solved(finished))
    for number, (cell, learning_rate, gap, runs) in enumerate(solved, start=1):
        with console.status(f"{cell} at gap {gap} ({number} of {len(solved)})"):
            for tested in sorted({round(factor * gap) for factor in factors}):
                task, scores = _scores(Directory(Path(finished.config.out)), jobs[cell, gap], runs, tested)
                yield generalization(
                    cell, learning_rate, (gap, tested), scores,
                    chance=task.chance, solved_at=task.solved_at, measure=task.outputs.score_name,
                )  # fmt: skip


def _solved(finished: SweepResult) -> Iterator[tuple[str, float, int, list[Run]]]:
    """The report runs that solved, by cell and gap, at the cell's tuned rate."""
    from lstm_jax.analysis.gaps.summary import summarise

    grid = finished.config.grid
    for row in summarise(finished.rows, grid.tuning_seeds):
        place = (row.cell, row.gap, row.learning_rate)
        runs = [
            run
            for run in finished.rows
            if run.status == "solved"
            and run.seed not in grid.tuning_seeds
            and (run.cell, run.gap, run.learning_rate) == place
        ]
        if runs:
            yield row.cell, row.learning_rate, row.gap, runs


def _scores(directory: Directory, job: Job, runs: Sequence[Run], tested: int) -> tuple[Task, list[float]]:
    """The task at the tested gap, and what the last states of runs of `job` score on its held-out set."""
    import jax
    import jax.numpy as jnp

    from lstm_jax.sweeps.worker import states

    place = directory.checkpoints(job)
    try:
        training = Job(dataclasses.replace(job.settings, gap=tested)).training()
        found = states.restore_all(place, job, [RunKey(run.seed, run.learning_rate) for run in runs])
    except ValueError as error:  # DamagedError among them
        raise ConfigError(
            f"directory: {error}; expected checkpoints of all its runs, which a copy of the tables alone lacks, and a "
            f"task that has a gap of {tested}"
        ) from None
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)
    # One after another: memory does not grow with the seeds.
    scores = jax.jit(lambda runs: jax.lax.map(lambda state: training.evaluate(state).score, runs))(stacked)
    return training.task, [float(score) for score in scores]


if __name__ == "__main__":
    sys.exit(main())
