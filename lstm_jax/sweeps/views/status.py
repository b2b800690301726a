"""Read from its directory how far a sweep is: the same for every executor, and from another terminal. No jax."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lstm_jax.sweeps.config.options import SweepConfig, known
from lstm_jax.sweeps.job import job_name, run_weight
from lstm_jax.sweeps.stages.asked import expected_runs
from lstm_jax.sweeps.store import locks
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.status import JobStatus, State, read_status


@dataclasses.dataclass(frozen=True)
class SweepStatus:
    """Counts of jobs and runs, and the weight (`run_weight`) of all work and of what is done of it."""

    jobs: Mapping[str, JobStatus]
    num_runs: int
    total_weight: float
    done_weight: float

    @property
    def num_ended(self) -> int:
        """Runs that have ended."""
        return sum(sum(job.ended.values()) for job in self.jobs.values())

    def count(self, state: State) -> int:
        """Jobs in that state."""
        return sum(job.state == state for job in self.jobs.values())

    def ended(self) -> collections.Counter[str]:
        """Runs that have ended, by status."""
        total: collections.Counter[str] = collections.Counter()
        for job in self.jobs.values():
            total.update(job.ended)
        return total

    def running(self) -> list[str]:
        """Names of the jobs that run."""
        return [name for name, job in self.jobs.items() if job.state == "running"]


@dataclasses.dataclass(frozen=True)
class Speed:
    """Where a command stood when it began, and how many seconds it has been at work since."""

    seconds: float
    num_ended: int
    done_weight: float

    def runs_per_hour(self, now: SweepStatus) -> float:
        """Runs that ended per hour; 0 before the first."""
        return 3600 * (now.num_ended - self.num_ended) / max(self.seconds, 1e-9)

    def seconds_left(self, now: SweepStatus) -> float | None:
        """Estimate the seconds left by weight, since a run at a large gap takes longer; None while unknown."""
        done = now.done_weight - self.done_weight
        if done < 0.005 * now.total_weight:  # most of it was starting and compiling
            return None
        return self.seconds * (now.total_weight - now.done_weight) / done


def read_speed(path: Path) -> Speed | None:
    """Read what `write_status` wrote of a command; None where none is at work."""
    try:
        return Speed(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def describe(status: SweepStatus, speed: Speed | None) -> str:
    """One line: runs and jobs by state, the speed and the time left."""
    ended = status.ended()
    runs = ", ".join(
        f"{ended[name]} {name}" for name in ("solved", "unsolved", "diverged") if ended[name] or name != "diverged"
    )
    states: list[State] = ["waiting", "running", "done", "failed"]
    jobs = ", ".join(f"{status.count(state)} {state}" for state in states if status.count(state) or state != "failed")
    line = f"{status.num_ended}/{status.num_runs} runs ({runs}) | jobs: {jobs}"
    if speed is None:
        return line
    if speed.runs_per_hour(status):
        line += f" | {speed.runs_per_hour(status):.0f} runs an hour"
    left = speed.seconds_left(status)
    if left is None:
        return f"{line} | time left: not known yet"
    return f"{line} | {left / 60:.0f} min left" if left > 90 else f"{line} | {left:.0f} s left"


def sweep_status(config: SweepConfig, root: Path, alive: Sequence[str] | None = None) -> SweepStatus:
    """The status of a sweep. `alive` names the jobs that run, where the caller knows; else their locks are asked."""
    directory = Directory(root)
    jobs: dict[str, JobStatus] = {}
    grid, max_steps = config.grid, config.training.max_steps
    expected = expected_runs(grid)
    total = done = 0.0
    num_runs = 0
    for cell in grid.cells:
        for gap in known(grid.gaps):
            name, weight = job_name(cell, gap), run_weight(gap, max_steps)
            status = read_status(directory.status_file(name))
            if status.state == "running":
                is_alive = name in alive if alive is not None else locks.is_held(directory.job_lock_file(name))
                if not is_alive:
                    status = dataclasses.replace(status, state="waiting")
            num_ended = sum(status.ended.values())
            is_known = grid.learning_rates is None and (status.num_runs or status.state == "done")
            its_runs = status.num_runs if is_known else expected
            if status.state == "done" and num_ended < its_runs:  # the grid has grown, or the next stage comes
                status = dataclasses.replace(status, state="waiting")
            jobs[name] = status
            num_runs += its_runs
            total += weight * its_runs
            done += weight * (num_ended + status.num_updates / max_steps)
    return SweepStatus(jobs, num_runs, total, min(done, total))
