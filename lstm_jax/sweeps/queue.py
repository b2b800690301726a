"""Which job is next, decided from how those before ended. No processes, no files, no clock: times are passed in."""

from __future__ import annotations

import collections
from collections.abc import Iterable

from lstm_jax.sweeps.job import Job

MAX_ATTEMPTS = 3
"""How often a job is started whose worker dies (killed, or out of memory)."""
BUSY_SECONDS = 2.0
"""Seconds before a job is tried again whose lock another worker holds."""


class JobQueue:
    """The jobs that wait, in their order; some of them until a time."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._waiting = collections.deque(jobs)
        self._later: list[tuple[float, Job]] = []
        self._num_deaths: collections.Counter[str] = collections.Counter()

    def __bool__(self) -> bool:
        return bool(self._waiting or self._later)

    def take(self, now: float) -> Job | None:
        """The next job that may start `now`, if there is one."""
        self._waiting += [job for when, job in self._later if when <= now]
        self._later = [(when, job) for when, job in self._later if when > now]
        return self._waiting.popleft() if self._waiting else None

    def put(self, job: Job) -> None:
        """Have a job done once more, behind the others."""
        self._waiting.append(job)

    def add(self, jobs: Iterable[Job]) -> None:
        """Have jobs done too whose runs have just been asked for, the most expensive first as in a plan."""
        new = list(jobs)
        if new:
            self._waiting = collections.deque(sorted([*self._waiting, *new], key=lambda job: -job.weight))

    @property
    def names(self) -> set[str]:
        """Of the jobs that wait."""
        return {job.name for job in (*self._waiting, *(job for _, job in self._later))}

    def put_later(self, job: Job, now: float) -> None:
        """Have a job tried again that another worker holds."""
        self._later.append((now + BUSY_SECONDS, job))

    def put_after_death(self, job: Job) -> bool:
        """Have a job tried again whose worker died; False where that has happened MAX_ATTEMPTS times."""
        self._num_deaths[job.name] += 1
        may_be_tried = self._num_deaths[job.name] < MAX_ATTEMPTS
        if may_be_tried:
            self.put(job)
        return may_be_tried

    def clear(self) -> None:
        """Start no more jobs."""
        self._waiting.clear()
        self._later.clear()
