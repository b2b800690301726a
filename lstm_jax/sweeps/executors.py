"""Jobs on workers: in this process, or a process a core. Both have the shape of `concurrent.futures`. No jax."""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import multiprocessing
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from lstm_jax.sweeps import worker
from lstm_jax.sweeps.directory import Directory
from lstm_jax.sweeps.jobs import Job
from lstm_jax.sweeps.records import write_atomically

Report = Callable[[str, str, Any], None]
MAX_ATTEMPTS = 2
"""How often a job is started whose worker dies (killed, or out of memory)."""


def run_jobs(jobs: Sequence[Job], directory: Directory, num_workers: int, report: Report) -> Mapping[str, str]:
    """Run all jobs on `num_workers` processes; returns the reason for each job that failed, by name.

    A job that raises leaves its traceback in the directory, and the others go on. `report` is called in a thread of
    this process. On KeyboardInterrupt the workers stop at their next chunk and keep the runs that have ended; a second
    one ends them at once.
    """
    context = multiprocessing.get_context("spawn")  # fork would copy locks that threads of jax hold
    events = context.Queue()
    stop = context.Event()
    indices = context.Queue()
    failures: dict[str, str] = {}
    attempts: collections.Counter[str] = collections.Counter()
    running: set[str] = set()

    def pump() -> None:
        for event, job_name, payload in iter(events.get, None):
            if event == "started":
                running.add(job_name)
            elif event == "ended":
                running.discard(job_name)
            report(event, job_name, payload)

    pump_thread = threading.Thread(target=pump, daemon=True)
    pump_thread.start()
    waiting = list(jobs)
    try:
        while waiting:
            for index in range(num_workers):
                indices.put(index)
            executor = concurrent.futures.ProcessPoolExecutor(
                num_workers, context, initializer=_initialise, initargs=(indices, num_workers, events, stop)
            )
            futures = {executor.submit(_run_in_worker, job, directory): job for job in waiting}
            broken: list[Job] = []
            try:
                for future in concurrent.futures.as_completed(futures):
                    job = futures[future]
                    try:
                        reason = future.result()
                    except BrokenProcessPool:
                        broken.append(job)
                        continue
                    if reason is not None:
                        failures[job.name] = reason
                        report("failed", job.name, reason)
            except KeyboardInterrupt:
                stop.set()
                _shut_down(executor)
                raise
            executor.shutdown()
            for job in broken:
                attempts[job.name] += job.name in running
                if attempts[job.name] >= MAX_ATTEMPTS:
                    failures[job.name] = f"its worker process died, {MAX_ATTEMPTS} times (killed, or out of memory)"
                    report("failed", job.name, failures[job.name])
            running.clear()
            waiting = [job for job in broken if job.name not in failures]
            _drain(indices)
    finally:
        events.put(None)
        pump_thread.join(timeout=5)
    return failures


def _shut_down(executor: concurrent.futures.ProcessPoolExecutor) -> None:
    """Wait for the workers to save what they have; at a second interrupt, don't."""
    processes = list((executor._processes or {}).values())
    try:
        executor.shutdown(wait=True, cancel_futures=True)
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
        raise


def _drain(indices: Any) -> None:
    try:
        while True:
            indices.get_nowait()
    except queue.Empty:
        return


_report: Report
_should_stop: Callable[[], bool]


def _initialise(indices: Any, num_workers: int, events: Any, stop: Any) -> None:
    """Runs in a fresh worker, before anything imports jax."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes: ours ask `stop`
    worker.set_up_process(indices.get(), num_workers)
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
    return None
