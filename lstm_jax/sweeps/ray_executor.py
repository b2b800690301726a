"""Jobs on a Ray cluster, whose nodes share a file system with this machine. Needs the extra `ray`. No jax here."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from lstm_jax.sweeps.config import ConfigError, RayOptions
from lstm_jax.sweeps.executors import work_elsewhere

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray


class RayExecutor:
    """A Ray task a job; Ray finds it a node with room, another one where it is tried again."""

    def __init__(self, options: RayOptions, num_workers: int | None) -> None:
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            own: dict[str, Any] = {"num_cpus": num_workers, "include_dashboard": False}
            own = {} if options.address else own
            try:
                ray.init(address=options.address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
            except (ConnectionError, ValueError, RuntimeError) as error:
                text = " ".join(str(error).split())[:300]
                raise ConfigError(
                    f"ray.address: got {options.address}, which can't be reached ({text}); expected the address of a "
                    "Ray cluster that runs, or None"
                ) from None
        # Ray's own way to try again knows nothing of how often; ours counts.
        self._task: Any = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus, max_retries=0)(work_elsewhere)
        self._running: set[Any] = set()

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> concurrent.futures.Future[Any]:
        """See Executor."""
        reference = self._task.remote(*arguments, sys.path)
        self._running.add(reference)
        future: concurrent.futures.Future[Any] = reference.future()
        future.add_done_callback(lambda _: self._running.discard(reference))
        return future

    def stop(self) -> None:
        """See Executor. Ray interrupts the task as Ctrl-C would."""
        for reference in list(self._running):
            ray.cancel(reference, force=False)

    def kill(self) -> None:
        """See Executor."""
        for reference in list(self._running):
            ray.cancel(reference, force=True)

    def shutdown(self) -> None:
        """See Executor."""
        if self._is_ours:
            ray.shutdown()
