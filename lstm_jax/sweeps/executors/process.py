"""Worker processes on this machine, one per core or GPU. One that dies takes no other with it.

They are fresh interpreters that import this package and what a job names, but, unlike those of multiprocessing, not the
script of the process that starts them: it needs no guard, and may be a notebook or come from standard input.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing.spawn as spawn
import os
import signal
import subprocess
import threading
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import NamedTuple

from lstm_jax.signals import OF_TERMINAL
from lstm_jax.sweeps.config.execution import ExecutionOptions
from lstm_jax.sweeps.job import Job, JobResult
from lstm_jax.sweeps.machine import accelerators, check_platforms, has_accelerator, num_cores, num_workers
from lstm_jax.sweeps.worker.process import stop_requested, work
from lstm_jax.sweeps.worker.setup import end_with_parent, prepare_process
from lstm_jax.terminal import outlive_readers

_CODE = (
    "from multiprocessing import connection, spawn; line = connection.Connection({}); spawn.prepare(line.recv()); "
    "from lstm_jax.sweeps.executors import process; process._serve(line, *line.recv())"
)
"""What a worker runs; the descriptor of its end of the line goes into the braces."""
_LIKE_OURS = ("sys_path", "sys_argv", "orig_dir", "dir")
"""What of this process multiprocessing's workers are given, but for its script."""
SECONDS_TO_END = 5.0
"""What idle workers get to end in."""


class _Worker(NamedTuple):
    process: subprocess.Popen[bytes]
    line: Connection


class ProcessExecutor:
    """See `Executor`. Each thread has a worker of its own: it sends a job, and waits for what comes back."""

    def __init__(self, options: ExecutionOptions, root: Path) -> None:
        check_platforms()
        self._root, self._num_workers = root, num_workers(options)
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
        if worker is None or worker.process.poll() is not None:  # it may have died between two jobs
            worker = self._workers[index] = self._start(index)
        try:
            worker.line.send(job)
            result: JobResult = worker.line.recv()
        except (EOFError, OSError):
            worker.line.close()
            raise RuntimeError(f"exit status {worker.process.wait()}") from None
        return result

    def _start(self, index: int) -> _Worker:
        ours, its = Pipe()
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
        process = subprocess.Popen(
            [spawn.get_executable(), *flags, "-c", _CODE.format(its.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
        )
        its.close()  # so that the end of the process is the end of the line
        with contextlib.suppress(OSError):  # it has died; the job finds that
            like_ours = spawn.get_preparation_data("worker")
            ours.send({name: like_ours[name] for name in _LIKE_OURS})
            ours.send((self._root, index, self._num_workers, os.getpid()))
        return _Worker(process, ours)

    def _signal(self, number: int) -> None:
        for worker in list(self._workers.values()):
            worker.process.send_signal(number)

    def stop(self) -> None:
        """See `Executor`."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """See `Executor`."""
        self._signal(signal.SIGKILL)

    def shutdown(self) -> None:
        """See `Executor`."""
        for worker in self._workers.values():
            worker.line.close()
        self._threads.shutdown(wait=False)
        for worker in self._workers.values():  # a notebook stays: it would have them as zombies
            try:
                worker.process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                worker.process.kill()


def _serve(line: Connection, root: Path, index: int, num_workers: int, parent: int) -> None:
    """What a worker process runs: one job after another, until the command ends."""
    _start_worker(index, num_workers, parent)
    with contextlib.suppress(EOFError, OSError):
        while True:
            line.send(work(line.recv(), root))


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
