"""A sweep from its configuration to its records: what is done is not done again, whoever did it."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path

import rich.console

from lstm_jax.errors import ConfigError, DamagedError, UnwritableError
from lstm_jax.signals import end_at_once, heard
from lstm_jax.sweeps.config.options import SweepConfig, known, resolved, trained_seeds, validate
from lstm_jax.sweeps.environment import overridden, pinned
from lstm_jax.sweeps.executors.base import Executor, Result, make_executor, prepare_process, work
from lstm_jax.sweeps.machine import num_workers
from lstm_jax.sweeps.plan import Job, make_jobs, run_row
from lstm_jax.sweeps.store import locks
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import Record, read_record
from lstm_jax.sweeps.views.progress import Progress
from lstm_jax.sweeps.views.status import JobStatus, State, read_status, write_news
from lstm_jax.sweeps.views.wandb import WandbLogger
from lstm_jax.sweeps.views.wandb import target as wandb_target
from lstm_jax.tasks import corpus_of
from lstm_jax.text import store

MAX_ATTEMPTS = 3
"""How often a job is started whose worker dies (killed, or out of memory)."""
SECONDS_TO_SAVE = 8.0
"""What jobs get to save and end in after a signal, before they are killed."""
SECONDS_TO_LOG = 10.0
"""How long a sweep that is over waits for wandb while that makes no progress."""
POLL_SECONDS = 0.2
BUSY_SECONDS = 2.0
"""After what time a job is asked for again that a worker of an earlier command still has."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a sweep came to: the records of its runs, the failed ones too, and the reason for each failed job.

    `config` is the sweep with all that was left open filled in. `records` are of its settings alone: those of others,
    which `--accept-changes` leaves in the directory, stand in runs.csv, and can't be one experiment with these.
    `stopped_by` is the signal that ended it early, 0 for none.
    """

    config: SweepConfig
    records: tuple[Record, ...]
    failures: tuple[tuple[str, str], ...]
    stopped_by: int
    num_trained: int


def run_sweep(config: SweepConfig, console: rich.console.Console) -> Outcome:
    """Train what is not recorded in `config.out` yet, and write runs.csv and curves.csv.

    On SIGTERM or Ctrl-C jobs save at their next chunk and the sweep ends within ten seconds; a second signal ends it at
    once. Raises ConfigError before anything is written where the configuration is bad, and UnwritableError where the
    directory can't be written any more.
    """
    validate(config)
    config = resolved(config)
    wandb_target(config.wandb, config.wandb_project)
    directory = Directory(Path(config.out))
    with directory.claim(), _prepared_jax(config):
        jobs, warnings = make_jobs(config)
        warnings += directory.compare_config(config)
        try:
            return _Sweep(config, jobs, directory, console).run(warnings)
        except OSError as error:
            raise UnwritableError.of(directory.root, error) from error


def check_sweep(config: SweepConfig) -> None:
    """Raise ConfigError where `run_sweep` would for options, cells, tasks or sizes that can't be had."""
    validate(config)
    config = resolved(config)
    with _prepared_jax(config):
        make_jobs(config)


