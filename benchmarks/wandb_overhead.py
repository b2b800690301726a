"""What wandb costs a sweep: processor seconds that logging a finished directory takes, beside what training it took.

    python -m benchmarks.wandb_overhead results/gap_length

Logs all records of the directory anew, offline, into a temporary directory, as the sweep itself does.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import tyro

from benchmarks.options import options
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.store.records import read_record
from lstm_jax.sweeps.views.wandb import WandbLogger


@dataclasses.dataclass(frozen=True)
class WandbOverhead:
    """Processor seconds that logging a finished sweep to wandb takes."""

    directory: tyro.conf.Positional[Path]
    """The directory of the sweep."""


def processor_seconds() -> float:
    """User and system time of this process and of the children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main(root: Path) -> None:
    """Print the table."""
    records = [read_record(file) for file in sorted((root / "records").glob("*/*.json"))]
    training = sum(record.run.duration_seconds for record in records)
    with tempfile.TemporaryDirectory() as temporary:
        logger = WandbLogger(Path(temporary), from_yaml(root / "sweep.yaml"), "offline")
        started, processor_started = time.perf_counter(), processor_seconds()
        for record in records:
            logger.log(record)
        logger.finish()
        seconds, processor = time.perf_counter() - started, processor_seconds() - processor_started
        for warning in logger.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    print(f"{logger.num_logged} runs logged offline in {seconds:.1f} s ({seconds / len(records):.3f} s a run)")
    print(f"processor time of this process: {processor:.1f} s; training took {training:.1f} s on its cores")
    print(f"wandb / training: {processor / training:.1%} ({os.cpu_count()} cores)")


if __name__ == "__main__":
    main(options(WandbOverhead, "wandb_overhead").directory)
