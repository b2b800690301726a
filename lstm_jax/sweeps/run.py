"""A sweep from its configuration to its records: it inspects the directory, trains what is missing, writes views."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import math
import time
from collections.abc import Collection, Iterable
from pathlib import Path

import rich.console

from lstm_jax.errors import ConfigError, DamagedError, UnwritableError
from lstm_jax.signals import end_at_once, on_signals
from lstm_jax.sweeps.config.options import SweepConfig, resolved
from lstm_jax.sweeps.environment import overridden
from lstm_jax.sweeps.executors.base import Executor, make_executor
from lstm_jax.sweeps.job import Job, JobResult
from lstm_jax.sweeps.machine import num_workers
from lstm_jax.sweeps.plan import in_order, make_jobs
from lstm_jax.sweeps.queue import MAX_ATTEMPTS, JobQueue
from lstm_jax.sweeps.stages.asked import asked_for
from lstm_jax.sweeps.store import locks
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import Record, Run, of_settings, read_record, run_row
from lstm_jax.sweeps.store.status import JobStatus, State, read_status, write_status
from lstm_jax.sweeps.views.progress import Progress
from lstm_jax.sweeps.views.tables import write_runs
from lstm_jax.sweeps.views.wandb import WandbLogger
from lstm_jax.sweeps.worker.setup import prepared_for
from lstm_jax.tasks import corpus_of
from lstm_jax.terminal import in_notebook
from lstm_jax.text import store

SECONDS_TO_SAVE = 8.0
"""What jobs get to save and end in after a signal, before they are killed."""
SECONDS_TO_LOG = 10.0
"""How long a sweep that is over waits for wandb while that makes no progress."""
POLL_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Plan:
    """A sweep before it runs: its configuration with all that was left open filled in, its jobs, and warnings."""

    config: SweepConfig
    jobs: tuple[Job, ...]
    warnings: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """What a sweep came to: the records of its runs, the failed ones too, and the reason for each failed job.

    `config` is the sweep with all that was left open filled in. `records` are of its settings alone: those of others,
    which `--accept-changes` leaves in the directory, stand in runs.csv, and can't be one experiment with these:
    `num_others` counts them. `num_missing` counts runs without a record, about as many as are still to come.
    `stopped_by` is the signal that ended it early, 0 for none.
    """

    config: SweepConfig
    records: tuple[Record, ...]
    failures: tuple[tuple[str, str], ...] = ()
    stopped_by: int = 0
    num_trained: int = 0
    num_others: int = 0
    num_missing: int = 0

    @property
    def rows(self) -> list[Run]:
        """The rows of runs.csv."""
        return [record.run for record in self.records]


def plan_sweep(config: SweepConfig) -> Plan:
    """The jobs of a sweep; raises ConfigError for options, cells, tasks or sizes that can't be had."""
    config = resolved(config)
    config.logging.target()  # raises where the environment asks for what wandb refuses
    with prepared_for(config.execution.executor):
        jobs, warnings = make_jobs(config)
    return Plan(config, tuple(jobs), tuple(warnings))


def run_sweep(sweep: SweepConfig | Plan, console: rich.console.Console) -> SweepResult:
    """Train what is not recorded in the directory yet, and write runs.csv and curves.csv.

    On SIGTERM or Ctrl-C jobs save at their next chunk and the sweep ends within ten seconds; a second signal ends it at
    once. Raises ConfigError before anything is written where the configuration is bad, and UnwritableError where the
    directory can't be written any more.
    """
    directory = Directory(sweep.config.out if isinstance(sweep, Plan) else sweep.out)
    with directory.claim():
        plan = sweep if isinstance(sweep, Plan) else plan_sweep(sweep)
        warnings = [*plan.warnings, *directory.compare_config(plan.config)]
        with prepared_for(plan.config.execution.executor):
            try:
                return _Sweep(plan, directory, console).run(warnings)
            except OSError as error:
                raise UnwritableError.of(directory.root, error) from error


