"""A sweep from its configuration to its records: what is done is not done again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich.console

from lstm_jax.sweeps.config import SweepConfig
from lstm_jax.sweeps.directory import Directory
from lstm_jax.sweeps.executors import run_jobs
from lstm_jax.sweeps.jobs import Job, make_jobs, num_workers
from lstm_jax.sweeps.progress import Progress
from lstm_jax.sweeps.records import Record, Run
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
    directory.claim(config)
    for warning in warnings:
        console.print(f"warning: {warning}", style="yellow", highlight=False, soft_wrap=True)
    done = {job.name: [run for run in job.runs if directory.is_done(job, run)] for job in jobs}
    todo = [job for job in jobs if len(done[job.name]) < len(job.runs)]
    num_done = sum(map(len, done.values()))
    if num_done:
        console.print(f"{num_done} of {sum(len(job.runs) for job in jobs)} runs are there already", highlight=False)
    failures: dict[str, str] = {}
    was_interrupted = False
    logger = WandbLogger(directory.root, config, config.wandb)
    done_weight = sum(job.weight * len(done[job.name]) for job in jobs)
    with Progress(jobs, num_done, done_weight, console) as progress:

        def report(event: str, job_name: str, payload: Any) -> None:
            progress.observe(event, job_name, payload)
            if event == "run":
                logger.log(payload)

        try:
            if todo:
                failures.update(run_jobs(todo, directory, min(num_workers(config), len(todo)), report))
        except KeyboardInterrupt:
            was_interrupted = True
    with console.status(f"logging {logger.num_waiting} more runs to wandb"):
        logger.finish()
    for warning in logger.warnings:
        console.print(f"warning: {warning}", style="yellow", highlight=False, soft_wrap=True)
    records = [*directory.records(in_order(config, jobs)), *_failed_records(jobs, failures, directory)]
    directory.write_runs(records)
    num_trained = len(directory.records(jobs)) - num_done
    return Outcome(tuple(records), tuple(failures.items()), was_interrupted, num_trained)


def in_order(config: SweepConfig, jobs: Sequence[Job]) -> list[Job]:
    """Jobs in the order of the grid, not in that of their cost."""
    return sorted(jobs, key=lambda job: (config.cells.index(job.cell), config.gaps.index(job.gap)))


def _failed_records(jobs: Sequence[Job], failures: dict[str, str], directory: Directory) -> list[Record]:
    """A row for each run that a failed job owes; not written as a record, so that the next command tries again."""
    return [
        Record(
            Run(
                job=job.name,
                cell=job.cell,
                task=job.task,
                gap=job.gap,
                seed=run.seed,
                learning_rate=run.learning_rate,
                hidden_dim=job.hidden_dim,
                num_params=job.num_params,
                forget_bias=None,
                status="failed",
                solved_step=None,
                steps=0,
                accuracy=None,
                loss=None,
                chance=job.training().task.chance,
                duration_seconds=0.0,
            ),
            error=failures[job.name],
        )
        for job in jobs
        if job.name in failures
        for run in job.runs
        if not directory.is_done(job, run)
    ]


def _keep_jax_off_the_accelerator() -> None:
    """This process computes shapes only; memory of a GPU belongs to the workers."""
    import jax

    jax.config.update("jax_platforms", "cpu")
