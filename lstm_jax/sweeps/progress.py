"""What is running, what is solved, how long it will take: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import collections
import time
from collections.abc import Sequence
from typing import Any

import rich.console
import rich.progress
import rich.text

from lstm_jax.sweeps.jobs import Job
from lstm_jax.sweeps.records import Record

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Counts runs and, as a run at a large gap takes longer, tells the time left by the steps that runs may take."""

    def __init__(self, jobs: Sequence[Job], num_done: int, done_weight: float, console: rich.console.Console) -> None:
        self._weights = {job.name: job.weight for job in jobs}
        self._total_weight = sum(job.weight * len(job.runs) for job in jobs)
        self._done_weight = self._first_weight = done_weight
        self._num_runs = sum(len(job.runs) for job in jobs)
        self._num_done = num_done
        self._counts: collections.Counter[str] = collections.Counter()
        self._running: dict[str, int] = {}
        self._console = console
        self._started = self._last_line = time.monotonic()
        self._bar = rich.progress.Progress(
            rich.progress.BarColumn(bar_width=24),
            rich.progress.TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(self._describe(), total=max(self._total_weight, 1.0))

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def observe(self, event: str, job_name: str, payload: Any) -> None:
        """Take note of a worker's event."""
        if event == "started":
            self._running[job_name] = 0
        elif event in ("ended", "failed"):
            self._running.pop(job_name, None)
            if event == "failed":
                self._console.print(rich.text.Text(f"failed: {job_name}: {payload}"), style="red", soft_wrap=True)
        elif event == "run":
            record: Record = payload
            self._num_done += 1
            self._running[job_name] = self._running.get(job_name, 0) + 1
            self._counts[record.run.status] += 1
            self._done_weight += self._weights[job_name]
        self._bar.update(self._task, completed=self._done_weight, description=self._describe())
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._console.print(rich.text.Text(self._describe()), soft_wrap=True)

    def _describe(self) -> str:
        counts = ", ".join(f"{self._counts[status]} {status}" for status in ("solved", "unsolved"))
        for status in ("diverged", "failed"):
            counts += f", {self._counts[status]} {status}" if self._counts[status] else ""
        running = f" | {', '.join(self._running)}" if self._running else ""
        return f"{self._num_done}/{self._num_runs} runs | {counts} | {self._time_left()}{running}"

    def _time_left(self) -> str:
        done = self._done_weight - self._first_weight
        if done <= 0:
            return "time left: not known yet"
        seconds = (time.monotonic() - self._started) * (self._total_weight - self._done_weight) / done
        return f"{seconds / 60:.0f} min left" if seconds > 90 else f"{seconds:.0f} s left"
