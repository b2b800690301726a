"""Show how far a sweep is and how long it will take: a live bar on a terminal and in a notebook, elsewhere lines."""

from __future__ import annotations

import contextlib
import dataclasses
import html
import time
from collections.abc import Sequence
from pathlib import Path

import rich.console
import rich.progress
import rich.text

from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.status import write_status
from lstm_jax.sweeps.views.status import Speed, SweepStatus, describe, sweep_status
from lstm_jax.terminal import in_notebook

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_LOOKS = 0.5


class Progress:
    """Shows the status of a sweep; estimates the time left by weight, since a run at a large gap takes longer."""

    def __init__(self, config: SweepConfig, root: Path, console: rich.console.Console) -> None:
        self._config, self._root, self._console = config, root, console
        first = sweep_status(config, root, [])
        self._speed = Speed(0.0, first.num_ended, first.done_weight)
        self._started = self._last_line = self._last_look = time.monotonic()
        self._notebook = _NotebookBar() if in_notebook() else None
        if self._notebook is not None:
            self._notebook.show(first, describe(first, self._speed))
        self._bar = rich.progress.Progress(
            rich.progress.BarColumn(bar_width=24),
            rich.progress.TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(describe(first, self._speed), total=max(first.total_weight, 1.0))

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._notebook is not None:  # where what is shown stays
            last = sweep_status(self._config, self._root, [])
            self._notebook.show(last, describe(last, None))
        Directory(self._root).speed_file.unlink(missing_ok=True)

    def show(self, running: Sequence[str]) -> None:
        """Show how far the sweep is, now and then; `running` names the jobs that run."""
        now = time.monotonic()
        if now - self._last_look < SECONDS_BETWEEN_LOOKS:
            return
        self._last_look = now
        status = sweep_status(self._config, self._root, running)
        speed = dataclasses.replace(self._speed, seconds=now - self._started)
        with contextlib.suppress(OSError):
            write_status(Directory(self._root).speed_file, speed)  # for other terminals
        line = describe(status, speed)
        if running:
            line += f" | {', '.join(running[:4])}{', ...' if len(running) > 4 else ''}"
        self._bar.update(self._task, completed=status.done_weight, description=line)
        if self._notebook is not None:
            self._notebook.show(status, line)
        elif not self._console.is_terminal and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._console.print(rich.text.Text(line), soft_wrap=True)


class _NotebookBar:
    """A bar among the outputs of a notebook's cell: HTML that is shown anew, which needs no widgets."""

    def __init__(self) -> None:
        from IPython.display import display

        self._output = display({}, raw=True, display_id=True)

    def show(self, status: SweepStatus, line: str) -> None:
        """Show how far the sweep is."""
        share = status.done_weight / max(status.total_weight, 1.0)
        bar = f'<progress value="{share:.4f}" max="1"></progress> {html.escape(line)}'
        self._output.update({"text/html": bar, "text/plain": line}, raw=True)
