"""Run jobs as a Slurm job array, by submitit. Needs the extra `slurm`. No jax here.

A task leaves the result of its job in a file of JSON: no accounting database is needed, and
nothing that a job has pickled is loaded.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import submitit

from lstm_jax.errors import ConfigError
from lstm_jax.files import write_atomically
from lstm_jax.signals import OF_TERMINAL
from lstm_jax.sweeps.config.execution import ExecutionOptions, SlurmOptions
from lstm_jax.sweeps.job import Job, JobResult
from lstm_jax.sweeps.machine import num_cores
from lstm_jax.sweeps.store import locks
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.worker.process import work_elsewhere
from lstm_jax.sweeps.worker.setup import end_with_parent

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_APPEAR = 5.0
"""How much later than its end a file from another node may be seen here, before a task counts as dead."""
SECONDS_TO_SUBMIT = 60.0
"""How long a Slurm that takes no jobs is asked again."""
MAX_ARRAY = 1000
"""Slurm's own limit on an array is 1001 by default."""


@dataclasses.dataclass
class _Submitted:
    job: Job
    result_file: Path
    future: concurrent.futures.Future[JobResult]
    slurm_job: Any = None
    submitted_at: float = dataclasses.field(default_factory=time.monotonic)
    left_at: float = math.inf
    """When it was seen first that it is not in the queue any more."""