class _Sweep:
    """One command at work on a sweep."""

    def __init__(self, plan: Plan, directory: Directory, console: rich.console.Console) -> None:
        self._config, self._directory, self._console = plan.config, directory, console
        self._possible = self._jobs = plan.jobs
        self._failures: dict[str, str] = {}
        self._stopped_by = 0
        self._records: dict[Path, Record] = {}
        self._shown: set[tuple[str, str]] = set()
        self._logger = WandbLogger(directory.root, plan.config)

    def run(self, warnings: list[str]) -> SweepResult:
        self._inspect(warnings)
        todo = [job for job in self._jobs if not self._is_done(job)]
        at_once = len(self._jobs if any(job.num_more for job in self._jobs) else todo)
        executor, limit = self._make_executor(at_once) if todo else (None, 0)  # or it refuses: nothing is written yet
        self._prepare_directory()
        num_before = len(self._records)
        for record in self._in_order():
            self._logger.log(record)  # what an earlier command did not come to log
        if executor is not None:
            with (
                Progress(self._config, self._directory.root, self._console) as progress,
                on_signals(self._stop, lambda number: self._end_at_once(executor, number)),
            ):
                try:
                    self._train(executor, JobQueue(todo), limit, progress)
                except BaseException:
                    executor.kill()  # else the end of this process would wait for the ends of the jobs
                    raise
                finally:
                    executor.shutdown()
        records = self._in_order()
        write_runs(self._directory.root, records, with_curves=not self._stopped_by)
        self._finish_logging()
        ours, failures = tuple(self._of_this_sweep(records)), tuple(self._failures.items())
        num_trained, num_others = len(self._records) - num_before, len(records) - len(ours)
        num_missing = sum(job.num_expected - len(self._records_of(job)) for job in self._jobs)
        return SweepResult(self._config, ours, failures, self._stopped_by, num_trained, num_others, num_missing)

    def _inspect(self, warnings: list[str]) -> None:
        """Read what is there; raises ConfigError where it was made otherwise, unless changes are accepted."""
        self._records, damaged = self._directory.check(self._possible)
        self._ask()
        changes = self._directory.changes(self._jobs, self._records)
        grid = self._config.grid
        if len(grid.trained_seeds) < len(grid.seeds) + len(grid.tuning_seeds):
            self._console.print("one learning rate: nothing to choose, and the tuning seeds are not trained")
        for name in overridden():
            self._warn(f"{name} is set in the environment, and has no effect on a sweep")
        for line in [*warnings, *damaged, *changes]:
            self._warn(line)
        if changes and not self._config.execution.accept_changes:
            raise ConfigError(
                f"out: {self._directory.root} holds runs made otherwise ({'; '.join(changes)}); expected the same "
                "versions and settings, another --out, or --accept-changes, and each row says with which it was made"
            )

    def _make_executor(self, num_todo: int) -> tuple[Executor, int]:
        """An executor, and how many jobs it has at once."""
        options = self._config.execution
        limit = num_workers(options) if options.executor in ("serial", "process") else math.inf
        limit = int(min(limit, options.workers or math.inf, num_todo))
        return make_executor(dataclasses.replace(options, workers=limit), self._directory.root.absolute()), limit

    def _prepare_directory(self) -> None:
        """Write the configuration, the corpus, and how far each job is by its records."""
        self._directory.write_config(self._config)
        self._directory.write_machine()
        corpus = corpus_of(self._config.task)
        if corpus is not None:
            store.copy_to(corpus, self._directory.corpus)
        if num_there := sum(len(self._records_of(job)) for job in self._jobs):
            num_runs = sum(job.num_expected for job in self._jobs)
            self._console.print(f"{num_there} of {num_runs} runs are there already", highlight=False)
        self._write_statuses(self._jobs)

    def _write_statuses(self, jobs: Iterable[Job]) -> None:
        """Write how far jobs are that are not at work."""
        for job in jobs:
            records = self._records_of(job)
            ended = dict(collections.Counter[str](record.run.status for record in records))
            state: State = "done" if len(records) == len(job.runs) and not job.num_more else "waiting"
            file = self._directory.status_file(job.name)
            num_updates = 0 if state == "done" else read_status(file).num_updates  # from which it will go on
            write_status(file, JobStatus(state, ended, num_updates, job.num_expected))

    def _ask(self) -> None:
        """Note which runs are asked for by what is recorded now."""
        self._jobs = tuple(asked_for(self._config, self._possible, self._records.values(), self._failures))

    def _ask_for_more(self, queue: JobQueue, running: Collection[Job]) -> None:
        """Queue the jobs that have runs to train since others ended, but for those that are at it."""
        self._ask()
        there = {job.name for job in running} | queue.names | self._failures.keys()
        others = [job for job in self._jobs if job.name not in there]
        stale = (
            job for job in others if read_status(self._directory.status_file(job.name)).num_runs != job.num_expected
        )
        self._write_statuses(stale)
        queue.add(job for job in others if not self._is_done(job))

    def _train(self, executor: Executor, queue: JobQueue, limit: int, progress: Progress) -> None:
        """Have all jobs done by the executor, `limit` at once; raises UnwritableError."""
        running: dict[concurrent.futures.Future[JobResult], Job] = {}
        unwritable: str | None = None
        deadline = math.inf
        while queue or running:
            now = time.monotonic()
            if self._stopped_by or unwritable is not None:
                queue.clear()
                deadline = min(deadline, now + SECONDS_TO_SAVE)
                executor.stop()  # again and again: a worker that was starting may have missed it
                if now > deadline:
                    break
            while len(running) < limit and (job := queue.take(now)) is not None:
                running[executor.submit(job)] = job
            if running:
                concurrent.futures.wait(running, POLL_SECONDS, concurrent.futures.FIRST_COMPLETED)
            else:
                time.sleep(POLL_SECONDS)
            at_work = list(running.values())
            for future in [future for future in running if future.done()]:
                unwritable = self._settle(future, running.pop(future), queue) or unwritable
            self._read_new(at_work)
            if len(running) < len(at_work):
                self._ask_for_more(queue, running.values())
            progress.show([job.name for job in running.values()])
        if running:
            executor.kill()
            concurrent.futures.wait(running, timeout=1.0)
        if unwritable is not None:
            raise UnwritableError(unwritable)
        if running and not all(future.done() for future in running):  # a call into jax that can't be ended
            write_runs(self._directory.root, self._in_order(), with_curves=False)
            self._console.show_cursor()
            end_at_once(self._stopped_by)

    def _settle(self, future: concurrent.futures.Future[JobResult], job: Job, queue: JobQueue) -> str | None:
        """Act on how a job ended; returns why the directory can't be written any more, if it can't."""
        error = future.exception()
        if error is not None:
            if not self._stopped_by:
                self._worker_died(job, " ".join(str(error).split())[:200] or type(error).__name__, queue)
            return None
        result = future.result()
        if result.status == "failed":
            self._fail(job, result.reason)
        elif result.status == "unwritable":
            return result.reason
        elif result.status == "busy":
            holder = locks.holder(self._directory.job_lock_file(job.name)) or "another worker"
            self._warn_once(job, f"waiting for {holder}, which has this job already")
            queue.put_later(job, time.monotonic())
        elif result.status == "stopped" or not self._is_done(job):  # or a record that was damaged since is set aside
            queue.put(job)
        return None

    def _worker_died(self, job: Job, reason: str, queue: JobQueue) -> None:
        if queue.put_after_death(job):
            self._warn(f"{job.name}: its worker died ({reason}); it is tried again")
        else:
            self._fail(job, f"its worker process died, {MAX_ATTEMPTS} times (killed, or out of memory?): {reason}")

    def _fail(self, job: Job, reason: str) -> None:
        self._failures[job.name] = reason
        file = self._directory.status_file(job.name)
        write_status(file, dataclasses.replace(read_status(file), state="failed", reason=reason))
        self._console.print(f"failed: {job.name}: {reason}", style="red", highlight=False, markup=False, soft_wrap=True)

    def _read_new(self, jobs: list[Job]) -> None:
        """Take note of the records and notes that workers of these jobs have left since the last look."""
        for job in jobs:
            files = {self._directory.record_file(job, run) for run in job.runs}
            for file in sorted((files - self._records.keys()) & set(self._directory.recorded(job))):
                try:
                    self._records[file] = read_record(file)
                    self._logger.log(self._records[file])
                except DamagedError as error:
                    self._warn(self._directory.set_aside(file, error, "the run is trained again"))
            for note in read_status(self._directory.status_file(job.name)).notes:
                self._warn_once(job, note)

    def _is_done(self, job: Job) -> bool:
        return all(self._directory.is_done(job, run) for run in job.runs)

    def _records_of(self, job: Job) -> list[Record]:
        files = (self._directory.record_file(job, run) for run in job.runs)
        return [self._records[file] for file in files if file in self._records]

    def _in_order(self) -> list[Record]:
        """The records in the order of the grid; a row for each run that a failed job owes, which is tried next time."""
        records: list[Record] = []
        for job in in_order(self._config, self._jobs):
            records += self._records_of(job)
            if job.name in self._failures:
                training, reason = job.training(), self._failures[job.name]
                owed = [run for run in job.runs if self._directory.record_file(job, run) not in self._records]
                rows = [run_row(job, training, run, "failed") for run in owed]
                records += [Record(row, error=reason, settings=job.settings.flat) for row in rows]
        return records

    def _of_this_sweep(self, records: list[Record]) -> list[Record]:
        """The records of this command's settings; says how many others there are."""
        ours = of_settings(records, self._jobs)
        if len(ours) < len(records):
            self._warn(
                f"{len(records) - len(ours)} of {len(records)} runs were made with other settings: they stand in "
                "runs.csv, and tables and figures leave them out; another --out trains them as this command says"
            )
        return ours

    def _stop(self, number: int) -> None:
        self._stopped_by = number

    def _end_at_once(self, executor: Executor, number: int) -> None:
        executor.kill()
        if not in_notebook():  # whose kernel has more than this sweep
            self._console.show_cursor()
            end_at_once(number)

    def _warn(self, text: str) -> None:
        self._console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)

    def _warn_once(self, job: Job, note: str) -> None:
        if (job.name, note) not in self._shown:
            self._shown.add((job.name, note))
            self._warn(f"{job.name}: {note}")

    def _finish_logging(self) -> None:
        if not self._stopped_by:
            with self._console.status(f"logging {self._logger.num_waiting} more runs to wandb"):
                self._logger.finish(SECONDS_TO_LOG)
        for warning in self._logger.warnings:
            self._warn(warning)
