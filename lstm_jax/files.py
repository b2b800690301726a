"""Files that are there whole or not at all. The one place where files are named and made."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

MAX_NAME = 150


def file_name(text: str) -> str:
    """A name for a file that says `text`: all but letters, digits and _.-~@=,+ is quoted as in an address."""
    name = re.sub(r"^\.", "%2E", urllib.parse.quote(text, safe="@=,+"))  # no hidden file
    if len(name) > MAX_NAME:  # file systems end a name at 255 bytes, and ours get suffixes
        name = f"{name[: MAX_NAME - 20]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside `path` that takes its place at the end of the block; removed where the block raises.

    Its permissions are those that the umask leaves, as of any program's file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str, *, durable: bool = True) -> None:
    """Write `text` to `path` so that a reader, or the next run after a crash, sees all of it or none.

    When this returns, the text survives a loss of power, unless it need not be `durable`.
    """
    if durable:
        make_directory(path.parent)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    if durable:
        sync(path.parent)


def make_directory(path: Path) -> None:
    """Make a directory and those above it, on disk when this returns."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Have a file, or the entries of a directory, on disk."""
    if os.name == "nt":  # which opens no directories
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
