"""Who works on what: a lock that the system gives back when its owner dies, and that names its owner. No jax."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


class HeldError(RuntimeError):
    """Somebody else holds the lock; the text says who, as far as it is known."""


@contextlib.contextmanager
def hold(path: Path, patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock file at `path` for the length of a `with` block; raises HeldError after `patience_seconds`.

    The lock is the system's (flock), so that it ends with the process that holds it, however that ends, and no clock
    is asked. The file's text names the holder and decides nothing, except where the file system knows no locks: there
    a holder counts as alive unless it is a process of this machine that is not there any more.
    """
    deadline = time.monotonic() + patience_seconds
    with contextlib.ExitStack() as stack:
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("a+", encoding="utf-8"))
            if _try_to_lock(file):
                if _is_still(path, file):
                    break
            elif time.monotonic() >= deadline:
                raise HeldError(_owner_in_words(path))
            else:
                time.sleep(0.05)
            stack.close()
        file.truncate(0)
        file.write(json.dumps(_myself()))
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # a full disk must not hide what went wrong inside
                file.truncate(0)


def _is_still(path: Path, file: IO[str]) -> bool:
    """Whether the file that is open is the one at `path`, which its holder may have deleted before it let go."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock right now."""
    try:
        with path.open(encoding="utf-8") as file:
            return not _try_to_lock(file)  # given back where the file is closed
    except OSError:
        return False


def holder(path: Path) -> str:
    """Who holds the lock, in words; nothing where nobody does."""
    return _owner_in_words(path) if is_held(path) else ""


def _try_to_lock(file: IO[str]) -> bool:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # no such locks here
        owner = _owner(Path(file.name))
        return owner is None or owner == _myself() or _is_dead(owner)


def _myself() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _start_of(os.getpid())}


def _start_of(pid: int) -> str:
    """Return when a process started, in ticks since this machine did: a pid that comes again is another process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _is_dead(owner: dict[str, Any]) -> bool:
    if owner.get("host") != socket.gethostname():
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return owner.get("started") != _start_of(owner["pid"])


def _owner(path: Path) -> dict[str, Any] | None:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return owner if isinstance(owner, dict) else None
    except (OSError, ValueError):
        return None


def _owner_in_words(path: Path) -> str:
    for _ in range(20):  # the holder may be about to write its name
        owner = _owner(path)
        if owner is not None:
            return f"process {owner.get('pid')} on {owner.get('host')}"
        time.sleep(0.02)
    return "another process"
