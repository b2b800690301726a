"""Time and memory of a training step against the length of the sequence, for each way of keeping what backward needs.

    python -m benchmarks.length                     # LSTM, 64 units, batch 8; about five minutes on two cores
    python -m benchmarks.length --cells lstm gru rnn --lengths 200 --hidden-dim 64 --batch-size 32
    python -m benchmarks.length --cells min_gru --modes autodiff activations parallel   # steps in turn, and at once

A training step is the loss over all outputs, its gradient and an update by SGD, as one compiled program. Memory is the
compiler's own analysis (temporary buffers), and the largest resident set of a process that makes this one step. Each
step runs in a process of its own, since a process never gives its largest resident set back.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

from benchmarks.machine import device_name
from benchmarks.options import options
from lstm_jax.sweeps.machine import num_cores, versions
from lstm_jax.sweeps.store.records import write_csv

COLUMNS = ["cell", "backward", "num_steps", "hidden_dim", "batch_size", "compile_seconds", "step_seconds"]
COLUMNS += ["step_seconds_min", "step_seconds_max", "temp_bytes", "units", "resident_bytes", "device", "cores"]
COLUMNS += ["versions"]
Mode = Literal["autodiff", "activations", "states", "checkpoint", "parallel"]
MAX_UNITS: dict[Mode, int] = {"autodiff": 16, "activations": 12, "states": 8, "checkpoint": 5, "parallel": 24}
LENGTHS = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)


def measure(cell_name: str, backward: str, num_steps: int, hidden_dim: int, batch_size: int) -> dict[str, Any]:
    """One row; in a fresh process."""
    import resource

    import jax
    import jax.numpy as jnp

    from lstm_jax.cells import make_cell
    from lstm_jax.scan import scan

    cell = make_cell(cell_name, hidden_dim, gap=num_steps)
    params = cell.init(jax.random.key(0), 8)
    inputs = jax.random.normal(jax.random.key(1), (num_steps, batch_size, 8))

    def step(params: Any, inputs: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            return jnp.mean(scan(cell, params, inputs, backward=backward)[1] ** 2)

        value, gradient = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda param, slope: param - 0.1 * slope, params, gradient)

    started = time.perf_counter()
    compiled = jax.jit(step).lower(params, inputs).compile()
    compile_seconds = time.perf_counter() - started
    seconds: list[float] = []
    while len(seconds) < 2 or (sum(seconds) < 3 and len(seconds) < 20):
        started = time.perf_counter()
        value, _ = jax.block_until_ready(compiled(params, inputs))
        seconds.append(time.perf_counter() - started)
    assert jnp.isfinite(value)
    temp_bytes = compiled.memory_analysis().temp_size_in_bytes
    numbers = (compile_seconds, statistics.median(seconds[1:]), min(seconds[1:]), max(seconds[1:]), temp_bytes)
    units = temp_bytes / (4 * num_steps * batch_size * hidden_dim)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    row = (cell_name, backward, num_steps, hidden_dim, batch_size, *numbers, round(units, 3), resident)
    row += (device_name(), num_cores(), versions())
    return dict(zip(COLUMNS, row, strict=True))


@dataclasses.dataclass(frozen=True)
class Length:
    """Time and memory of a training step against the length of the sequence."""

    cells: tuple[str, ...] = ("lstm",)
    """Cells, as experiments name them."""
    lengths: tuple[int, ...] = LENGTHS
    """Time steps."""
    modes: tuple[Mode, ...] = ("autodiff", "activations", "states", "checkpoint")
    """What to store for the backward pass."""
    hidden_dim: int = 64
    """Units."""
    batch_size: int = 8
    """Sequences per step."""
    max_gigabytes: float = 3.0
    """Leave out what would take more."""
    out: Path = Path("results/benchmarks/length.csv")
    """The CSV file to write."""
    one: str | None = None
    """JSON: print this one row. How the command measures each, in a process of its own."""


def main() -> None:
    """Print a line a step, and write all to `--out`."""
    args = options(Length, "length")
    if args.one:
        print(json.dumps(measure(*json.loads(args.one))))
        return
    rows = []
    for cell, num_steps, backward in itertools.product(args.cells, args.lengths, args.modes):
        size = 4 * num_steps * args.batch_size * args.hidden_dim
        if MAX_UNITS[backward] * size > args.max_gigabytes * 1e9:
            print(f"{cell} {backward} T={num_steps}: left out, would take more than --max-gigabytes")
            continue
        arguments = [cell, backward, num_steps, args.hidden_dim, args.batch_size]
        command = [sys.executable, "-m", "benchmarks.length", "--one", json.dumps(arguments)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows.append(row)
        print(
            f"{cell} {backward} T={num_steps}: {1e6 * row['step_seconds'] / num_steps:.1f} µs a time step, "
            f"{row['units']:.2f} units of [T, B, H], {row['temp_bytes'] / 2**20:.0f} MiB temporary, "
            f"{row['resident_bytes'] / 2**20:.0f} MiB resident, compiled in {row['compile_seconds']:.1f} s",
            flush=True,
        )
        write_csv(args.out, COLUMNS, rows)


if __name__ == "__main__":
    main()
