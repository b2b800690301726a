"""One job on one device: compile once, train its runs, save them as they end. jax is imported where it is used."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import shutil
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lstm_jax.errors import DamagedError
from lstm_jax.sweeps.job import Job, JobResult, RunKey
from lstm_jax.sweeps.machine import available_bytes, num_cores
from lstm_jax.sweeps.plan import FASTEST_FIRST, memory_bytes
from lstm_jax.sweeps.sources import code_digest, version_changes
from lstm_jax.sweeps.store import checkpoints, locks
from lstm_jax.sweeps.store.directory import JOB_PATIENCE_SECONDS, Directory
from lstm_jax.sweeps.store.files import MANIFEST, check_directory, read_sealed, set_aside, writing
from lstm_jax.sweeps.store.records import Record, write_record
from lstm_jax.sweeps.store.status import JobStatus, State, write_status
from lstm_jax.sweeps.worker.setup import pin
from lstm_jax.tasks import corpus_of
from lstm_jax.text import store

if TYPE_CHECKING:
    from lstm_jax.scan import Backward
    from lstm_jax.sweeps.worker.vmapped import LiveRun, VmappedRuns

SECONDS_BETWEEN_STATUSES = 0.5
MAX_LANES = 1024
"""Runs side by side on an accelerator, where there is room for more."""


def run_job(job: Job, directory: Directory, should_stop: Callable[[], bool] = lambda: False) -> JobResult:
    """Train the runs of `job` that are not recorded yet, going on from its last checkpoint if there is one.

    `should_stop` is asked between calls of the compiled program. Progress is on disk every `job.checkpoint_seconds`, at
    a stop, and at the end, always in this order: last states, records of the runs that ended, states of unfinished
    runs. So a record has its state, and a run that is recorded is not trained again.

    Raises UnwritableError where the directory can't be written any more, and whatever a user's cell or task raises.
    """
    corpus = corpus_of(job.settings.task)
    if corpus is not None:
        store.ensure(corpus, directory.corpus)
    with contextlib.ExitStack() as stack:
        try:
            with writing(directory.root):
                stack.enter_context(locks.hold(directory.job_lock_file(job.name), JOB_PATIENCE_SECONDS))
        except locks.HeldError:
            return JobResult("busy")
        return _Attempt(job, directory, should_stop).run()


class _Attempt:
    """One attempt at a job, under its lock."""

    def __init__(self, job: Job, directory: Directory, should_stop: Callable[[], bool]) -> None:
        self._job, self._directory, self._should_stop = job, directory, should_stop
        self._checkpoints = directory.checkpoints(job)
        self._unsaved: list[tuple[Record, Any]] = []
        self._num_ended = collections.Counter[str](record.run.status for record in directory.records([job]))
        self._notes: list[str] = []
        self._last_status = float("-inf")

    def run(self) -> JobResult:
        for leftover in self._checkpoints.glob(".*"):  # of a worker that was killed while it saved
            shutil.rmtree(leftover, ignore_errors=True)
        if all(self._directory.is_done(self._job, run) for run in self._job.runs):
            return self._done()
        self._write_status("running")
        self._check_code()
        from lstm_jax.self_check import check_model
        from lstm_jax.sweeps.worker.vmapped import VmappedRuns

        backward, width = self._as_checkpointed() or (found := _backward(self._job), _first_width(self._job, found))
        check_model(self._job.training(backward).model)
        while True:
            try:
                return self._train(VmappedRuns(self._job, width, backward))
            except Exception as error:
                # jax tells this error from others by its text alone.
                if width == 1 or not ("RESOURCE_EXHAUSTED" in str(error) or isinstance(error, MemoryError)):
                    raise
            self._notes.append(f"out of memory with {width} runs side by side: {width // 2} from here on")
            width //= 2
            self._save()

    def _check_code(self) -> None:
        """Raise ValueError where this process has other code than the one that planned the job, as after an edit."""
        settings, found = self._job.settings, code_digest(self._job.training())
        pin()  # a user's module may have set options of jax as it was imported
        if found != settings.code:
            raise ValueError(
                f"the code of {settings.cell} or {settings.task} is not that of the command's start (edited since?); "
                "repeat the command, in a notebook after a restart of its kernel"
            )

    def _as_checkpointed(self) -> tuple[Backward, int] | None:
        """How the runs of the latest checkpoint store residuals, and how many train side by side: they go on so.

        None where there is no checkpoint of these settings and this device.
        """
        from lstm_jax.sweeps.worker.vmapped import device_name

        for name in checkpoints.names(self._checkpoints, "running"):
            with contextlib.suppress(DamagedError, KeyError):
                facts = read_sealed(self._checkpoints / name / MANIFEST)
                if (facts["settings"], facts["device"]) == (self._job.settings.hash, device_name()):
                    return facts["backward"], facts["width"]
        return None

    def _train(self, live: VmappedRuns) -> JobResult:
        from lstm_jax.sweeps.worker.vmapped import LiveRun

        todo = [run for run in self._job.runs if not self._directory.is_done(self._job, run)]
        waiting = self._restored(todo, live.facts)
        todo = [key for key in todo if key not in {run.key for run, _ in waiting}]
        last_saved = time.monotonic()
        while waiting or todo or live.runs:
            if waiting and (room := live.num_free):
                live.resume(waiting[:room])
                waiting = waiting[room:]
            if todo and (room := live.num_free):
                live.begin([LiveRun(key) for key in todo[:room]])
                todo = todo[room:]
            ended = live.advance()
            self._unsaved += ended
            self._num_ended.update(record.run.status for record, _ in ended)
            num_updates = sum(run.step for run in [*live.runs.values(), *(run for run, _ in waiting)])
            can_write = self._write_status("running", num_updates)
            stopping = self._should_stop()
            if stopping or not can_write or time.monotonic() - last_saved >= self._job.checkpoint_seconds:
                self._save([*live.snapshot(), *waiting], live.facts)
                last_saved = time.monotonic()
            if stopping:
                self._write_status("waiting", num_updates)
                return JobResult("stopped")
        self._save(facts_now=live.facts)
        return self._done()

    def _done(self) -> JobResult:
        for name in checkpoints.names(self._checkpoints, "running"):  # of no use any more
            checkpoints.remove(self._checkpoints / name)
        with writing(self._directory.root):
            self._directory.error_file(self._job).unlink(missing_ok=True)  # of an earlier try
        self._write_status("done")
        return JobResult("done")

    def _restored(self, todo: Collection[RunKey], now: Mapping[str, Any]) -> list[tuple[LiveRun, Any]]:
        """The unfinished runs, each with its state and metrics, from the latest checkpoint that is good.

        A row of runs.csv states one way of making its numbers: runs made in another way than now start anew.
        """
        from lstm_jax.sweeps.worker import states
        from lstm_jax.sweeps.worker.vmapped import LiveRun
        from lstm_jax.training import NO_UPDATES

        for name in checkpoints.names(self._checkpoints, "running"):
            checkpoint = self._checkpoints / name
            try:
                facts = check_directory(checkpoint)
                other = [f"{each} {facts.get(each, '')!r}, now {now[each]!r}" for each in _changed(facts, now)]
                if other:
                    with writing(self._directory.root):
                        target = set_aside(checkpoint, self._directory.root)
                    self._notes.append(
                        f"{checkpoint.name} was made otherwise ({'; '.join(other)}); moved to {target}, and its "
                        f"{len(facts['lanes'])} unfinished runs start anew"
                    )
                    continue
                runs = [LiveRun.from_json(tree) for tree in facts["lanes"]]
                form = (states.abstract_state(self._job), NO_UPDATES)
                found = states.read(checkpoint, form, len(runs))
            except DamagedError as error:
                goes_on = "going on from the one before, or anew"
                with writing(self._directory.root):
                    self._notes.append(self._directory.set_aside(checkpoint, error, goes_on))
                continue
            return [(run, state) for run, state in zip(runs, found, strict=True) if run.key in todo]
        return []

    def _save(self, unfinished: Sequence[tuple[LiveRun, Any]] = (), facts_now: Mapping[str, Any] | None = None) -> None:
        """Have everything on disk, in an order in which nothing is lost wherever it is cut off."""
        from lstm_jax.sweeps.worker import states

        facts = {"job": self._job.name, **(facts_now or {})}
        with writing(self._directory.root):
            if self._unsaved:
                keys = [RunKey(record.run.seed, record.run.learning_rate) for record, _ in self._unsaved]
                last = [state for _, state in self._unsaved]
                name = states.save(self._checkpoints, "ended", last, facts | {"runs": [list(key) for key in keys]})
                for key, (record, _) in zip(keys, self._unsaved, strict=True):
                    file = self._directory.record_file(self._job, key)
                    write_record(file, dataclasses.replace(record, checkpoint=name))
                self._unsaved = []
            if unfinished:
                lanes = {"lanes": [run.to_json() for run, _ in unfinished]}
                states.save(self._checkpoints, "running", [state for _, state in unfinished], facts | lanes)

    def _write_status(self, state: State, num_updates: int = 0) -> bool:
        """Say how far the job is, now and then; returns whether that could be written."""
        now = time.monotonic()
        if state == "running" and now - self._last_status < SECONDS_BETWEEN_STATUSES:
            return True
        self._last_status = now
        ended, num_runs, host, pid = dict(self._num_ended), self._job.num_expected, socket.gethostname(), os.getpid()
        status = JobStatus(state, ended, num_updates, num_runs, host, pid, self._notes)
        try:
            write_status(self._directory.status_file(self._job.name), status)
        except OSError:
            return False
        return True


def _changed(facts: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The facts that a checkpoint has otherwise; versions that make the same numbers are the same."""
    return [
        name
        for name, value in now.items()
        if (version_changes(facts[name], value) if name == "versions" else facts.get(name, "") != value)
    ]


