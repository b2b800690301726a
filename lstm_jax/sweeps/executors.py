"""Jobs on worker processes, one a core, by `concurrent.futures`. No jax in this process."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from lstm_jax.sweeps import worker
from lstm_jax.sweeps.directory import Directory
from lstm_jax.sweeps.jobs import Job
from lstm_jax.sweeps.records import write_atomically

MAX_ATTEMPTS = 2
"""How often a job is started whose worker dies (killed, or out of memory)."""


def run_jobs(jobs: Sequence[Job], directory: Directory, num_workers: int, report: worker.Report) -> Mapping[str, str]:
    """Run all jobs on `num_workers` processes; returns the reason for each job that failed, by name.

    A job that raises leaves its traceback in the directory, one whose process dies is tried again; the others go on.
    `report` is called in a thread of this process. On KeyboardInterrupt the workers stop at their next chunk and keep
    the runs that have ended; a second one ends them at once.
    """
    context = multiprocessing.get_context("spawn")  # fork would copy locks that threads of jax hold
    stop = context.Event()
    reporting = threading.Lock()
    queues: list[Any] = []
    pumps: list[threading.Thread] = []

    def pump_events(events: Any) -> None:
        for event in iter(events.get, None):
            with reporting:
                report(*event)

    def start_worker(index: int) -> concurrent.futures.ProcessPoolExecutor:
        # A pool and a queue for each worker: a process that dies breaks its own, and with them this one job only.
        events = context.Queue()
        queues.append(events)
        pumps.append(threading.Thread(target=pump_events, args=(events,), daemon=True))
        pumps[-1].start()
        return concurrent.futures.ProcessPoolExecutor(
            1, context, initializer=_initialise, initargs=(index, num_workers, events, stop)
        )

    def submit(index: int, job: Job) -> concurrent.futures.Future[str | None]:
        with _interrupts_ignored():  # a process inherits that: Ctrl-C, which reaches all of a terminal's, is for us
            try:
                return workers[index].submit(_run_in_worker, job, directory)
            except BrokenProcessPool:  # it died between two jobs
                workers[index].shutdown()
                workers[index] = start_worker(index)
                return workers[index].submit(_run_in_worker, job, directory)

    workers = [start_worker(index) for index in range(num_workers)]
    idle, waiting = list(range(num_workers)), list(jobs)
    busy: dict[concurrent.futures.Future[str | None], tuple[int, Job]] = {}
    attempts: collections.Counter[str] = collections.Counter()
    failures: dict[str, str] = {}
    try:
        while waiting or busy:
            while waiting and idle:
                index, job = idle.pop(0), waiting.pop(0)
                busy[submit(index, job)] = index, job
            ended, _ = concurrent.futures.wait(busy, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in ended:
                index, job = busy.pop(future)
                idle.append(index)
                try:
                    reason = future.result()
                except BrokenProcessPool:
                    workers[index].shutdown()
                    workers[index] = start_worker(index)
                    attempts[job.name] += 1
                    if attempts[job.name] < MAX_ATTEMPTS:
                        waiting.append(job)
                        continue
                    reason = f"its worker process died, {MAX_ATTEMPTS} times (killed, or out of memory)"
                if reason is not None:
                    failures[job.name] = reason
                    with reporting:
                        report("failed", job.name, reason)
    except KeyboardInterrupt:
        stop.set()
        raise
    finally:
        _shut_down(workers)
        for events, pump in zip(queues, pumps, strict=True):
            events.put(None)
            pump.join(timeout=5)
    return failures


def _shut_down(workers: Sequence[concurrent.futures.ProcessPoolExecutor]) -> None:
    """Wait for the workers to save what they have; at an interrupt, don't."""
    processes = [process for worker in workers for process in (worker._processes or {}).values()]
    try:
        for worker in workers:
            worker.shutdown(wait=True, cancel_futures=True)
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
        raise


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say so
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_report: worker.Report
_should_stop: Callable[[], bool]


def _initialise(index: int, num_workers: int, events: Any, stop: Any) -> None:
    """Runs in a fresh worker, before anything imports jax."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.set_up_process(index, num_workers)
    global _report, _should_stop
    _report = functools.partial(_put, events)
    _should_stop = stop.is_set


def _put(events: Any, event: str, job_name: str, payload: Any) -> None:
    events.put((event, job_name, payload))


def _run_in_worker(job: Job, directory: Directory) -> str | None:
    """The reason why the job failed, or None; an exception itself might not survive the way back."""
    try:
        worker.run_job(job, directory, _report, _should_stop)
    except Exception as error:
        write_atomically(directory.error_file(job), traceback.format_exc())
        text = " ".join(str(error).split())
        return f"{type(error).__name__}: {text[:300]} (see {directory.error_file(job)})"
    directory.error_file(job).unlink(missing_ok=True)  # of an earlier try
    return None
