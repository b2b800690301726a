"""Log finished runs to wandb, one run per training, with a deterministic id: a view of records, never waited for."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import queue
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lstm_jax.sweeps.config.execution import Mode
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.machine import versions_of
from lstm_jax.sweeps.stages.asked import num_runs
from lstm_jax.sweeps.store.records import Record, Run, columns_of

INIT_TIMEOUT_SECONDS = 5.0
MAX_FAILURES = 3
"""Failures after which a sweep goes on without wandb."""
MAX_TABLE_ROWS = 200
"""Of what a trained model answered, evenly spread."""
OUTCOMES = ("status", "solved_step", "steps", "score", "loss", "chance", "measure", "solved_at", "duration_seconds")
"""What a run came to: columns of runs.csv that go to the summary of its wandb run, and are no part of its id."""
CONFIG_COLUMNS = tuple(name for name in columns_of(Run) if name not in (*OUTCOMES, "job", "settings", "versions"))
"""Columns that say which run it is and how it was made: its wandb config, beside the settings of its record."""
MARKER = "logged"
"""A file in the folder of a run that wandb has whole; one that was cut off is logged again."""


def check_writable(root: Path) -> None:
    """Raise OSError where runs can't be written to `root`: wandb would put them into a temporary folder, in silence."""
    folder = root / "wandb"
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".probe.{os.getpid()}"
    try:
        probe.write_bytes(b"")
    finally:
        probe.unlink(missing_ok=True)


def run_id(run: Run) -> str:
    """The same for the same training, so that syncing twice makes no second run; of its own row alone."""
    identity = {field.name: getattr(run, field.name) for field in dataclasses.fields(Run) if field.name not in OUTCOMES}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def logged_ids(root: Path, mode: Mode) -> set[str]:
    """Ids of the runs that earlier commands have logged from this directory: online, or in any way."""
    return {identity for identity, folder in _folders(root, mode) if (folder / MARKER).exists()}


def _folders(root: Path, mode: Mode) -> list[tuple[str, Path]]:
    """The folders that wandb has made for runs, each with the run's id: run-DATE-ID, offline-run-DATE-ID."""
    folders = (root / "wandb").glob("run-*" if mode == "online" else "*run-*")
    return [(folder.name.removeprefix("offline-").split("-", 2)[-1], folder) for folder in folders]


def config_of(record: Record) -> dict[str, Any]:
    """The config of a run's wandb run: its settings, which run it is and how it was made."""
    return {**record.settings, **_facts(record, CONFIG_COLUMNS), "versions": versions_of(record.run.versions)}


