"""Where jobs run. Each executor has the shape of `concurrent.futures`, and all call the same `work`. No jax here.

`submit(work, job, root)` gives a future with a Result; one that raises instead says that the worker died. `stop` asks
what runs to save and end, `kill` does not ask.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import multiprocessing.resource_tracker as resource_tracker
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from lstm_jax.errors import ConfigError, UnwritableError
from lstm_jax.files import write_atomically
from lstm_jax.signals import HANGUP, OF_TERMINAL, heard
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.environment import own_flags, pin
from lstm_jax.sweeps.machine import accelerators, check_platforms, has_accelerator, num_cores, num_workers
from lstm_jax.sweeps.plan import Job
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.views.status import read_status, write_news
from lstm_jax.sweeps.worker import job as worker
from lstm_jax.sweeps.worker.program_cache import keep_programs
from lstm_jax.terminal import outlive_readers


class Result(NamedTuple):
    """What became of a job that was given to a worker, and why; plain, so that it survives the way back."""

    outcome: Literal["done", "stopped", "busy", "failed", "unwritable"]
    reason: str = ""


@runtime_checkable
class Executor(Protocol):
    """What a sweep asks of an executor."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> concurrent.futures.Future[Any]:
        """Run `function(*arguments)` in a worker, some time."""

    def stop(self) -> None:
        """Ask the jobs that run to save and to end; may be called again."""

    def kill(self) -> None:
        """End them."""

    def shutdown(self) -> None:
        """Give back what it holds, when nothing runs."""


def make_executor(config: SweepConfig, root: Path) -> Executor:
    """The executor that a sweep asks for; raises ConfigError where its package, cluster or device is missing."""
    if config.executor in ("serial", "process"):
        check_platforms()
    if config.executor == "serial":
        return SerialExecutor()
    if config.executor == "process":
        return ProcessExecutor(num_workers(config))
    try:
        if config.executor == "ray":
            from lstm_jax.sweeps.executors.ray import RayExecutor

            return RayExecutor(config.ray)
        from lstm_jax.sweeps.executors.slurm import SlurmExecutor

        return SlurmExecutor(config.slurm, root)
    except ImportError as error:
        raise ConfigError(
            f"executor: {config.executor} needs a package that is missing ({error}); expected an installation with the "
            f"extra of that name: pip install 'lstm_jax[{config.executor}]'"
        ) from None


_stop = threading.Event()
"""Whether this process was asked to stop: as a signal is, it is the process's."""


def work(job: Job, root: Path) -> Result:
    """Do a job in this process. Never raises: an exception of a user's cell might not survive the way back."""
    directory = Directory(root)
    _stop.clear()  # a signal to an earlier job of this process is not for this one; who means it says it again
    try:
        return Result(worker.run_job(job, directory, _stop.is_set))
    except UnwritableError as error:
        return Result("unwritable", str(error))
    except Exception as error:
        with contextlib.suppress(OSError):
            write_atomically(directory.error_file(job), traceback.format_exc())
        text = " ".join(str(error).split()) or "without a message"
        reason = f"{type(error).__name__}: {text[:300]} (see {directory.error_file(job)})"
        file = directory.status_file(job.name)
        with contextlib.suppress(OSError):
            write_news(file, dataclasses.replace(read_status(file), state="failed", reason=reason))
        return Result("failed", reason)


def work_elsewhere(job: Job, root: Path, path: Sequence[str]) -> Result:
    """Do a job in a process that a cluster has started: where it finds modules, and what signals it hears, is ours."""
    sys.path += [entry for entry in path if entry not in sys.path]
    prepare_process()
    with heard(lambda _: _stop.set(), lambda _: None, (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, *HANGUP)):
        return work(job, root)


def prepare_process() -> None:
    """Have jax take one thread in this process, keep what it compiles, and make the same numbers whatever options the
    user's environment sets. Must come before jax makes an array."""
    flags = own_flags()
    given = os.environ.get("XLA_FLAGS", "")
    if flags[0] not in given:
        os.environ["XLA_FLAGS"] = " ".join([*flags, given]).strip()  # the last one counts
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    keep_programs()
    pin()


def end_with_parent(parent: int | None = None) -> None:
    """Have this process end when its parent does, which may have died already: who knows its number should say it."""
    parent = parent or os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class SerialExecutor:
    """One job at a time, in a thread of this process: the plainest thing, and the one to debug in."""

    def __init__(self) -> None:
        prepare_process()
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self.submit = self._thread.submit

    def stop(self) -> None:
        """See Executor."""
        _stop.set()

    def kill(self) -> None:
        """A thread can't be ended: the process has to be."""

    def shutdown(self) -> None:
        """See Executor."""
        self._thread.shutdown(wait=False)


class ProcessExecutor:
    """Worker processes, one a core or a GPU: a pool of one for each, so that one that dies takes no other with it."""

    def __init__(self, num_workers: int) -> None:
        self._context = multiprocessing.get_context("spawn")  # fork would copy locks that threads of jax hold
        before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_TERMINAL)  # a child inherits what its thread blocks
        resource_tracker.ensure_running()  # which unblocks signals in the thread that starts it
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._num_workers = num_workers
        self._indices = iter(range(num_workers))
        self._of_thread = threading.local()
        self._pools: dict[int, concurrent.futures.ProcessPoolExecutor] = {}
        self._threads = concurrent.futures.ThreadPoolExecutor(num_workers, initializer=self._start_thread)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> concurrent.futures.Future[Any]:
        """See Executor."""
        return self._threads.submit(self._run, function, *arguments)

    def _start_thread(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, OF_TERMINAL)  # a child inherits what its thread blocks
        self._of_thread.index = next(self._indices)

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        index = self._of_thread.index
        try:
            pool = self._pools.get(index) or self._start(index)
            future = pool.submit(function, *arguments)
        except BrokenProcessPool:  # it died between two jobs
            future = self._start(index).submit(function, *arguments)
        return future.result()  # BrokenProcessPool: it died in this one

    def _start(self, index: int) -> concurrent.futures.ProcessPoolExecutor:
        if index in self._pools:
            self._pools[index].shutdown()
        pool = concurrent.futures.ProcessPoolExecutor(
            1, self._context, initializer=_start_worker, initargs=(index, self._num_workers, os.getpid())
        )
        self._pools[index] = pool
        return pool

    def _signal(self, number: int) -> None:
        for pool in list(self._pools.values()):
            for process in list((pool._processes or {}).values()):
                if process.pid is not None:
                    with contextlib.suppress(OSError):
                        os.kill(process.pid, number)

    def stop(self) -> None:
        """See Executor."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """See Executor."""
        self._signal(signal.SIGKILL)

    def shutdown(self) -> None:
        """See Executor."""
        for pool in list(self._pools.values()):
            pool.shutdown(wait=False)
        self._threads.shutdown(wait=False)


def _start_worker(index: int, num_workers: int, parent: int) -> None:
    """Runs in a fresh worker process, before anything imports jax."""
    for number in OF_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    outlive_readers()  # a user's cell may print
    signal.signal(signal.SIGTERM, lambda *_: _stop.set())
    gpus = accelerators()
    if has_accelerator():
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
    if hasattr(os, "sched_setaffinity") and num_workers == num_cores():
        # With fewer workers than cores, two sweeps would pin themselves to the same ones.
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[index]})
    end_with_parent(parent)
    prepare_process()
