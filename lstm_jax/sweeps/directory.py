"""The directory of a sweep, its system of record: everything else can be made from it again. No jax."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from lstm_jax.sweeps.command_line import from_yaml, to_yaml
from lstm_jax.sweeps.config import ConfigError, SweepConfig, differences
from lstm_jax.sweeps.jobs import Job, RunKey
from lstm_jax.sweeps.records import (
    CurvePoint,
    Record,
    Run,
    columns_of,
    read_record,
    write_atomically,
    write_csv,
    write_rows,
)


@dataclasses.dataclass(frozen=True)
class Directory:
    """Where things lie in the directory of a sweep."""

    root: Path

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.root / "sweep.yaml"

    def record_file(self, job: Job, run: RunKey) -> Path:
        """The record of one run."""
        return self.root / "records" / job.name / f"seed{run.seed}-learning_rate{run.learning_rate!r}.json"

    def checkpoints(self, job: Job) -> Path:
        """The orbax checkpoints of one job."""
        return self.root / "checkpoints" / job.name

    def error_file(self, job: Job) -> Path:
        """The traceback of a failed job."""
        return self.root / "errors" / f"{job.name}.txt"

    def claim(self, config: SweepConfig) -> IO[str]:
        """Make the directory and write the configuration, or go on in a directory of the same sweep.

        Returns the lock on the directory, held until it is closed or the process ends. Raises ConfigError where the
        directory can't be written, holds another sweep (and then leaves it as it was) or is worked on by another
        command.
        """
        made: list[Path] = []
        try:
            made = [path for path in (self.root, *self.root.parents) if not path.exists()]
            if self.config_file.exists():
                found = differences(from_yaml(self.config_file), config)
                if found:
                    raise ConfigError(
                        f"out: {self.root} holds another sweep ({'; '.join(found)}); expected the same settings and at "
                        "least its grid, or another --out"
                    )
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("w")
            _lock(lock, self.root)
            write_atomically(self.config_file, to_yaml(config))
            return lock
        except OSError as error:
            for path in made:
                if path.is_dir():
                    path.rmdir()
            reason = error.strerror or type(error).__name__
            raise ConfigError(f"out: can't write to {self.root} ({reason}); expected a directory to write to") from None

    def is_done(self, job: Job, run: RunKey) -> bool:
        """Whether the run is recorded."""
        return self.record_file(job, run).exists()

    def records(self, jobs: Iterable[Job]) -> list[Record]:
        """The records there are of these jobs, in the order of cells, gaps, learning rates and seeds in `jobs`."""
        files = [self.record_file(job, run) for job in jobs for run in job.runs]
        return [read_record(file) for file in files if file.exists()]

    def write_runs(self, records: Iterable[Record]) -> None:
        """Write runs.csv and curves.csv."""
        records = list(records)
        write_rows(self.root / "runs.csv", Run, (record.run for record in records))
        key = ["job", "cell", "gap", "seed", "learning_rate"]
        write_csv(
            self.root / "curves.csv",
            [*key, *columns_of(CurvePoint)],
            (
                {name: getattr(record.run, name) for name in key} | dataclasses.asdict(point)
                for record in records
                for point in record.curve
            ),
        )


def _lock(file: IO[str], root: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks on this system: then two commands are the user's to keep apart
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"out: another command is at work in {root}; wait for it, or give another --out") from None
    except OSError:  # a file system without locks
        return
