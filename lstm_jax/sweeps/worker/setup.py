"""Prepare a process before jax makes an array in it: one thread, one value per option, a cache of programs."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from lstm_jax.sweeps.environment import PINNED, own_flags
from lstm_jax.sweeps.worker.program_cache import keep_programs


def prepare_process() -> None:
    """Give jax one thread in this process, a cache of programs, and the same numbers in any user's environment.

    Must come before jax makes an array.
    """
    flags = own_flags()
    given = os.environ.get("XLA_FLAGS", "")
    if flags[0] not in given:
        os.environ["XLA_FLAGS"] = " ".join([*flags, given]).strip()  # the last one counts
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    keep_programs()
    pin()


def pin() -> dict[str, Any]:
    """Give jax's options their one value; returns the earlier values of those that had another."""
    import jax

    before = {}
    for name, value in PINNED.items():
        if name in jax.config.values and jax.config.values[name] != value:
            before[name] = jax.config.values[name]
            jax.config.update(name, value)
    return before


@contextlib.contextmanager
def pinned(platform: str | None = None) -> Iterator[None]:
    """`pin` for the length of a `with` block: a script or notebook has its own options back after it.

    Where jax has not been used yet, it uses `platform` from here on.
    """
    import jax

    before = pin()
    if platform is not None:
        jax.config.update("jax_platforms", platform)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def end_with_parent(parent: int | None = None) -> None:
    """Have this process end when its parent does, even if it is dead already: pass `parent` where its pid is known."""
    parent = parent or os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def prepared_for(executor: str) -> Iterator[None]:
    """Jobs of the serial executor train in this process; else it computes shapes, and a GPU belongs to the workers."""
    with pinned(None if executor == "serial" else "cpu"):
        if executor == "serial":
            prepare_process()
        yield
