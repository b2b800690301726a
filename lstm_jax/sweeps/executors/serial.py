"""One job at a time, in a thread of this process: the plainest executor, and the one to debug in."""

from __future__ import annotations

import concurrent.futures
from pathlib import Path

from lstm_jax.sweeps.config.execution import ExecutionOptions
from lstm_jax.sweeps.job import Job, JobResult
from lstm_jax.sweeps.machine import check_platforms
from lstm_jax.sweeps.worker import process
from lstm_jax.sweeps.worker.setup import prepare_process


class SerialExecutor:
    """See `Executor`."""

    def __init__(self, options: ExecutionOptions, root: Path) -> None:
        check_platforms()
        prepare_process()
        self._root = root
        self._thread = concurrent.futures.ThreadPoolExecutor(1)

    def submit(self, job: Job) -> concurrent.futures.Future[JobResult]:
        """See `Executor`."""
        return self._thread.submit(process.work, job, self._root)

    def stop(self) -> None:
        """See `Executor`."""
        process.stop_requested.set()

    def kill(self) -> None:
        """See `Executor`. A thread can't be ended: the process has to be."""

    def shutdown(self) -> None:
        """See `Executor`."""
        self._thread.shutdown(wait=False)
