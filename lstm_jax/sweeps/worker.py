"""What a worker does with a job: compile once, train its runs, save them as they end. jax is imported in here."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import shutil
import socket
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lstm_jax.sweeps import locks
from lstm_jax.sweeps.directory import JOB_PATIENCE_SECONDS, Directory
from lstm_jax.sweeps.jobs import FASTEST_FIRST, Job, RunKey, memory_bytes
from lstm_jax.sweeps.machine import available_bytes, num_cores, versions
from lstm_jax.sweeps.records import write_record
from lstm_jax.sweeps.status import JobStatus, State, write_news
from lstm_jax.sweeps.storage import DamagedError, check_directory, writing
from lstm_jax.tasks import corpus_of
from lstm_jax.text import store

if TYPE_CHECKING:
    from lstm_jax.scan import Backward
    from lstm_jax.sweeps.bank import Bank, Ended, Lane

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
        from lstm_jax.sweeps.bank import Bank

        for leftover in self._checkpoints.glob(".*"):  # of a worker that was killed while it saved
            shutil.rmtree(leftover, ignore_errors=True)
        if all(self._directory.is_done(self._job, run) for run in self._job.runs):
            return self._done()
        self._tell("running")
        backward = _backward(self._job)
        check_model(self._job.training(backward).model)
        width = _first_width(self._job, backward)
        while True:
            try:
                return self._train(Bank(self._job, width, backward))
            except Exception as error:
                # jax tells this error from others by its text alone.
                if width == 1 or not ("RESOURCE_EXHAUSTED" in str(error) or isinstance(error, MemoryError)):
                    raise
            self._notes.append(f"out of memory with {width} runs side by side: {width // 2} from here on")
            width //= 2
            self._save()  # those in the middle go on from their last checkpoint, or start anew

    def _train(self, bank: Bank) -> Outcome:
        from lstm_jax.sweeps.bank import Lane

        todo = [run for run in self._job.runs if not self._directory.is_done(self._job, run)]
        waiting = self._restored(todo, bank.width)
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
                self._save([*bank.snapshot(), *waiting], bank.width)
                last_saved = time.monotonic()
            if stopping:
                self._tell("waiting", sum(lane.step for lane in in_the_middle))
                return "stopped"
        self._save()
        return self._done()

    def _done(self) -> Outcome:
        from lstm_jax.sweeps import checkpoints

        for name in checkpoints.names(self._checkpoints, "running"):  # of no use any more
            checkpoints.remove(self._checkpoints / name)
        with writing(self._directory.root):
            self._directory.error_file(self._job).unlink(missing_ok=True)  # of an earlier try
        self._tell("done")
        return "done"

    def _restored(self, todo: Collection[RunKey], width: int) -> list[tuple[Lane, Any]]:
        """The runs in the middle, each with its state and metrics, from the latest checkpoint that is good."""
        from lstm_jax.sweeps import checkpoints
        from lstm_jax.sweeps.bank import Lane
        from lstm_jax.training import NO_UPDATES

        for name in checkpoints.names(self._checkpoints, "running"):
            checkpoint = self._checkpoints / name
            try:
                facts = check_directory(checkpoint)
                made_with = (facts["settings"], facts["versions"], facts["width"])
                if made_with != (self._job.settings, versions(), width):  # one row, one way of making it
                    raise DamagedError(f"{checkpoint}: made with other settings, versions or lanes")
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

    def _save(self, in_the_middle: Sequence[tuple[Lane, Any]] = (), width: int = 0) -> None:
        """Have everything on disk, in an order in which nothing is lost wherever it is cut off."""
        from lstm_jax.sweeps import checkpoints

        facts = {"job": self._job.name, "settings": self._job.settings, "versions": versions()}
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
                lanes = {"width": width, "lanes": [lane.to_json() for lane, _ in in_the_middle]}
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
