"""Work in worker processes, each piece recorded as it ends, so that a command that is repeated goes on. No jax."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import rich.console

from lstm_jax.errors import ConfigError
from lstm_jax.files import file_name, write_atomically
from lstm_jax.sweeps.environment import environment
from lstm_jax.sweeps.job import Job, Settings
from lstm_jax.sweeps.machine import has_accelerator, num_cores, versions
from lstm_jax.sweeps.sources import code_digest, folder_digest
from lstm_jax.sweeps.worker.setup import end_with_parent, prepare_process

SECONDS_BETWEEN_LINES = 5.0


class Piece(Protocol):
    """A piece of work."""

    @property
    def name(self) -> str:
        """Its file, without the ending: what its result depends on is part of it."""

    @property
    def weight(self) -> float:
        """Its expected cost."""


def record_name(label: str, facts: Any) -> str:
    """The file, without its ending, of what depends on `facts`, on versions, and on how it is measured."""
    code = [versions(), folder_digest("diagnostics"), folder_digest("../experiments")]
    where = [*code, environment(), has_accelerator()]
    digest = hashlib.sha256(json.dumps([facts, where], sort_keys=True).encode())
    return file_name(f"{label}-{digest.hexdigest()[:12]}")


def identified(settings: Settings) -> Settings:
    """The settings with the digest of what they name, a user's own code too."""
    return dataclasses.replace(settings, code=code_digest(Job(settings).training()))


def all_of(
    pieces: Sequence[Piece],
    work: Callable[[Any], Any],
    folder: Path,
    workers: int | None,
    console: rich.console.Console,
    what: str,
) -> list[Any]:
    """Do what is not recorded in `folder` yet; returns all results, plain values as JSON has them, in their order.

    `what` names the pieces in lines of progress. `workers` None: one a core.
    """
    missing = [piece for piece in pieces if _read(folder / f"{piece.name}.json") is None]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        # One process a GPU machine: each would take most of the memory of the same GPU.
        number = min(workers or (1 if has_accelerator() else num_cores()), len(missing))
        context = multiprocessing.get_context("spawn")  # fork would copy locks that threads of jax hold
        longest = sorted(missing, key=lambda piece: -piece.weight)
        total, done = sum(piece.weight for piece in missing), 0.0
        started = last = time.monotonic()
        with concurrent.futures.ProcessPoolExecutor(number, context, initializer=_prepare) as pool:
            futures = {pool.submit(work, piece): piece for piece in longest}
            try:
                for count, future in enumerate(concurrent.futures.as_completed(futures), start=1):
                    piece = futures[future]
                    write_atomically(folder / f"{piece.name}.json", json.dumps(_result(future, piece)))
                    done += piece.weight
                    now = time.monotonic()
                    if now - last > SECONDS_BETWEEN_LINES:
                        last, left = now, (now - started) * (total / done - 1.0)
                        console.print(f"{count} of {len(missing)} {what}, {left:.0f} s left", highlight=False)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return [_read(folder / f"{piece.name}.json") for piece in pieces]


def _read(path: Path) -> Any:
    """What is recorded; None where nothing is, or a file that was cut short."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _result(future: concurrent.futures.Future[Any], piece: Piece) -> Any:
    """The result of a piece; raises ConfigError that names it, since it is the user's cell or task that fails."""
    try:
        return future.result()
    except Exception as error:
        raise ConfigError(f"{piece.name}: {type(error).__name__}: {error}") from error


def _prepare() -> None:
    """Prepare a worker process, which ends with this one."""
    end_with_parent()
    prepare_process()
