"""Files that are there whole or not at all, that know when they are damaged, and what happens to those. No jax."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lstm_jax.errors import DamagedError, UnwritableError
from lstm_jax.files import sync, write_atomically

_SEAL = re.compile(r',\n "sha256": "([0-9a-f]{64})"\n}\n')


def write_sealed(path: Path, tree: dict[str, Any]) -> None:
    """Write a mapping as JSON whose last entry is the SHA-256 of the text before it.

    A float that JSON has no number for is `{"float": "nan"}`, inf or -inf; `read_sealed` gives it back.
    """
    try:
        text = json.dumps(tree, indent=1, allow_nan=False)
    except ValueError:  # for one that is not finite: rare, so that the others are not looked for
        text = json.dumps(_encoded(tree), indent=1, allow_nan=False)
    text = text.removesuffix("\n}")
    write_atomically(path, f'{text},\n "sha256": "{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n')


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote; raises DamagedError where a bit of it is not as it was."""
    try:
        text = path.read_bytes().decode()
        seal = list(_SEAL.finditer(text))[-1]
        body = text[: seal.start()]
        if seal.end() != len(text) or hashlib.sha256(body.encode()).hexdigest() != seal[1]:
            raise DamagedError(f"{path}: the checksum does not match")
        tree: dict[str, Any] = json.loads(f"{body}\n}}", object_hook=_decoded)
    except (IndexError, UnicodeDecodeError):
        raise DamagedError(f"{path}: truncated, or not what this program writes") from None
    except FileNotFoundError:
        raise DamagedError(f"{path}: missing") from None
    return tree


_NOT_IN_JSON = ("nan", "inf", "-inf")


def _encoded(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(float(value))}
    if isinstance(value, dict):
        return {key: _encoded(each) for key, each in value.items()}
    return [_encoded(each) for each in value] if isinstance(value, list | tuple) else value


def _decoded(tree: dict[str, Any]) -> Any:
    return float(tree["float"]) if list(tree) == ["float"] and tree["float"] in _NOT_IN_JSON else tree


MANIFEST = "manifest.json"


def is_foreign(path: Path) -> bool:
    """Whether a file is the system's own: of macOS, Windows or NFS, on a disk that several of them use."""
    return path.name.startswith(("._", ".nfs")) or path.name in (".DS_Store", "Thumbs.db", "desktop.ini")


def seal_directory(directory: Path, facts: dict[str, Any]) -> None:
    """Write a manifest of all files below `directory`, with the SHA-256 of each, and `facts`; all of it on disk."""
    files = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not is_foreign(path):
            files[str(path.relative_to(directory))] = hashlib.sha256(path.read_bytes()).hexdigest()
        sync(path)
    write_sealed(directory / MANIFEST, {**facts, "files": files})


def check_directory(directory: Path) -> dict[str, Any]:
    """The facts that `seal_directory` wrote; raises DamagedError where a file has changed, is missing or was added.

    What a system leaves beside files, such as macOS's `._x` beside `x`, was added by nobody.
    """
    facts = read_sealed(directory / MANIFEST)
    expected: dict[str, str] = facts.pop("files")
    files = (path for path in directory.rglob("*") if path.is_file() and not is_foreign(path))
    found = {str(path.relative_to(directory)) for path in files} - {MANIFEST}
    different = sorted(found ^ expected.keys())
    if different:
        raise DamagedError(f"{directory / different[0]}: {'missing' if different[0] in expected else 'not expected'}")
    for name, digest in expected.items():
        if hashlib.sha256((directory / name).read_bytes()).hexdigest() != digest:
            raise DamagedError(f"{directory / name}: the checksum does not match")
    return facts


def set_aside(path: Path, root: Path) -> Path:
    """Move a damaged file or directory of the sweep at `root` to its quarantine; returns where it is now."""
    relative = path.relative_to(root)
    for number in itertools.count():
        target = root / "quarantine" / str(number) / relative
        if not target.exists():
            break
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, target)
    return target


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """An error of the system inside the block is one of writing to the directory of the sweep."""
    try:
        yield
    except OSError as error:
        raise UnwritableError.of(root, error) from error
