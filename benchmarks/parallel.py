"""All steps of a linear cell at once, by an associative scan, against one after another, by the sequence's length.

    python -m benchmarks.parallel                  # four cells at four lengths; under three minutes on two cores
    python -m benchmarks.parallel --lengths 64 256 --cells min_gru my_linear_cells:Leaky

Forward is the scan alone; a step is the loss over all outputs, its gradient and an update by SGD, as one compiled
program. Before anything is timed outputs and gradients of both must agree. Then they take turns, in another order each
round. A ratio above 1 says that the parallel scan is faster.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from benchmarks.machine import device_name
from benchmarks.options import options, refuse
from benchmarks.tables import parallel as table
from benchmarks.tables import read
from lstm_jax.sweeps.machine import num_cores, versions
from lstm_jax.sweeps.store.records import write_csv

if TYPE_CHECKING:
    from lstm_jax.cells.base import Cell

Side = Literal["autodiff", "parallel"]
SIDES: tuple[Side, ...] = ("autodiff", "parallel")
INPUT_DIM = 8
TOLERANCE = 1e-3
"""Of the norm of each array, in float32."""


class Row(NamedTuple):
    """A line of the CSV file; milliseconds of one call, by median and quartiles, and sequential over parallel."""

    cell: str
    num_steps: int
    hidden_dim: int
    batch_size: int
    what: str
    sequential_ms: float
    sequential_q25: float
    sequential_q75: float
    parallel_ms: float
    parallel_q25: float
    parallel_q75: float
    ratio: float
    rounds: int
    difference: float
    device: str
    cores: int
    versions: str


@dataclasses.dataclass(frozen=True)
class Parallel:
    """All steps of a linear cell at once against one after another, by length."""

    lengths: tuple[int, ...] = (64, 256, 1024, 4096)
    """Time steps."""
    cells: tuple[str, ...] = ("min_gru", "min_lstm", "lru", "rglru")
    """Cells that are linear in their state, one's own among them."""
    hidden_dim: int = 64
    """Units."""
    batch_size: int = 8
    """Sequences per step."""
    seconds: float = 3.0
    """How long both sides of a cell at a length take turns, at least three rounds."""
    out: Path = Path("results/benchmarks/parallel.csv")
    """The CSV file to write."""


def programs(cell: Cell, params: Any, inputs: Any, side: Side) -> dict[str, Callable[[], Any]]:
    """Forward and step, compiled."""
    import jax
    import jax.numpy as jnp

    from lstm_jax.scan import scan

    def forward(params: Any, inputs: Any) -> Any:
        return scan(cell, params, inputs, backward=side)[1]

    def step(params: Any, inputs: Any) -> Any:
        value, gradient = jax.value_and_grad(lambda params: jnp.mean(forward(params, inputs) ** 2))(params)
        return value, gradient, jax.tree.map(lambda param, slope: param - 0.1 * slope, params, gradient)

    compiled = {
        "forward": jax.jit(forward).lower(params, inputs).compile(),
        "step": jax.jit(step).lower(params, inputs).compile(),
    }
    return {what: lambda each=each: jax.block_until_ready(each(params, inputs)) for what, each in compiled.items()}


def difference(one: Any, other: Any) -> float:
    """The largest difference of two arrays over the norm of the first, of all leaves."""
    import jax
    import numpy as np

    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.linalg.norm(np.subtract(a, b)) / max(np.linalg.norm(a), 1e-30)) for a, b in pairs)


def measure(args: Parallel, name: str, num_steps: int) -> list[Row]:
    """Both rows of a cell at a length; ends the command where both sides differ."""
    import jax

    from lstm_jax.cells import make_cell
    from lstm_jax.linear_scan import is_linear

    cell = make_cell(name, args.hidden_dim, gap=num_steps)
    if not is_linear(cell):
        refuse(f"parallel: cells: got {name!r}; expected a cell that is linear in its state, derived from LinearCell")
    params = cell.init(jax.random.key(0), INPUT_DIM)
    inputs = jax.random.normal(jax.random.key(1), (num_steps, args.batch_size, INPUT_DIM))
    calls = {side: programs(cell, params, inputs, side) for side in SIDES}
    found = {what: difference(*(calls[side][what]() for side in SIDES)) for what in ("forward", "step")}
    if not max(found.values()) <= TOLERANCE:
        raise SystemExit(f"{name} T={num_steps}: sequential and parallel differ by {found}; nothing was timed")
    order = [(side, what) for side in SIDES for what in found]
    seconds: dict[tuple[Side, str], list[float]] = {each: [] for each in order}
    shuffle, started, rounds = random.Random(0).shuffle, time.perf_counter(), 0
    while rounds < 3 or (time.perf_counter() - started < args.seconds and rounds < 100):
        shuffle(order)
        for side, what in order:
            before = time.perf_counter()
            calls[side][what]()
            seconds[side, what].append(time.perf_counter() - before)
        rounds += 1
    rows = []
    for what in found:
        times = [spread(seconds[side, what]) for side in SIDES]
        sizes = (name, num_steps, args.hidden_dim, args.batch_size, what)
        rest = (round(times[0][0] / times[1][0], 4), rounds, found[what], device_name(), num_cores(), versions())
        rows.append(Row(*sizes, *times[0], *times[1], *rest))
    return rows


def spread(seconds: list[float]) -> tuple[float, float, float]:
    """Median and quartiles, in milliseconds."""
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return round(1e3 * median, 5), round(1e3 * low, 5), round(1e3 * high, 5)


def main() -> None:
    """Print a line a row, and write all to `--out`."""
    args = options(Parallel, "parallel")
    for field in ("lengths", "cells"):
        if not getattr(args, field):
            refuse(f"parallel: {field}: no value given; expected at least one")
    if min(*args.lengths, args.hidden_dim, args.batch_size, 1) < 1:
        refuse("parallel: lengths, hidden_dim, batch_size: expected at least 1")
    rows: list[Row] = []
    for name in args.cells:
        for num_steps in args.lengths:
            try:
                rows += measure(args, name, num_steps)
            except ValueError as error:
                refuse(f"parallel: cells: {error}")
            for row in rows[-2:]:
                print(
                    f"{name} T={num_steps} {row.what}: {row.sequential_ms:.2f} ms in turn, "
                    f"{row.parallel_ms:.2f} ms at once, {row.ratio:.2f} times as fast",
                    flush=True,
                )
            write_csv(args.out, list(Row._fields), [row._asdict() for row in rows])
    print(f"{table(read(args.out))}\nwritten to {args.out}")


if __name__ == "__main__":
    main()
