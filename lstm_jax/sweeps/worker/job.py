"""What a worker does with a job: compile once, train its runs, save them as they end. jax is imported in here."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import shutil
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lstm_jax.errors import DamagedError
from lstm_jax.sweeps.machine import available_bytes, num_cores
from lstm_jax.sweeps.plan import FASTEST_FIRST, Job, RunKey, memory_bytes
from lstm_jax.sweeps.store import locks
from lstm_jax.sweeps.store.directory import JOB_PATIENCE_SECONDS, Directory
from lstm_jax.sweeps.store.files import MANIFEST, check_directory, read_sealed, set_aside, writing
from lstm_jax.sweeps.store.records import write_record
from lstm_jax.sweeps.views.status import JobStatus, State, write_news
from lstm_jax.tasks import corpus_of
from lstm_jax.text import store

if TYPE_CHECKING:
    from lstm_jax.scanning import Backward
    from lstm_jax.sweeps.worker.vmapped import Bank, Ended, Lane

SECONDS_BETWEEN_NEWS = 0.5
MAX_LANES = 1024
"""Runs side by side on an accelerator, where there is room for more."""

Outcome = Literal["done", "stopped", "busy"]
"""What became of a job: all its runs are recorded; it was asked to stop, and saved; another worker has it."""


def run_job(job: Job, directory: Directory, should_stop: Callable[[], bool] = lambda: False) -> Outcome:
    """Train the runs of `job` that are not recorded yet, going on from its last checkpoint if there is one.

    `should_stop` is asked between calls of the compiled program. Progress is on disk every `job.checkpoint_seconds`, at
    a stop, and at the end, always in this order: last states, records of the runs that ended, states of those in the
    middle. So a record has its state, and a run that is recorded is not trained again.

    Raises UnwritableError where the directory can't be written any more, and whatever a user's cell or task raises.
    """
    corpus = corpus_of(job.task)
    if corpus is not None:
        store.ensure(corpus, directory.corpus)
    with contextlib.ExitStack() as stack:
        try:
            with writing(directory.root):
                stack.enter_context(locks.hold(directory.job_lock_file(job.name), JOB_PATIENCE_SECONDS))
        except locks.HeldError:
            return "busy"
        return _Work(job, directory, should_stop).do()


class _Work:
    """One go at a job, under its lock."""

    def __init__(self, job: Job, directory: Directory, should_stop: Callable[[], bool]) -> None:
        self._job, self._directory, self._should_stop = job, directory, should_stop
        self._checkpoints = directory.checkpoints(job)
        self._unsaved: list[Ended] = []
        self._num_ended = collections.Counter[str](record.run.status for record in directory.records([job]))
        self._notes: list[str] = []
        self._last_news = float("-inf")

    def do(self) -> Outcome:
        from lstm_jax.self_check import check_model
        from lstm_jax.sweeps.worker.vmapped import Bank

        for leftover in self._checkpoints.glob(".*"):  # of a worker that was killed while it saved
            shutil.rmtree(leftover, ignore_errors=True)
        if all(self._directory.is_done(self._job, run) for run in self._job.runs):
            return self._done()
        self._tell("running")
        self._check_code()
        backward, width = self._way_of_checkpoint() or _way(self._job)
        check_model(self._job.training(backward).model)
        while True:
            try:
                return self._train(Bank(self._job, width, backward))
            except Exception as error:
                # jax tells this error from others by its text alone.
                if width == 1 or not ("RESOURCE_EXHAUSTED" in str(error) or isinstance(error, MemoryError)):
                    raise
            self._notes.append(f"out of memory with {width} runs side by side: {width // 2} from here on")
            width //= 2
            self._save()

    def _check_code(self) -> None:
        """Raise ValueError where this process has other code than the one that planned the job, as after an edit."""
        from lstm_jax.sweeps.environment import pin
        from lstm_jax.sweeps.sources import code_digest

        found = code_digest(self._job.training())
        pin()  # a user's module may have set options of jax as it was imported
        if found != self._job.code:
            raise ValueError(
                f"the code of {self._job.cell} or {self._job.task} is not that of the command's start (edited since?); "
                "repeat the command"
            )

    def _way_of_checkpoint(self) -> tuple[Backward, int] | None:
        """What the latest checkpoint's runs keep for the backward pass, and how many train side by side: they go on so,
        whatever would be chosen today. None where there is none, of these settings and this device."""
        from lstm_jax.sweeps.worker import checkpoints
        from lstm_jax.sweeps.worker.vmapped import device_name

        for name in checkpoints.names(self._checkpoints, "running"):
            with contextlib.suppress(DamagedError, KeyError):
                facts = read_sealed(self._checkpoints / name / MANIFEST)
                if (facts["settings"], facts["device"]) == (self._job.settings_hash, device_name()):
                    return facts["backward"], facts["width"]
        return None

    def _train(self, bank: Bank) -> Outcome:
        from lstm_jax.sweeps.worker.vmapped import Lane

        todo = [run for run in self._job.runs if not self._directory.is_done(self._job, run)]
        waiting = self._restored(todo, bank.facts)
        todo = [run for run in todo if run not in {lane.run for lane, _ in waiting}]
        last_saved = time.monotonic()
        while waiting or todo or bank.lanes:
            if waiting and (room := bank.num_free):
                bank.go_on(waiting[:room])
                waiting = waiting[room:]
            if todo and (room := bank.num_free):
                bank.begin([Lane(run) for run in todo[:room]])
                todo = todo[room:]
            ended = bank.advance()
            self._unsaved += ended
            self._num_ended.update(each.record.run.status for each in ended)
            in_the_middle = [*bank.lanes.values(), *(lane for lane, _ in waiting)]
            can_write = self._tell("running", sum(lane.step for lane in in_the_middle))
            stopping = self._should_stop()
            if stopping or not can_write or time.monotonic() - last_saved >= self._job.checkpoint_seconds:
                self._save([*bank.snapshot(), *waiting], bank.facts)
                last_saved = time.monotonic()
            if stopping:
                self._tell("waiting", sum(lane.step for lane in in_the_middle))
                return "stopped"
        self._save(facts_now=bank.facts)
        return self._done()

    def _done(self) -> Outcome:
        from lstm_jax.sweeps.worker import checkpoints

        for name in checkpoints.names(self._checkpoints, "running"):  # of no use any more
            checkpoints.remove(self._checkpoints / name)
        with writing(self._directory.root):
            self._directory.error_file(self._job).unlink(missing_ok=True)  # of an earlier try
        self._tell("done")
        return "done"

    def _restored(self, todo: Collection[RunKey], facts_now: Mapping[str, Any]) -> list[tuple[Lane, Any]]:
        """The runs in the middle, each with its state and metrics, from the latest checkpoint that is good.

        A row of runs.csv states one way of making its numbers: runs made in another way than now start anew.
        """
        from lstm_jax.sweeps.worker import checkpoints
        from lstm_jax.sweeps.worker.vmapped import Lane
        from lstm_jax.training import NO_UPDATES

        for name in checkpoints.names(self._checkpoints, "running"):
            checkpoint = self._checkpoints / name
            try:
                facts = check_directory(checkpoint)
                other = [name for name, now in facts_now.items() if facts.get(name, "") != now]
                if other:
                    with writing(self._directory.root):
                        target = set_aside(checkpoint, self._directory.root)
                    differences = "; ".join(
                        f"{name} {facts.get(name, '')!r}, now {facts_now[name]!r}" for name in other
                    )
                    self._notes.append(
                        f"{checkpoint.name} was made otherwise ({differences}); moved to {target}, and its "
                        f"{len(facts['lanes'])} unfinished runs start anew"
                    )
                    continue
                lanes = [Lane.from_json(tree) for tree in facts["lanes"]]
                form = (checkpoints.abstract_state(self._job), NO_UPDATES)
                states = checkpoints.read(checkpoint, form, len(lanes))
            except DamagedError as error:
                goes_on = "going on from the one before, or anew"
                with writing(self._directory.root):
                    self._notes.append(self._directory.set_aside(checkpoint, error, goes_on))
                continue
            return [(lane, state) for lane, state in zip(lanes, states, strict=True) if lane.run in todo]
        return []

    def _save(self, in_the_middle: Sequence[tuple[Lane, Any]] = (), facts_now: Mapping[str, Any] | None = None) -> None:
        """Have everything on disk, in an order in which nothing is lost wherever it is cut off."""
        from lstm_jax.sweeps.worker import checkpoints

        facts = {"job": self._job.name, **(facts_now or {})}
        with writing(self._directory.root):
            if self._unsaved:
                runs = {"runs": [list(each.run) for each in self._unsaved]}
                name = checkpoints.save(
                    self._checkpoints, "ended", [each.state for each in self._unsaved], facts | runs
                )
                for ended in self._unsaved:
                    record = dataclasses.replace(ended.record, checkpoint=name)
                    write_record(self._directory.record_file(self._job, ended.run), record)
                self._unsaved = []
            if in_the_middle:
                lanes = {"lanes": [lane.to_json() for lane, _ in in_the_middle]}
                checkpoints.save(self._checkpoints, "running", [state for _, state in in_the_middle], facts | lanes)

    def _tell(self, state: State, num_updates: int = 0) -> bool:
        """Say how far the job is, now and then; returns whether that could be written."""
        now = time.monotonic()
        if state == "running" and now - self._last_news < SECONDS_BETWEEN_NEWS:
            return True
        self._last_news = now
        status = JobStatus(state, dict(self._num_ended), num_updates, socket.gethostname(), os.getpid(), self._notes)
        try:
            write_news(self._directory.status_file(self._job.name), status)
        except OSError:
            return False
        return True


def _way(job: Job) -> tuple[Backward, int]:
    """What runs keep for the backward pass, and how many train side by side, where no checkpoint says so."""
    backward = _backward(job)
    return backward, _first_width(job, backward)


def _backward(job: Job) -> Backward:
    """What runs keep for the backward pass: as the sweep says, or the fastest that fits."""
    import jax

    if job.backward is not None:
        return job.backward
    if jax.default_backend() != "cpu":
        return "states"  # what is not kept leaves room for more lanes
    room = available_bytes() / num_cores() / (job.lanes or 1) / 2
    return next((backward for backward in FASTEST_FIRST if memory_bytes(job, backward) <= room), FASTEST_FIRST[-1])


def _first_width(job: Job, backward: Backward) -> int:
    """Lanes on a device: as the sweep says, one on a CPU, and on an accelerator the power of two that fits."""
    import jax

    if job.lanes is not None:
        return job.lanes
    if jax.default_backend() == "cpu":
        return 1
    memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 8 * 2**30)
    that_fit = max(1, int(0.8 * memory / memory_bytes(job, backward)))
    that_are_there = -(-len(job.runs) // jax.local_device_count())
    width: int = 2 ** min(that_fit.bit_length() - 1, (that_are_there - 1).bit_length(), MAX_LANES.bit_length() - 1)
    return width
