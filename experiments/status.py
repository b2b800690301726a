"""Progress of a sweep: `python -m experiments.status DIR`, from any terminal, on any executor.

`--html` writes report.html in DIR every few seconds while the sweep is at work; a browser that shows it loads it again.
`--check` reads every record and checkpoint and names those that are damaged (status 1); the sweep's own command does
the same and sets them aside.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import rich.console
import rich.table
import rich.text
import tyro

from experiments.cli import program
from experiments.common import command, one_line
from lstm_jax.errors import ConfigError, DamagedError
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.sweeps.store import checkpoints, locks
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.files import check_directory
from lstm_jax.sweeps.store.records import read_record
from lstm_jax.sweeps.views.status import describe, read_speed, sweep_status

REFRESH_SECONDS = 10


@dataclasses.dataclass(frozen=True)
class Status:
    """Show the progress of a sweep."""

    directory: tyro.conf.Positional[Path]
    """The directory of a sweep."""
    check: bool = False
    """Read every record and checkpoint, and name those that are damaged."""
    html: bool = False
    """Keep report.html in the directory up to date until the sweep's command ends."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""

    def act(console: rich.console.Console) -> int:
        arguments = parse_options(
            Status, sys.argv[1:] if argv is None else argv, program("status"), str(Status.__doc__)
        )
        directory = sweep_directory(arguments.directory)
        try:
            show(directory, console)
            if arguments.html:
                follow(directory, console)
            return check(directory, console) if arguments.check else 0
        except OSError as error:
            return one_line(error)

    return command(act)


def sweep_directory(root: Path) -> Directory:
    """Return the directory of a sweep that a user names; raises ConfigError where it is none."""
    directory = Directory(root)
    if not directory.config_file.is_file():
        raise ConfigError(f"directory: got {root}; expected the directory of a sweep, with a sweep.yaml in it")
    return directory


def show(directory: Directory, console: rich.console.Console) -> None:
    """Print counts, speed and time left, and the jobs that run or have failed."""
    status = sweep_status(from_yaml(directory.config_file), directory.root)
    holder = locks.holder(directory.lock_file)
    console.print(f"{directory.root}: {f'{holder} is at work' if holder else 'no command is at work'}")
    speed = read_speed(directory.speed_file) if holder else None
    console.print(describe(status, speed))
    table = rich.table.Table("job", "state", "runs ended", "worker", "", box=None)
    for name, job in status.jobs.items():
        if job.state in ("running", "failed"):
            worker = f"process {job.pid} on {job.host}" if job.state == "running" else ""
            cells = (name, job.state, str(sum(job.ended.values())), worker, job.reason or "; ".join(job.notes))
            table.add_row(*map(rich.text.Text, cells))
    if table.row_count:
        console.print(table)


def follow(directory: Directory, console: rich.console.Console) -> None:
    """Write report.html, and again and again while a command is at work on the sweep."""
    from experiments.page.live import live_page
    from lstm_jax.figures.page.render import write_page

    file = directory.root / "report.html"
    console.print(f"report: {file}")
    while locks.holder(directory.lock_file):
        write_page(live_page(directory, REFRESH_SECONDS), file)
        time.sleep(REFRESH_SECONDS)
    if not file.is_file() or b'http-equiv="refresh"' in file.read_bytes()[:4096]:  # the command has not written its own
        write_page(live_page(directory, None), file)


def check(directory: Directory, console: rich.console.Console) -> int:
    """Name what is damaged; returns 1 where anything is."""
    records = directory.all_recorded()
    folders = sorted((directory.root / "checkpoints").glob("*"))
    saved = [checkpoint for folder in folders for checkpoint in checkpoints.in_directory(folder)]
    num_damaged = 0
    for path in [*records, *saved]:
        try:
            check_directory(path) if path.is_dir() else read_record(path)
        except (DamagedError, OSError) as error:
            if not path.exists():  # the sweep is at work, and has replaced it
                continue
            num_damaged += 1
            console.print(f"damaged: {error}", style="red")
    console.print(f"checked {len(records)} records and {len(saved)} checkpoints: {num_damaged} damaged")
    return 1 if num_damaged else 0


if __name__ == "__main__":
    sys.exit(main())