def _backward(job: Job) -> Backward:
    """What runs store for the backward pass: as the sweep says, or the fastest that fits."""
    import jax

    from lstm_jax.linear_scan import is_linear

    training = job.settings.training
    if training.backward is not None:
        return training.backward
    if jax.default_backend() != "cpu":
        cells = getattr(job.training().model, "cells", ())
        if cells and all(map(is_linear, cells)):
            return "parallel"  # a loop over time is a launch a step
        return "states"  # what is not stored leaves room for more lanes
    room = available_bytes() / num_cores() / (training.lanes or 1) / 2
    return next((backward for backward in FASTEST_FIRST if memory_bytes(job, backward) <= room), FASTEST_FIRST[-1])


def _first_width(job: Job, backward: Backward) -> int:
    """Lanes on a device: as the sweep says, one on a CPU, and on an accelerator the power of two that fits."""
    import jax

    if job.settings.training.lanes is not None:
        return job.settings.training.lanes
    if jax.default_backend() == "cpu":
        return 1
    memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 8 * 2**30)
    that_fit = max(1, int(0.8 * memory / memory_bytes(job, backward)))
    that_are_there = -(-len(job.runs) // jax.local_device_count())
    width: int = 2 ** min(that_fit.bit_length() - 1, (that_are_there - 1).bit_length(), MAX_LANES.bit_length() - 1)
    return width
