"""How far a job is, as its worker says it: to look at, and made again from the records. No jax."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lstm_jax.files import write_atomically

State = Literal["waiting", "running", "done", "failed"]


@dataclasses.dataclass(frozen=True)
class JobStatus:
    """The runs of a job that have ended, by status, and the updates that the others have made."""

    state: State = "waiting"
    ended: Mapping[str, int] = dataclasses.field(default_factory=dict)
    num_updates: int = 0
    num_runs: int = 0
    """That it is to have, as far as is known by now."""
    host: str = ""
    pid: int = 0
    notes: Sequence[str] = ()
    reason: str = ""


def read_status(path: Path) -> JobStatus:
    """Read it; a job without one, or with a damaged one, has not begun."""
    try:
        tree: dict[str, Any] = json.loads(path.read_bytes())
        return JobStatus(**tree)
    except (OSError, ValueError, TypeError):
        return JobStatus()


def write_status(path: Path, status: Any) -> None:
    """Write a dataclass whole, but not through to the disk: it is no record."""
    write_atomically(path, json.dumps(dataclasses.asdict(status), allow_nan=False) + "\n", durable=False)
