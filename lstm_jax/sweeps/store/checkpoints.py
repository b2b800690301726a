"""Checkpoints of a job: directories under a manifest of checksums, whole or not there. No jax: `worker` fills them.

A checkpoint holds the states of several runs of a job, stacked. There are two kinds, by name: `ended-0` has the last
states of runs that have ended, and stays; `running-3` has what unfinished runs need to go on, and the latest two of
them stay.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from lstm_jax.files import make_directory, sync
from lstm_jax.sweeps.store.files import seal_directory

Kind = Literal["ended", "running"]
NUM_RUNNING = 2
"""How many checkpoints of unfinished runs stay."""
_NAME = re.compile(r"(ended|running)-\d+")


def save(directory: Path, kind: Kind, write: Callable[[Path], None], facts: dict[str, Any]) -> str:
    """Have `write` fill a new checkpoint, on disk when this returns; returns its name.

    `facts` go to the manifest, which says whose states they are.
    """
    make_directory(directory)
    name = f"{kind}-{1 + max(_indices(directory, kind), default=-1)}"
    _remove_unfinished(directory, name)
    # Of a name of its own: threads of a save that has failed may still write, and would spoil the next.
    temporary = (directory / f".{name}.{os.getpid()}.{secrets.token_hex(4)}").absolute()
    try:
        write(temporary)
        seal_directory(temporary, facts)
        os.replace(temporary, directory / name)
        sync(directory)
    except BaseException:
        _remove_unfinished(directory, name)
        raise
    if kind == "running":
        for number in _indices(directory, kind)[NUM_RUNNING:]:
            remove(directory / f"{kind}-{number}")
    return name


def remove(checkpoint: Path) -> None:
    """Remove a checkpoint, so that what is left of it after a crash is not taken for one."""
    hidden = checkpoint.with_name(f".{checkpoint.name}.{os.getpid()}.old")
    with contextlib.suppress(OSError):
        os.replace(checkpoint, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _remove_unfinished(directory: Path, name: str) -> None:
    """Remove what saves of this process that have failed have left, orbax's own directories too."""
    for path in directory.glob(f".{name}.{os.getpid()}.*"):
        shutil.rmtree(path, ignore_errors=True)


def names(directory: Path, kind: Kind) -> list[str]:
    """The checkpoints of a kind, the latest first."""
    found = (f"{kind}-{index}" for index in _indices(directory, kind))
    return [name for name in found if (directory / name).is_dir()]


def in_directory(directory: Path) -> list[Path]:
    """All checkpoints of a job, whatever else may lie there."""
    return sorted(path for path in directory.glob("*") if _NAME.fullmatch(path.name) and path.is_dir())


def _indices(directory: Path, kind: Kind) -> list[int]:
    if not directory.is_dir():
        return []
    found = (path.name.removeprefix(f"{kind}-") for path in directory.glob(f"{kind}-*"))
    return sorted((int(number) for number in found if number.isdecimal()), reverse=True)
