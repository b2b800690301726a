"""A sweep from its configuration to its records: what is done is not done again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.console

from lstm_jax.sweeps.config import SweepConfig
from lstm_jax.sweeps.directory import Directory
from lstm_jax.sweeps.executors import run_jobs
from lstm_jax.sweeps.jobs import Job, make_jobs, num_workers, run_row
from lstm_jax.sweeps.progress import Progress
from lstm_jax.sweeps.records import Record
from lstm_jax.sweeps.wandb_runs import WandbLogger


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a sweep came to: the records of all runs, the failed ones too, and the reason for each failed job."""

    records: tuple[Record, ...]
    failures: tuple[tuple[str, str], ...]
    was_interrupted: bool
    num_trained: int


def run_sweep(config: SweepConfig, console: rich.console.Console) -> Outcome:
    """Train what is not recorded in `config.out` yet, and write runs.csv and curves.csv.

    Raises ConfigError before anything is written where the configuration is bad.
    """
    _keep_jax_off_the_accelerator()
    jobs, warnings = make_jobs(config)
    directory = Directory(Path(config.out))
    with directory.claim(config):
        return _run_sweep(config, jobs, warnings, directory, console)


def _run_sweep(
    config: SweepConfig, jobs: list[Job], warnings: list[str], directory: Directory, console: rich.console.Console
) -> Outcome:
    for warning in warnings:
        _warn(console, warning)
    done = directory.records(jobs)  # a damaged one is named now, not after hours
    num_runs = sum(len(job.runs) for job in jobs)
    if done:
        console.print(f"{len(done)} of {num_runs} runs are there already", highlight=False)
    todo = [job for job in jobs if not all(directory.is_done(job, run) for run in job.runs)]
    weights = {job.name: job.weight for job in jobs}
    done_weight = sum((weights[record.run.job] for record in done), start=0.0)
    failures: dict[str, str] = {}
    was_interrupted = False
    logger = WandbLogger(directory.root, config, config.wandb)
    for record in done:
        logger.log(record)  # what an earlier command did not come to log
    try:
        with Progress(jobs, len(done), done_weight, console) as progress:

            def report(event: str, job_name: str, payload: Any) -> None:
                progress.observe(event, job_name, payload)
                if event == "run":
                    logger.log(payload)

            if todo:
                failures.update(run_jobs(todo, directory, min(num_workers(config), len(todo)), report))
    except KeyboardInterrupt:
        was_interrupted = True
    records = _all_records(config, jobs, failures, directory)
    directory.write_runs(records)
    try:
        with console.status(f"logging {logger.num_waiting} more runs to wandb"):
            logger.finish()
    except KeyboardInterrupt:
        was_interrupted = True
    for warning in logger.warnings:
        _warn(console, warning)
    num_trained = sum(record.run.status != "failed" for record in records) - len(done)
    return Outcome(tuple(records), tuple(failures.items()), was_interrupted, num_trained)


def _warn(console: rich.console.Console, text: str) -> None:
    console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def _all_records(
    config: SweepConfig, jobs: Sequence[Job], failures: Mapping[str, str], directory: Directory
) -> list[Record]:
    """The records in the order of the grid; a row for each run that a failed job owes, which the next command tries."""
    records: list[Record] = []
    for job in in_order(config, jobs):
        records += directory.records([job])
        if job.name in failures:
            training = job.training()
            owed = [run for run in job.runs if not directory.is_done(job, run)]
            records += [Record(run_row(job, training, run, "failed"), error=failures[job.name]) for run in owed]
    return records


def in_order(config: SweepConfig, jobs: Sequence[Job]) -> list[Job]:
    """Jobs in the order of the grid, not in that of their cost."""
    return sorted(jobs, key=lambda job: (config.cells.index(job.cell), config.gaps.index(job.gap)))


def _keep_jax_off_the_accelerator() -> None:
    """This process computes shapes only; memory of a GPU belongs to the workers."""
    import jax

    jax.config.update("jax_platforms", "cpu")
