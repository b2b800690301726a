"""Compiled programs in the user's cache directory: the next process that needs one loads it. No jax at import."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import warnings
import zlib
from pathlib import Path
from typing import Any

import platformdirs

from lstm_jax.sweeps.machine import num_cores

_OPTIONS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,  # the default, 1.0, would leave out half of our programs
    "jax_persistent_cache_enable_xla_caches": "none",  # else the directory's name is a part of each program's key
}
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


@functools.cache
def keep_programs() -> None:
    """Have jax store what it compiles, and look there first; options of jax that the user has set count.

    A directory that can't be written, or an entry that is damaged, costs the time to compile and no more.
    """
    import jax

    config: Any = jax.config  # whose attributes are made as it runs
    if config.jax_compilation_cache_dir is None:
        config.update("jax_compilation_cache_dir", str(cache_directory()))
    for name, value in _OPTIONS.items():
        if name.upper() not in os.environ:
            config.update(name, value)
    if config.jax_compilation_cache_dir:
        _keep_quiet(Path(config.jax_compilation_cache_dir))


def cache_directory() -> Path:
    """Return the directory of programs compiled for this CPU and as many cores as this process may use.

    A home directory may be shared by machines that can't run each other's programs; and the last bits of numbers may
    depend on the cores that the compiler saw, which jax's own key leaves out.
    """
    place = platformdirs.user_cache_path("lstm_jax", appauthor=False) / "xla"
    return place / f"{platform.machine()}-{_instruction_set()}-{num_cores()}"


def _instruction_set() -> str:
    """A hash of what the first core says that it is and can do."""
    names = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU ", "isa")  # x86, Arm, RISC-V
    lines = []
    with contextlib.suppress(OSError):  # not Linux
        core, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
        lines = [line for line in core.splitlines() if line.startswith(names)]
    return hashlib.sha256("\n".join(lines or [platform.processor()]).encode()).hexdigest()[:8]


def _keep_quiet(directory: Path) -> None:
    """jax warns of what it can't read or write, and compiles; an entry that is damaged it would never replace."""
    show = warnings.showwarning

    def show_others(message: Warning | str, *where: Any, **how: Any) -> None:
        if "Error reading persistent compilation cache" in str(message):
            _remove_damaged(directory)
        elif "Error writing persistent compilation cache" not in str(message):
            show(message, *where, **how)

    warnings.showwarning = show_others


def _remove_damaged(directory: Path) -> None:
    """Remove what is left of writes that a kill or a full disk has cut off."""
    for entry in directory.glob("*-cache"):
        with contextlib.suppress(OSError):
            if not _is_whole(entry.read_bytes()):
                entry.unlink()


def _is_whole(entry: bytes) -> bool:
    try:
        zlib.decompress(entry)
    except zlib.error:
        return entry.startswith(_ZSTANDARD)  # what jax uses where it is installed: not to be told from here
    return True