class _Sweep:
    """One command at work on a sweep."""

    def __init__(
        self, config: SweepConfig, jobs: list[Job], directory: Directory, console: rich.console.Console
    ) -> None:
        self._config, self._jobs, self._directory, self._console = config, jobs, directory, console
        self._failures: dict[str, str] = {}
        self._stopped_by = 0
        self._records: dict[Path, Record] = {}
        self._told: set[tuple[str, str]] = set()

    def run(self, warnings: list[str]) -> Outcome:
        self._records, damaged = self._directory.check(self._jobs)
        changes = self._directory.changes(self._jobs, self._records)
        if len(trained_seeds(self._config)) < len(self._config.seeds) + len(self._config.tuning_seeds):
            self._console.print("one learning rate: nothing to choose, and the tuning seeds are not trained")
        for name in overridden():
            self._warn(f"{name} is set in the environment, and has no effect on a sweep")
        for line in [*warnings, *damaged, *changes]:
            self._warn(line)
        if changes and not self._config.accept_changes:
            raise ConfigError(
                f"out: {self._directory.root} holds runs made otherwise ({'; '.join(changes)}); expected the same "
                "versions and settings, another --out, or --accept-changes, and each row says with which it was made"
            )
        todo = [job for job in self._jobs if not all(self._directory.is_done(job, run) for run in job.runs)]
        if todo:
            self._make_executor(len(todo))  # which may be refused, too: the last that may before anything is written
        self._directory.write_config(self._config)
        corpus = corpus_of(self._config.task)
        if corpus is not None:
            store.copy_to(corpus, self._directory.corpus)
        num_done, num_runs = len(self._records), sum(len(job.runs) for job in self._jobs)
        if num_done:
            self._console.print(f"{num_done} of {num_runs} runs are there already", highlight=False)
        self._logger = WandbLogger(self._directory.root, self._config, self._config.wandb)
        self._tell_what_is_there()
        for record in self._records.values():
            self._logger.log(record)  # what an earlier command did not come to log
        if todo:
            with (
                Progress(self._config, self._directory.root, self._console) as self._progress,
                heard(self._stop, self._end_at_once),
            ):
                try:
                    self._work(todo)
                except BaseException:
                    self._executor.kill()  # else the end of this process would wait for the ends of the jobs
                    raise
                finally:
                    self._executor.shutdown()
        records = self._in_order()
        self._directory.write_runs(records, with_curves=not self._stopped_by)
        self._finish_logging()
        num_trained = len(self._records) - num_done
        ours = self._of_this_sweep(records)
        return Outcome(self._config, tuple(ours), tuple(self._failures.items()), self._stopped_by, num_trained)

    def _of_this_sweep(self, records: list[Record]) -> list[Record]:
        """The records of this command's settings; says how many others there are."""
        hashes = {job.name: job.settings_hash for job in self._jobs}
        ours = [record for record in records if record.run.settings == hashes[record.run.job]]
        if len(ours) < len(records):
            self._warn(
                f"{len(records) - len(ours)} of {len(records)} runs were made with other settings: they stand in "
                "runs.csv, and tables and figures leave them out; another --out trains them as this command says"
            )
        return ours

    def _make_executor(self, num_todo: int) -> None:
        limit = num_workers(self._config) if self._config.executor in ("serial", "process") else math.inf
        self._limit = int(min(limit, self._config.workers or math.inf, num_todo))
        config = dataclasses.replace(self._config, workers=self._limit)
        self._executor: Executor = make_executor(config, self._directory.root.absolute())

    def _work(self, todo: list[Job]) -> None:
        """Have all jobs done by the executor; those whose worker dies are tried again."""
        root = self._directory.root.absolute()
        waiting = collections.deque(todo)
        later: list[tuple[float, Job]] = []
        running: dict[concurrent.futures.Future[Result], Job] = {}
        attempts: collections.Counter[str] = collections.Counter()
        unwritable: str | None = None
        deadline = math.inf
        while waiting or later or running:
            now = time.monotonic()
            if self._stopped_by or unwritable is not None:
                waiting.clear()
                later.clear()
                deadline = min(deadline, now + SECONDS_TO_SAVE)
                self._executor.stop()  # again and again: a worker that was starting may not have heard
                if now > deadline:
                    break
            waiting += [job for when, job in later if when <= now]
            later = [(when, job) for when, job in later if when > now]
            while waiting and len(running) < self._limit:
                job = waiting.popleft()
                running[self._executor.submit(work, job, root)] = job
            if running:
                concurrent.futures.wait(running, POLL_SECONDS, concurrent.futures.FIRST_COMPLETED)
            else:
                time.sleep(POLL_SECONDS)
            at_work = list(running.values())
            for future in [future for future in running if future.done()]:
                job = running.pop(future)
                result = self._result_of(future, attempts, job)
                if result.outcome == "failed":
                    self._fail(job, result.reason)
                elif result.outcome == "unwritable":
                    unwritable = result.reason
                elif result.outcome == "busy":
                    self._tell_once(job, f"waiting for {self._holder_of(job)}, which has this job already")
                    later.append((time.monotonic() + BUSY_SECONDS, job))
                elif result.outcome == "stopped":
                    waiting.append(job)
                elif not all(self._directory.is_done(job, run) for run in job.runs):
                    waiting.append(job)  # a record that was damaged since has been set aside
            self._look(at_work)
            self._progress.show([job.name for job in running.values()])
        if running:
            self._executor.kill()
            concurrent.futures.wait(running, timeout=1.0)
        if unwritable is not None:
            raise UnwritableError(unwritable)
        if running and not all(future.done() for future in running):  # a call into jax that can't be ended
            self._directory.write_runs(self._in_order(), with_curves=False)
            self._console.show_cursor()
            end_at_once(self._stopped_by)

    def _result_of(
        self, future: concurrent.futures.Future[Result], attempts: collections.Counter[str], job: Job
    ) -> Result:
        """What became of a job; a worker that died counts as one that was stopped, up to MAX_ATTEMPTS."""
        error = future.exception()
        if error is None:
            return future.result()
        if self._stopped_by:
            return Result("stopped")
        attempts[job.name] += 1
        text = " ".join(str(error).split())[:200] or type(error).__name__
        if attempts[job.name] < MAX_ATTEMPTS:
            self._warn(f"{job.name}: its worker died ({text}); it is tried again")
            return Result("stopped")
        return Result("failed", f"its worker process died, {MAX_ATTEMPTS} times (killed, or out of memory?): {text}")

    def _look(self, jobs: list[Job]) -> None:
        """Take note of what workers of these jobs have left in the directory."""
        for job in jobs:
            self._read_new(job)
            for note in read_status(self._directory.status_file(job.name)).notes:
                self._tell_once(job, note)

    def _tell_once(self, job: Job, note: str) -> None:
        if (job.name, note) not in self._told:
            self._told.add((job.name, note))
            self._warn(f"{job.name}: {note}")

    def _holder_of(self, job: Job) -> str:
        return locks.holder(self._directory.job_lock_file(job.name)) or "another worker"

    def _read_new(self, job: Job) -> None:
        """Take note of what has been recorded since the last look."""
        files = {self._directory.record_file(job, run) for run in job.runs}
        for file in sorted((files - self._records.keys()) & set(self._directory.recorded(job))):
            try:
                self._records[file] = read_record(file)
                self._logger.log(self._records[file])
            except DamagedError as error:
                self._warn(self._directory.set_aside(file, error, "the run is trained again"))

    def _fail(self, job: Job, reason: str) -> None:
        self._failures[job.name] = reason
        file = self._directory.status_file(job.name)
        write_news(file, dataclasses.replace(read_status(file), state="failed", reason=reason))
        self._console.print(f"failed: {job.name}: {reason}", style="red", highlight=False, markup=False, soft_wrap=True)

    def _tell_what_is_there(self) -> None:
        """A status is news, not a record: make it anew from the records."""
        for job in self._jobs:
            records = self._records_of(job)
            ended = dict(collections.Counter[str](record.run.status for record in records))
            state: State = "done" if len(records) == len(job.runs) else "waiting"
            file = self._directory.status_file(job.name)
            num_updates = 0 if state == "done" else read_status(file).num_updates  # from which it will go on
            write_news(file, JobStatus(state, ended, num_updates))

    def _stop(self, number: int) -> None:
        self._stopped_by = number

    def _end_at_once(self, number: int) -> None:
        self._executor.kill()
        self._console.show_cursor()
        end_at_once(number)

    def _warn(self, text: str) -> None:
        self._console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)

    def _records_of(self, job: Job) -> list[Record]:
        files = (self._directory.record_file(job, run) for run in job.runs)
        return [self._records[file] for file in files if file in self._records]

    def _in_order(self) -> list[Record]:
        """The records in the order of the grid; a row for each run that a failed job owes, which is tried next time."""
        records: list[Record] = []
        for job in in_order(self._config, self._jobs):
            records += self._records_of(job)
            if job.name in self._failures:
                training = job.training()
                owed = [run for run in job.runs if self._directory.record_file(job, run) not in self._records]
                reason = self._failures[job.name]
                records += [
                    Record(run_row(job, training, run, "failed"), error=reason, settings=job.settings) for run in owed
                ]
        return records

    def _finish_logging(self) -> None:
        if not self._stopped_by:
            with self._console.status(f"logging {self._logger.num_waiting} more runs to wandb"):
                self._logger.finish(SECONDS_TO_LOG)
        for warning in self._logger.warnings:
            self._warn(warning)


def in_order(config: SweepConfig, jobs: list[Job]) -> list[Job]:
    """Jobs in the order of the grid, not in that of their cost."""
    gaps = known(config.gaps)
    return sorted(jobs, key=lambda job: (config.cells.index(job.cell), gaps.index(job.gap)))


@contextlib.contextmanager
def _prepared_jax(config: SweepConfig) -> Iterator[None]:
    """Jobs of the serial executor train in this process; else it computes shapes, and a GPU belongs to the workers."""
    import jax

    with pinned():
        if config.executor == "serial":
            prepare_process()
        else:
            jax.config.update("jax_platforms", "cpu")
        yield
