"""The process that does a job: its options of jax, its signals, and how what goes wrong comes back."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path

from lstm_jax.errors import UnwritableError
from lstm_jax.files import write_atomically
from lstm_jax.signals import HANGUP, on_signals
from lstm_jax.sweeps.job import Job, JobResult
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.status import read_status, write_status
from lstm_jax.sweeps.worker import job as worker
from lstm_jax.sweeps.worker.setup import prepare_process

stop_requested = threading.Event()
"""Set when this process is asked to stop; like a signal, it belongs to the process."""


def work(job: Job, root: Path) -> JobResult:
    """Do a job in this process. Never raises: an exception of a user's cell might not survive the way back."""
    directory = Directory(root)
    stop_requested.clear()  # a signal to an earlier job of this process is not for this one: it is sent again
    try:
        return worker.run_job(job, directory, stop_requested.is_set)
    except UnwritableError as error:
        return JobResult("unwritable", str(error))
    except Exception as error:
        with contextlib.suppress(OSError):
            write_atomically(directory.error_file(job), traceback.format_exc())
        text = " ".join(str(error).split()) or "without a message"
        reason = f"{type(error).__name__}: {text[:300]} (see {directory.error_file(job)})"
        file = directory.status_file(job.name)
        with contextlib.suppress(OSError):
            write_status(file, dataclasses.replace(read_status(file), state="failed", reason=reason))
        return JobResult("failed", reason)


def work_elsewhere(job: Job, root: Path, path: Sequence[str]) -> JobResult:
    """Do a job in a process that a cluster has started, which has neither our modules' path nor our signal handlers."""
    sys.path += [entry for entry in path if entry not in sys.path]
    prepare_process()
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2, *HANGUP)
    with on_signals(lambda _: stop_requested.set(), lambda _: None, signals):
        return work(job, root)
