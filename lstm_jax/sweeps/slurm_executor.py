"""Jobs as a Slurm job array, by submitit. Needs the extra `slurm`. No jax here.

Only what lies in the directory of the sweep counts: what became of a job is read from its status there, so that no
accounting database is needed and nothing that a job has pickled is loaded.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import getpass
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import submitit

from lstm_jax.sweeps import locks
from lstm_jax.sweeps.config import ConfigError, SlurmOptions
from lstm_jax.sweeps.directory import Directory
from lstm_jax.sweeps.executors import Result, work_elsewhere
from lstm_jax.sweeps.jobs import Job
from lstm_jax.sweeps.status import read_status

SECONDS_BETWEEN_LOOKS = 1.0
MAX_ARRAY = 1000
"""Slurm's own limit on an array is 1001 by default."""


@dataclasses.dataclass
class _Submitted:
    job: Job
    future: concurrent.futures.Future[Result]
    slurm_job: Any = None


class SlurmExecutor:
    """A task of a job array for each job; those that are submitted within a second share an array."""

    def __init__(self, options: SlurmOptions, root: Path) -> None:
        self._directory = Directory(root)
        folder = root / "slurm"
        folder.mkdir(mode=0o700, exist_ok=True)  # submitit's workers unpickle what lies there: nobody else may write
        try:
            self._slurm = submitit.AutoExecutor(folder=folder, cluster=options.cluster)
        except RuntimeError as error:
            raise ConfigError(
                f"executor: there is no Slurm here ({error}); expected its commands (sbatch, squeue) in PATH, or "
                "--slurm.cluster local"
            ) from None
        self._slurm.update_parameters(
            name="lstm_jax",
            timeout_min=options.minutes,
            cpus_per_task=options.cpus,
            gpus_per_node=options.gpus,
            **{} if options.memory_gb is None else {"mem_gb": options.memory_gb},
            **{} if options.partition is None else {"slurm_partition": options.partition},
        )
        self._is_local = options.cluster == "local"
        self._new: list[_Submitted] = []
        self._running: list[_Submitted] = []
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look_after, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> concurrent.futures.Future[Any]:
        """See Executor."""
        submitted = _Submitted(arguments[0], concurrent.futures.Future())
        with self._lock:
            self._new.append(submitted)
        return submitted.future

    def _look_after(self) -> None:
        while not self._end.wait(SECONDS_BETWEEN_LOOKS):
            try:
                with self._lock:
                    self._send()
                    self._collect()
            except Exception as error:  # sbatch refused, or squeue can't be run: the jobs should hear of it
                with self._lock:
                    for each in [*self._new, *self._running]:
                        each.future.set_exception(RuntimeError(" ".join(str(error).split())[:300]))
                    self._new, self._running = [], []

    def _send(self) -> None:
        while self._new:
            group = self._new[:MAX_ARRAY]
            with self._slurm.batch():
                for each in group:
                    each.slurm_job = self._slurm.submit(work_elsewhere, each.job, self._directory.root, list(sys.path))
            self._running += group
            self._new = self._new[MAX_ARRAY:]

    def _collect(self) -> None:
        if not self._running:
            return
        there = self._in_queue()
        ended = [each for each in self._running if each.slurm_job.job_id not in there]
        self._running = [each for each in self._running if each not in ended]
        for each in ended:
            result = self._result(each.job)
            if result is None:
                each.future.set_exception(RuntimeError(f"Slurm's job {each.slurm_job.job_id} ended without a result"))
            else:
                each.future.set_result(result)

    def _in_queue(self) -> set[str]:
        """Ids of those of our jobs that wait or run."""
        if self._is_local:
            return {each.slurm_job.job_id for each in self._running if each.slurm_job._process.poll() is None}
        command = ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%F_%K"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        if listed.returncode:  # Slurm is too busy to answer: nothing has ended as far as we know
            return {each.slurm_job.job_id for each in self._running}
        lines = listed.stdout.split()
        return {*lines, *(line.removesuffix("_N/A") for line in lines)}

    def _result(self, job: Job) -> Result | None:
        if locks.is_held(self._directory.job_lock_file(job.name)):
            return Result("busy")
        status = read_status(self._directory.status_file(job.name))
        outcomes: dict[str, Result] = {
            "done": Result("done"),
            "waiting": Result("stopped"),
            "failed": Result("failed", status.reason),
        }
        return outcomes.get(status.state)

    def _cancel(self) -> None:
        with self._lock:
            for each in self._new:
                each.future.set_result(Result("stopped"))
            self._new = []
            for each in self._running:
                each.slurm_job.cancel(check=False)

    def stop(self) -> None:
        """See Executor. Slurm sends SIGTERM, and SIGKILL half a minute later."""
        self._cancel()

    def kill(self) -> None:
        """See Executor. What Slurm was told to end, it ends."""

    def shutdown(self) -> None:
        """See Executor."""
        self._end.set()
        self._thread.join()
