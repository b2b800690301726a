"""Jobs on a Ray cluster, whose nodes share a file system with this machine. Needs the extra `ray`. No jax here."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.execution import ExecutionOptions, RayOptions
from lstm_jax.sweeps.job import Job, JobResult
from lstm_jax.sweeps.machine import accelerators, num_cores
from lstm_jax.sweeps.worker.process import work_elsewhere

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray

SECONDS_TO_CONNECT = 60.0
SECONDS_TO_LISTEN = 3.0
SECONDS_TO_SAVE = 6.5
SECONDS_TO_DIE = 0.5


class RayExecutor:
    """See `Executor`. A Ray task per job; Ray finds it a node with room, another one where it is tried again."""

    def __init__(self, execution: ExecutionOptions, root: Path) -> None:
        options = execution.ray
        self._root = root
        self._is_ours = options.address is None and not ray.is_initialized()
        if not ray.is_initialized():
            _connect(options)
        # Ray's own way to try again knows nothing of how often; ours counts.
        self._task: Any = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus, max_retries=0)(_work_as_task)
        self._has_gpu = options.gpus > 0
        self._running: dict[Any, concurrent.futures.Future[JobResult]] = {}
        self._asked: set[Any] = set()
        self._stopped_at = 0.0

    def submit(self, job: Job) -> concurrent.futures.Future[JobResult]:
        """See `Executor`."""
        reference = self._task.remote(job, self._root, sys.path, self._has_gpu)
        future: concurrent.futures.Future[JobResult] = reference.future()
        self._running[reference] = future
        future.add_done_callback(lambda _: self._running.pop(reference))
        return future

    def stop(self) -> None:
        """See `Executor`. Ray interrupts a task once, as Ctrl-C would.

        A Ray of our own needs the last of the time that a sweep has to end.
        """
        now = time.monotonic()
        self._stopped_at = self._stopped_at or now
        is_late = self._is_ours and now - self._stopped_at > SECONDS_TO_SAVE
        for reference in list(self._running):
            if is_late or reference not in self._asked:
                self._asked.add(reference)
                ray.cancel(reference, force=is_late)

    def kill(self) -> None:
        """See `Executor`."""
        running = dict(self._running)
        for reference in running:
            ray.cancel(reference, force=True)
        concurrent.futures.wait(running.values(), SECONDS_TO_DIE)
        self.shutdown()

    def shutdown(self) -> None:
        """See `Executor`."""
        if self._is_ours:
            ray.shutdown()


def _work_as_task(job: Job, root: Path, path: Sequence[str], has_gpu: bool) -> JobResult:
    """Run a job as a task of Ray."""
    if not has_gpu:  # Ray lets it see them all, and jax would take the first
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return work_elsewhere(job, root, path)


def _connect(options: RayOptions) -> None:
    """Start Ray on this machine, or find the cluster; raises ConfigError where that can't be had."""
    arguments: dict[str, Any] = {"address": options.address}
    if options.address == "auto":
        arguments["address"] = os.environ.get("RAY_ADDRESS", "auto")
    elif options.address is None:
        has = {"num_cpus": num_cores(), "num_gpus": len(accelerators())}
        _check_that_it_suffices(options, **has)
        arguments = {"address": "local", "include_dashboard": False, **has}
    try:
        _check_that_it_listens(arguments["address"])
        _init(arguments)
    except (OSError, ValueError, OverflowError, RuntimeError, ray.exceptions.RayError) as error:
        text = " ".join(str(error).split())[:300]
        if options.address is None:
            raise ConfigError(
                f"executor: got ray, which can't start on this machine ({text}); expected a RAY_TMPDIR of a "
                "short path and with room, such as /tmp, or another executor"
            ) from None
        raise ConfigError(
            f"ray.address: got {options.address}, which can't be reached ({text}); expected the address of a Ray "
            "cluster that runs (with RAY_AUTH_MODE=token in the environment where it asks for a token), or None"
        ) from None


def _init(arguments: dict[str, Any]) -> None:
    """ray.init, in a thread: it takes SIGTERM from the main thread, and is not to be waited for forever.

    The thread lives on, as Ray's processes end with the thread that has started them.
    """
    connected: concurrent.futures.Future[None] = concurrent.futures.Future()

    def init() -> None:
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **arguments)
        except BaseException as error:
            connected.set_exception(error)
            return
        connected.set_result(None)
        threading.Event().wait()

    threading.Thread(target=init, daemon=True).start()
    handler, deadline = signal.getsignal(signal.SIGTERM), time.monotonic() + SECONDS_TO_CONNECT
    while not connected.done():
        concurrent.futures.wait([connected], 0.1)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray's core puts its own in its place
        if time.monotonic() > deadline:
            raise TimeoutError(f"no answer within {SECONDS_TO_CONNECT:.0f} s")
    connected.result()


def _check_that_it_suffices(options: RayOptions, num_cpus: int, num_gpus: int) -> None:
    """Raise ConfigError where no job would ever start: Ray waits for another node."""
    for name, asked, has in (("cpus", options.cpus, num_cpus), ("gpus", options.gpus, num_gpus)):
        if asked > has:
            raise ConfigError(f"ray.{name}: got {asked:g}; expected at most {has}, which this machine has")


def _check_that_it_listens(address: str) -> None:
    """Raise OSError where nothing listens at `address`, for which Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_LISTEN).close()
