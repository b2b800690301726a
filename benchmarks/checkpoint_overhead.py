"""What checkpoints cost: a sweep that takes one every 30 s against one that takes none, side by side.

    python -m benchmarks.checkpoint_overhead            # about eight minutes on two cores

A job on each core, long enough for several checkpoints, trained with each setting in turn: the ratio of the times, each
pair's and the median.
"""

from __future__ import annotations

import dataclasses
import io
import os
import statistics
import tempfile
import time
from pathlib import Path

import rich.console

from benchmarks.options import options
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.machine import num_cores
from lstm_jax.sweeps.run import run_sweep

NUM_PAIRS = 3
SWEEP = SweepConfig.of(
    cells=("lstm",),
    gaps=tuple(range(81, 81 + num_cores())),
    learning_rates=(1e-6,),  # none is solved, so that all sweeps make the same updates
    seeds=tuple(range(8)),
    tuning_seeds=(),
    embedding_dim=8,
    num_params=3500,
    max_steps=4000,
    wandb="disabled",
)


@dataclasses.dataclass(frozen=True)
class CheckpointOverhead:
    """Time sweeps with and without checkpoints, side by side."""


def seconds(checkpoint_seconds: float, out: Path) -> float:
    """How long the sweep takes, start of workers and compilation included."""
    config = SWEEP.replace(checkpoint_seconds=checkpoint_seconds, out=out)
    started = time.perf_counter()
    outcome = run_sweep(config, rich.console.Console(file=io.StringIO()))
    assert outcome.num_trained == len(config.grid.gaps) * len(config.grid.seeds) and not outcome.failures
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    options(CheckpointOverhead, "checkpoint_overhead")
    ratios = []
    with tempfile.TemporaryDirectory() as temporary:
        for pair in range(NUM_PAIRS):
            order = (30.0, float("inf")) if pair % 2 else (float("inf"), 30.0)
            took = {each: seconds(each, Path(temporary) / f"{pair}-{each}") for each in order}
            ratios.append(took[30.0] / took[float("inf")])
            print(
                f"pair {pair}: {took[30.0]:.1f} s with a checkpoint every 30 s, {took[float('inf')]:.1f} s with none: "
                f"{ratios[-1]:.3f}",
                flush=True,
            )
    print(
        f"median ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}); {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