class WandbLogger:
    """Logs records to wandb from a thread of its own; a failure warns once, falls back to offline, then gives up.

    In a call of a wandb agent a run is part of the agent's sweep: as the run that the agent was given where the call
    trains only one, else with an id of its own.
    """

    def __init__(self, root: Path, config: SweepConfig) -> None:
        self.warnings: list[str] = []
        self.num_logged = 0
        self._root, self._config = root, config
        self._mode, self._project = config.logging.target()
        self._logged: set[str] = set()
        self._sweep_id = os.environ.get("WANDB_SWEEP_ID")
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def log(self, record: Record) -> None:
        """Log a finished run, soon; returns at once."""
        if self._mode != "disabled":
            if self._thread.ident is None:
                self._thread.start()
            self._queue.put(record)

    @property
    def num_waiting(self) -> int:
        """Records that are not logged yet."""
        return self._queue.qsize()

    def finish(self, patience_seconds: float = math.inf) -> None:
        """Wait until everything is logged, or until nothing has been for `patience_seconds`."""
        if self._thread.ident is None:
            return
        self._queue.put(None)
        before, since = -1, time.monotonic()
        while self._thread.is_alive():
            self._thread.join(0.1)
            if self.num_waiting != before:
                before, since = self.num_waiting, time.monotonic()
            elif time.monotonic() - since > patience_seconds:
                self.warnings.append(
                    f"wandb does not answer; {self.num_waiting} runs or more are not logged: run "
                    "`python -m experiments.to_wandb` later"
                )
                return

    def _work(self) -> None:
        try:
            import wandb

            self._set_up(wandb)
        except Exception as error:  # a broken installation must not cost a sweep
            self.warnings.append(f"wandb can't be imported ({error}); nothing is logged")
            return
        self._logged = logged_ids(self._root, self._mode)
        cut_off = {identity for identity, _ in _folders(self._root, self._mode)} - self._logged
        failures_left = MAX_FAILURES
        for record in iter(self._queue.get, None):
            if run_id(record.run) in cut_off:
                self._forget(record)
            while not self._is_logged(record):
                try:
                    self._log(wandb, record)
                except Exception as error:
                    self._forget(record)
                    text = " ".join(str(error).split())[:200] or type(error).__name__
                    failures_left -= 1
                    if failures_left == 0:
                        self.warnings.append(f"wandb failed ({text}); run `python -m experiments.to_wandb` later")
                        return
                    if self._mode == "online":
                        self.warnings.append(f"wandb can't go online ({text}); going on offline: `wandb sync` later")
                        self._mode = "offline"
                        self._logged = logged_ids(self._root, self._mode)
                    else:
                        self.warnings.append(f"wandb failed ({text}); it is started again")
                    with contextlib.suppress(Exception):  # its process may be gone
                        wandb.teardown()
                    with contextlib.suppress(Exception):
                        self._set_up(wandb)

    def _set_up(self, wandb: Any) -> None:
        # Silent here too, as a login speaks before a run has settings.
        wandb.setup(wandb.Settings(silent=True, x_service_wait=INIT_TIMEOUT_SECONDS))
        if self._sweep_id and num_runs(self._config.grid) > 1:
            # Else wandb ignores `id`, and all runs would be one. It clears this itself when an agent ends.
            wandb.setup().settings.sweep_id = None

    def _forget(self, record: Record) -> None:
        """Remove what a failure has left, which would look like a run that is logged."""
        for identity, folder in _folders(self._root, self._mode):
            if identity == run_id(record.run) and not (folder / MARKER).exists():
                shutil.rmtree(folder, ignore_errors=True)

    def _log(self, wandb: Any, record: Record) -> None:
        run = record.run
        check_writable(self._root)
        wandb_run = wandb.init(
            mode=self._mode,
            project=None if self._sweep_id else self._project,  # the project of the agent's sweep
            id=run_id(record.run),
            name=f"{run.job}-seed{run.seed}-learning_rate{run.learning_rate!r}",
            group=run.job,
            job_type="train",
            dir=str(self._root.absolute()),  # wandb's process may live in another directory
            reinit="create_new",
            config=config_of(record),
            # A start takes milliseconds without looks at the machine, git, the console and the list of installed
            # packages (which alone is 0.06 s a run), and 0.3 to 1.2 s with them.
            settings=wandb.Settings(
                console="off",
                disable_git=True,
                disable_code=True,
                save_code=False,
                silent=True,
                sweep_id=self._sweep_id,
                init_timeout=INIT_TIMEOUT_SECONDS,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
        try:
            wandb_run.define_metric("train/*", step_metric="step")
            wandb_run.define_metric("held_out/*", step_metric="step")
            for point in record.curve:
                wandb_run.log(
                    {
                        "step": point.step,
                        "train/loss": point.train_loss,
                        "train/grad_norm": point.grad_norm,
                        "held_out/loss": point.loss,
                        f"held_out/{record.run.measure}": point.score,
                        "held_out/sequence_loss": point.sequence_loss,
                    }
                )
            for name, rows in record.tables.items():
                shown = [list(row.values()) for row in rows[:: -(-len(rows) // MAX_TABLE_ROWS) or 1]]
                wandb_run.log({f"tables/{name}": wandb.Table(columns=list(rows[0]), data=shown)} if rows else {})
            # The score by its own name too: `metric: {name: accuracy}` of a sweep file asks for that.
            wandb_run.summary.update(_facts(record, OUTCOMES) | {record.run.measure: _plain(record.run.score)})
        finally:
            wandb_run.finish()
        folder = Path(wandb_run.dir).parent
        if not (folder / f"run-{wandb_run.id}.wandb").exists():
            raise OSError("its run file was not written")
        (folder / MARKER).touch()
        self._logged.add(run_id(record.run))
        self.num_logged += 1

    def _is_logged(self, record: Record) -> bool:
        """As itself, or as the run of a wandb agent, which the directory is named after."""
        return not self._logged.isdisjoint((run_id(record.run), self._root.absolute().name))


def _facts(record: Record, names: Sequence[str]) -> dict[str, Any]:
    return {name: _plain(getattr(record.run, name)) for name in names}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
