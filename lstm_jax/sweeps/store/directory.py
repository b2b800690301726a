"""The directory of a sweep, its system of record: everything else can be made from it again. No jax."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lstm_jax.errors import ConfigError, DamagedError
from lstm_jax.files import write_atomically
from lstm_jax.sweeps.config.command_line import from_yaml, to_yaml
from lstm_jax.sweeps.config.differences import differences
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.environment import environment
from lstm_jax.sweeps.job import Job, RunKey
from lstm_jax.sweeps.machine import versions
from lstm_jax.sweeps.sources import version_changes
from lstm_jax.sweeps.store import checkpoints, locks
from lstm_jax.sweeps.store.files import MANIFEST, check_directory, read_sealed, set_aside
from lstm_jax.sweeps.store.records import (
    Record,
    read_record,
)

JOB_PATIENCE_SECONDS = 5.0
"""How long a worker waits for a job that another holds: one whose command was killed is there for a second."""
COMMAND_PATIENCE_SECONDS = 0.5
_RECORD = re.compile(r"seed\d+-learning_rate[\d.e+-]+\.json")
_DIGEST = "# sha256 of the lines above: "


@dataclasses.dataclass(frozen=True)
class Directory:
    """Where things lie in the directory of a sweep."""

    root: Path

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.root / "sweep.yaml"

    @property
    def lock_file(self) -> Path:
        """The lock of the command that is at work here."""
        return self.root / "jobs" / "command.lock"

    @property
    def speed_file(self) -> Path:
        """Where the command that is at work stood when it began, and how long ago."""
        return self.root / "jobs" / "command.json"

    @property
    def corpus(self) -> Path:
        """The text that a task is about, if it is about any: for workers on other machines, and for later."""
        return self.root / "corpus"

    def record_file(self, job: Job, run: RunKey) -> Path:
        """The record of one run."""
        return self.root / "records" / job.name / f"seed{run.seed}-learning_rate{run.learning_rate!r}.json"

    def checkpoints(self, job: Job) -> Path:
        """The orbax checkpoints of one job."""
        return self.root / "checkpoints" / job.name

    def error_file(self, job: Job) -> Path:
        """The traceback of a failed job."""
        return self.root / "errors" / f"{job.name}.txt"

    def job_lock_file(self, job_name: str) -> Path:
        """The lock of the worker that has the job."""
        return self.root / "jobs" / f"{job_name}.lock"

    def status_file(self, job_name: str) -> Path:
        """How far the job is."""
        return self.root / "jobs" / f"{job_name}.json"

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Make the directory and lock it for this command; leaves none behind where the input was bad.

        Raises ConfigError where the directory can't be written or is worked on by another command.
        """
        made: list[Path] = []
        try:
            made = [path for path in (self.root / "jobs", self.root, *self.root.parents) if not path.exists()]
            with locks.hold(self.lock_file, COMMAND_PATIENCE_SECONDS):
                try:
                    self._check_writable()
                    yield
                except ConfigError:
                    if not self.config_file.exists():
                        self.lock_file.unlink(missing_ok=True)
                    raise
        except ConfigError:
            if not self.config_file.exists():
                for path in made:
                    with contextlib.suppress(OSError):
                        path.rmdir()
            raise
        except locks.HeldError as holder:
            raise ConfigError(f"out: {holder} is at work in {self.root}; wait for it, or give another --out") from None
        except OSError as error:
            raise self._cant_write(error) from None

    def _check_writable(self) -> None:
        """Raise ConfigError for a full disk or a read-only directory before anything is trained."""
        probe = self.root / "jobs" / f".probe.{os.getpid()}"
        try:
            probe.write_bytes(bytes(4096))
        except OSError as error:
            raise self._cant_write(error) from None
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)

    def _cant_write(self, error: OSError) -> ConfigError:
        reason = error.strerror or type(error).__name__
        return ConfigError(f"out: can't write to {self.root} ({reason}); expected a directory to write to")

    def compare_config(self, config: SweepConfig) -> list[str]:
        """Raise ConfigError where the directory holds another sweep; returns warnings, one line each."""
        warnings = []
        if self.config_file.exists():
            try:
                _check_digest(self.config_file)
                found = differences(from_yaml(self.config_file), config)
            except DamagedError as error:
                warnings.append(self.set_aside(self.config_file, error, "this command's settings are taken"))
            else:
                if found and not config.execution.accept_changes:
                    raise ConfigError(
                        f"out: {self.root} holds another sweep ({'; '.join(found)}); expected the same settings and at "
                        "least its grid, another --out, or --accept-changes"
                    )
                warnings += [f"out: {line}" for line in found]
        return warnings

    def write_config(self, config: SweepConfig) -> None:
        """Write the configuration, with a checksum."""
        text = to_yaml(config)
        write_atomically(self.config_file, f"{text}{_DIGEST}{hashlib.sha256(text.encode()).hexdigest()}\n")

    @property
    def has_records(self) -> bool:
        """Whether it is the directory of a sweep itself, and not its tables alone."""
        return (self.root / "jobs").is_dir()

    def set_aside(self, path: Path, reason: object, consequence: str) -> str:
        """Move what is damaged to the quarantine; returns a line that says so."""
        target = set_aside(path, self.root)
        return f"damaged: {reason}; set aside as {target}, {consequence}"

    def is_done(self, job: Job, run: RunKey) -> bool:
        """Whether the run is recorded."""
        return self.record_file(job, run).exists()

    def recorded(self, job: Job) -> list[Path]:
        """The records that there are of a job."""
        return _records_in(self.root / "records" / job.name)

    def all_recorded(self) -> list[Path]:
        """The records that there are, of all jobs that ever were of this sweep."""
        return [file for job in sorted((self.root / "records").glob("*")) for file in _records_in(job)]

    def records(self, jobs: Iterable[Job]) -> list[Record]:
        """The records there are of these jobs, in the order of cells, gaps, learning rates and seeds in `jobs`.

        Raises DamagedError; after `check` there is no cause.
        """
        files = [self.record_file(job, run) for job in jobs for run in job.runs]
        return [read_record(file) for file in files if file.exists()]

    def check(self, jobs: Iterable[Job]) -> tuple[dict[Path, Record], list[str]]:
        """Read all records and checkpoints, and set aside what is damaged; returns the good records by their files,
        and a line for each that was not.

        A run whose record or last state is damaged counts as not done any more. Checkpoints may be deleted, to make
        room: no number comes from them once their runs are recorded.
        """
        records: dict[Path, Record] = {}
        lines: list[str] = []
        num_without_state = 0
        for job in jobs:
            is_held = locks.is_held(self.job_lock_file(job.name))  # by a Slurm or Ray job of a command that was killed
            bad, with_state = (set(), set(job.runs)) if is_held else self._check_checkpoints(job, lines)
            for run in job.runs:
                file = self.record_file(job, run)
                if not file.exists():
                    continue
                try:
                    record = read_record(file)
                    if record.checkpoint in bad:
                        raise DamagedError(f"{file}: its last state, in {record.checkpoint}, is damaged")
                    num_without_state += bool(record.checkpoint) and run not in with_state
                    records[file] = record
                except DamagedError as error:
                    lines.append(self.set_aside(file, error, "the run is trained again"))
        if num_without_state:
            lines.append(f"the last states of {num_without_state} runs are not there (deleted?); no number needs them")
        return records, lines

    def _check_checkpoints(self, job: Job, lines: list[str]) -> tuple[set[str], set[tuple[int, float]]]:
        """Set aside the damaged checkpoints of a job, a line for each in `lines`; returns their names.

        And the runs whose last states the others have, by their manifests: names come again where some were deleted.
        """
        bad, with_state = set(), set()
        for checkpoint in checkpoints.in_directory(self.checkpoints(job)):
            try:
                with_state |= {(seed, rate) for seed, rate in check_directory(checkpoint).get("runs", ())}
            except DamagedError as error:
                bad.add(checkpoint.name)
                goes_on = "the one before is taken" if "running" in checkpoint.name else "its runs are trained again"
                lines.append(self.set_aside(checkpoint, error, goes_on))
        return bad, with_state

    def changes(self, jobs: Iterable[Job], records: Mapping[Path, Record]) -> list[str]:
        """How the runs that are there were made otherwise: settings, environment, versions; one line each."""
        other: collections.Counter[str] = collections.Counter()
        for job in jobs:
            there = (records.get(self.record_file(job, run)) for run in job.runs)
            made = [dataclasses.asdict(record.run) for record in there if record is not None]
            for checkpoint in checkpoints.names(self.checkpoints(job), "running"):
                with contextlib.suppress(DamagedError):  # it is of a job that runs, and was just replaced
                    made.append(read_sealed(self.checkpoints(job) / checkpoint / MANIFEST))
            its = job.settings.hash
            for facts in made:
                was, now = facts.get("environment", ""), environment()
                if facts["settings"] != its:
                    other[f"{job.name} has settings {facts['settings']} there, {its} in this command"] += 1
                if was != now:
                    other[f"environment {was or 'without flags'} there, {now or 'without flags'} here"] += 1
                other.update(version_changes(facts["versions"], versions()))
        return [f"{line} ({number} of its files)" for line, number in other.items()]


def _records_in(directory: Path) -> list[Path]:
    """The records of a job, whatever else may lie there: ._seed0-learning_rate0.01.json, or a copy of one."""
    return sorted(path for path in directory.glob("*") if _RECORD.fullmatch(path.name))


def _check_digest(path: Path) -> None:
    """Raise DamagedError for a sweep.yaml that is not what this program wrote."""
    try:
        text, marker, digest = path.read_bytes().decode().rpartition(_DIGEST)
    except UnicodeDecodeError:
        raise DamagedError(f"{path}: not UTF-8") from None
    if not marker or digest != f"{hashlib.sha256(text.encode()).hexdigest()}\n":
        raise DamagedError(f"{path}: the checksum does not match")