class SlurmExecutor:
    """See `Executor`. A task of a job array for each job; jobs submitted within a second share an array."""

    def __init__(self, execution: ExecutionOptions, root: Path) -> None:
        options = execution.slurm
        self._is_local = options.cluster == "local"
        if "SLURM_JOB_ID" in os.environ:  # the command is itself a Slurm job, whose settings are not for its jobs
            for name in [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_CONF"]:
                del os.environ[name]
        if not self._is_local:
            _check(options)
        self._directory = Directory(root)
        self._folder = root / "slurm"
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o700)  # submitit's tasks unpickle what lies there: nobody else may write
        self._slurm = submitit.AutoExecutor(folder=self._folder, cluster=options.cluster)
        self._slurm.update_parameters(
            name="lstm_jax",
            timeout_min=options.minutes,
            cpus_per_task=options.cpus,
            gpus_per_node=options.gpus or None,
            mem_gb=options.memory_gb,
            slurm_partition=options.partition,
            slurm_array_parallelism=MAX_ARRAY,
            slurm_signal_delay_s=min(90, 20 * options.minutes),
            slurm_srun_args=[f"--cpus-per-task={options.cpus}"],  # which it does not take from sbatch
            # Slurm's own way to try again knows nothing of how often; ours counts.
            slurm_additional_parameters={"no_requeue": True},
        )
        self._new: list[_Submitted] = []
        self._running: list[_Submitted] = []
        self._stopping, self._end, self._wake = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=self._look_after, daemon=True).start()

    def submit(self, job: Job) -> concurrent.futures.Future[JobResult]:
        """See `Executor`."""
        future: concurrent.futures.Future[JobResult] = concurrent.futures.Future()
        if locks.is_held(self._directory.job_lock_file(job.name)):  # a task of an earlier command has it
            future.set_result(JobResult("busy"))
        else:
            self._new.append(_Submitted(job, self._folder / f"{job.name}.{uuid.uuid4().hex[:8]}.json", future))
        return future

    def _look_after(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, OF_TERMINAL)  # a child inherits what its thread blocks
        while not self._end.is_set():
            try:
                if self._stopping.is_set():
                    if (scancel := self._cancel()) is not None:
                        scancel.wait()
                else:
                    self._send()
                self._collect()
            except Exception as error:  # Slurm's commands can't be run any more: the sweep has to know
                for each in [*self._new, *self._running]:
                    _settle(each.future, RuntimeError(" ".join(str(error).split())))
                self._new, self._running = [], []
            self._wake.wait(SECONDS_BETWEEN_LOOKS)
            self._wake.clear()

    def _send(self) -> None:
        while group := self._new[: num_cores() - len(self._running) if self._is_local else MAX_ARRAY]:
            try:
                with self._slurm.batch():
                    tasks = [
                        self._slurm.submit(_work_as_task, each.job, self._directory.root, sys.path, each.result_file)
                        for each in group
                    ]
            except Exception as error:  # of sbatch, or of the disk
                if time.monotonic() - group[0].submitted_at > SECONDS_TO_SUBMIT:
                    for each in group:
                        each.future.set_result(
                            JobResult("failed", f"can't be submitted: {' '.join(str(error).split())}")
                        )
                    del self._new[: len(group)]
                return
            for each, task in zip(group, tasks, strict=True):
                each.slurm_job = task
            self._running += group
            del self._new[: len(group)]

    def _collect(self) -> None:
        there = self._in_queue() if self._running else set()
        now, patience = time.monotonic(), 0 if self._is_local or self._stopping.is_set() else SECONDS_TO_APPEAR
        for each in self._running:
            each.left_at = math.inf if each.slurm_job.job_id in there else min(each.left_at, now)
            result = _read_result(each.result_file)
            if result is not None:
                _settle(each.future, result)
            elif now - each.left_at >= patience:
                reason = f"Slurm's job {each.slurm_job.job_id} left no result, see {each.slurm_job.paths.stderr}"
                _settle(each.future, RuntimeError(reason))
        self._running = [each for each in self._running if not each.future.done()]

    def _in_queue(self) -> set[str]:
        """Ids of those of our jobs that wait or run."""
        ours = {each.slurm_job.job_id for each in self._running}
        if self._is_local:
            return {each.slurm_job.job_id for each in self._running if each.slurm_job._process.poll() is None}
        command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        return set(listed.stdout.split()) if listed.returncode == 0 else ours  # too busy to answer: nothing has ended

    def _cancel(self, number: int = signal.SIGTERM) -> subprocess.Popen[bytes] | None:
        """Have Slurm send SIGTERM, and SIGKILL half a minute later (its KillWait)."""
        for each in self._new:
            _settle(each.future, JobResult("stopped"))
        self._new = []
        if self._is_local:
            for each in self._running:
                each.slurm_job._process.send_signal(number)
        elif self._running:
            ids = [each.slurm_job.job_id for each in self._running]
            return subprocess.Popen(["scancel", "--quiet", *ids], stderr=subprocess.DEVNULL)
        return None

    def stop(self) -> None:
        """See `Executor`."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._wake.set()

    def kill(self) -> None:
        """See `Executor`. Slurm ends its jobs later; one that does not answer is not waited for."""
        running = list(self._running)
        self._cancel(signal.SIGKILL)
        for each in running:
            _settle(each.future, RuntimeError("killed"))

    def shutdown(self) -> None:
        """See `Executor`."""
        self._end.set()
        self._wake.set()


def _work_as_task(job: Job, root: Path, path: Sequence[str], result_file: Path) -> None:
    """What a task of Slurm runs."""
    end_with_parent()
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # submitit's handler, before and after the work, would raise
    result = work_elsewhere(job, root, path)
    write_atomically(result_file, json.dumps(result._asdict(), allow_nan=False))


def _read_result(file: Path) -> JobResult | None:
    try:
        result = JobResult(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    file.unlink()
    return result


def _settle(future: concurrent.futures.Future[JobResult], outcome: JobResult | RuntimeError) -> None:
    """Give a future what became of it, unless the other thread has."""
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        if isinstance(outcome, JobResult):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)


def _check(options: SlurmOptions) -> None:
    """Raise ConfigError where there is no Slurm, or where it would take no such job."""
    missing = [name for name in ("sbatch", "squeue", "scancel", "srun") if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"executor: there is no Slurm here; expected {', '.join(missing)} in PATH, or --slurm.cluster local"
        )
    asked = [f"--time={options.minutes}", f"--cpus-per-task={options.cpus}"]
    asked += [f"--gpus-per-node={options.gpus}"] if options.gpus else []
    asked += [] if options.memory_gb is None else [f"--mem={options.memory_gb}GB"]
    asked += [] if options.partition is None else [f"--partition={options.partition}"]
    command = ["sbatch", "--test-only", *asked, "--wrap=true"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        text = " ".join(answer.stderr.split())[-300:]
        raise ConfigError(f"slurm: sbatch refuses {' '.join(asked)} ({text}); expected what the cluster has")
