"""Worker processes on this machine, one per core or GPU. One that dies takes no other with it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker as resource_tracker
import os
import signal
import threading
from pathlib import Path
from typing import NamedTuple

from lstm_jax.signals import OF_TERMINAL
from lstm_jax.sweeps.config.execution import ExecutionOptions
from lstm_jax.sweeps.job import Job, JobResult
from lstm_jax.sweeps.machine import accelerators, check_platforms, has_accelerator, num_cores, num_workers
from lstm_jax.sweeps.worker.process import stop_requested, work
from lstm_jax.sweeps.worker.setup import end_with_parent, prepare_process
from lstm_jax.terminal import outlive_readers


class _Worker(NamedTuple):
    process: multiprocessing.process.BaseProcess
    connection: multiprocessing.connection.Connection


class ProcessExecutor:
    """See `Executor`. Each thread has a worker of its own: it sends a job, and waits for what comes back."""

    def __init__(self, options: ExecutionOptions, root: Path) -> None:
        check_platforms()
        self._root, self._num_workers = root, num_workers(options)
        self._context = multiprocessing.get_context("spawn")  # fork would copy locks that threads of jax hold
        before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_TERMINAL)  # a child inherits what its thread blocks
        resource_tracker.ensure_running()  # which unblocks signals in the thread that starts it
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._indices = iter(range(self._num_workers))
        self._of_thread = threading.local()
        self._workers: dict[int, _Worker] = {}
        self._threads = concurrent.futures.ThreadPoolExecutor(self._num_workers, initializer=self._start_thread)

    def submit(self, job: Job) -> concurrent.futures.Future[JobResult]:
        """See `Executor`."""
        return self._threads.submit(self._do, job)

    def _start_thread(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, OF_TERMINAL)  # a child inherits what its thread blocks
        self._of_thread.index = next(self._indices)

    def _do(self, job: Job) -> JobResult:
        index = self._of_thread.index
        worker = self._workers.get(index)
        if worker is None or not worker.process.is_alive():  # it may have died between two jobs
            worker = self._workers[index] = self._start(index)
        try:
            worker.connection.send(job)
            result: JobResult = worker.connection.recv()
        except (EOFError, OSError):
            worker.connection.close()
            worker.process.join()
            text = f"exit status {worker.process.exitcode}"
            if worker.process.exitcode == 1:  # Python's own, as where a worker can't import the script
                text += "; a script that runs a sweep needs the guard: if __name__ == '__main__':"
            raise RuntimeError(text) from None
        return result

    def _start(self, index: int) -> _Worker:
        ours, its = self._context.Pipe()
        arguments = (its, self._root, index, self._num_workers, os.getpid())
        process = self._context.Process(target=_serve, args=arguments)
        process.start()
        its.close()  # so that the end of the process is the end of the connection
        return _Worker(process, ours)

    def _signal(self, number: int) -> None:
        for worker in list(self._workers.values()):
            if worker.process.pid is not None and worker.process.exitcode is None:
                with contextlib.suppress(OSError):
                    os.kill(worker.process.pid, number)

    def stop(self) -> None:
        """See `Executor`."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """See `Executor`."""
        self._signal(signal.SIGKILL)

    def shutdown(self) -> None:
        """See `Executor`."""
        for worker in list(self._workers.values()):
            worker.connection.close()
        self._threads.shutdown(wait=False)


def _serve(
    connection: multiprocessing.connection.Connection, root: Path, index: int, num_workers: int, parent: int
) -> None:
    """What a worker process runs: one job after another, until the command ends."""
    _start_worker(index, num_workers, parent)
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(work(connection.recv(), root))


def _start_worker(index: int, num_workers: int, parent: int) -> None:
    """Set up a fresh process, before anything imports jax."""
    for number in OF_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    outlive_readers()  # a user's cell may print
    signal.signal(signal.SIGTERM, lambda *_: stop_requested.set())
    gpus = accelerators()
    if has_accelerator():
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
    if hasattr(os, "sched_setaffinity") and num_workers == num_cores():
        # With fewer workers than cores, two sweeps would pin themselves to the same ones.
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[index]})
    end_with_parent(parent)
    prepare_process()
