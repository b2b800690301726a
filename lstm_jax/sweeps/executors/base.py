"""Define an executor, and choose the one of a sweep.

A new one is a file beside this one, a line in `EXECUTORS` and its name in `ExecutionOptions.executor`.

An executor is made from the options of a sweep and its directory. `submit(job)` gives a future with the job's result; a
future that raises says that the worker died. `stop` asks the jobs that run to save and end, `kill` does not ask.
"""

from __future__ import annotations

import concurrent.futures
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.execution import ExecutionOptions
from lstm_jax.sweeps.job import Job, JobResult

EXECUTORS: Mapping[str, str] = {
    "serial": "lstm_jax.sweeps.executors.serial:SerialExecutor",
    "process": "lstm_jax.sweeps.executors.process:ProcessExecutor",
    "ray": "lstm_jax.sweeps.executors.ray:RayExecutor",
    "slurm": "lstm_jax.sweeps.executors.slurm:SlurmExecutor",
}


@runtime_checkable
class Executor(Protocol):
    """What a sweep asks of an executor."""

    def submit(self, job: Job) -> concurrent.futures.Future[JobResult]:
        """Have a worker do the job."""

    def stop(self) -> None:
        """Ask the jobs that run to save and to end; may be called again."""

    def kill(self) -> None:
        """End running jobs at once."""

    def shutdown(self) -> None:
        """Release its resources, when nothing runs."""


def make_executor(options: ExecutionOptions, root: Path) -> Executor:
    """Make the executor that the options name, with at most as many workers as they say.

    Raises ConfigError where its package, cluster or device is missing.
    """
    module, _, name = EXECUTORS[options.executor].partition(":")
    try:
        executor: Executor = getattr(importlib.import_module(module), name)(options, root)
    except ImportError as error:
        raise ConfigError(
            f"executor: {options.executor} needs a package that is missing ({error}); expected an installation with "
            f"the extra of that name: pip install 'lstm_jax[{options.executor}]'"
        ) from None
    return executor
