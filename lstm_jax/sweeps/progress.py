"""How far a sweep is and how long it will take: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import rich.console
import rich.progress
import rich.text

from lstm_jax.sweeps.config import SweepConfig
from lstm_jax.sweeps.status import SweepStatus, sweep_status

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_LOOKS = 0.5


class Progress:
    """Shows the status of a sweep; as a run at a large gap takes longer, the time left is told by weight."""

    def __init__(self, config: SweepConfig, root: Path, console: rich.console.Console) -> None:
        self._config, self._root, self._console = config, root, console
        self._first = sweep_status(config, root, [])
        self._started = self._last_line = self._last_look = time.monotonic()
        self._bar = rich.progress.Progress(
            rich.progress.BarColumn(bar_width=24),
            rich.progress.TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(self._describe(self._first), total=max(self._first.total_weight, 1.0))

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, running: Sequence[str]) -> None:
        """Show how far the sweep is, now and then; `running` names the jobs that run."""
        now = time.monotonic()
        if now - self._last_look < SECONDS_BETWEEN_LOOKS:
            return
        self._last_look = now
        status = sweep_status(self._config, self._root, running)
        self._bar.update(self._task, completed=status.done_weight, description=self._describe(status))
        if not self._console.is_terminal and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._console.print(rich.text.Text(self._describe(status)), soft_wrap=True)

    def _describe(self, status: SweepStatus) -> str:
        return describe(status, self._first, time.monotonic() - self._started)


def describe(status: SweepStatus, first: SweepStatus, seconds: float) -> str:
    """One line: runs and jobs by state, the speed since `first`, `seconds` ago, and the time left."""
    ended = status.ended()
    runs = ", ".join(
        f"{ended[name]} {name}" for name in ("solved", "unsolved", "diverged") if ended[name] or name != "diverged"
    )
    jobs = ", ".join(f"{status.count(state)} {state}" for state in ("waiting", "running", "done"))
    if status.count("failed"):
        jobs += f", {status.count('failed')} failed"
    since = status.num_ended - first.num_ended
    speed = f" | {3600 * since / seconds:.0f} runs an hour" if since > 0 else ""
    done = status.done_weight - first.done_weight
    if done > 0:
        left = seconds * (status.total_weight - status.done_weight) / done
        time_left = f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left"
    else:
        time_left = "time left: not known yet"
    running = status.running()
    names = f" | {', '.join(running[:4])}{', ...' if len(running) > 4 else ''}" if running else ""
    return f"{status.num_ended}/{status.num_runs} runs ({runs}) | jobs: {jobs}{speed} | {time_left}{names}"
