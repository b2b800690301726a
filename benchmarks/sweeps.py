"""Time to the same table, against the loop that a user would write; and how a sweep scales.

    python -m benchmarks.sweeps table [--fraction 0.2] [--out results/benchmarks/sweeps_table.csv]
    python -m benchmarks.sweeps scaling [--out results/benchmarks]
    python -m benchmarks.sweeps lanes [--lanes 1 64 1024] [--out results/benchmarks]

`table`: the quick grid of experiments/gap_length.py, all runs with the same number of updates, without early stopping:
ours (`run_sweep`, with its records and checkpoints), `benchmarks.flax_loop`, `benchmarks.torch_loop`. Before anything
is timed each loop has to show that its work is ours (equal_work.py). Contestants run one after another, each in a
fresh process, timed from outside, start and imports included. `ours_stopping` is ours as it is used, with early
stopping: fewer updates, so no fair race. `flax_loop_cached` calls its step through `nnx.cached_partial`, and
`torch_loop_one_thread` (with --only) has one thread. Among the columns of its file are

- total_seconds, from start to end of the process, and processor_seconds, of it and its children on all cores;
- training_seconds: for a loop all but what follows; for ours the durations in the records over the jobs at once;
- other_seconds, the rest: start, imports, and the first update and evaluation of each (cell, gap), which compile; for
  ours also saving, and workers idle at the end.

`scaling`: runs an hour against the runs of a sweep: LSTMs at gap 40, and 41 and so on where more jobs run at once, so
that no worker is idle. And seconds of one run of a few updates, with the evaluation after them, against the gap: the
durations in the records of a sweep with one worker and one lane, which leave out start and compilation; the median over
a few seeds. Linear would be the same time a step at each gap. Writes sweeps_runs.csv and sweeps_gap.csv.

`lanes`: runs an hour and microseconds a time step against the runs that are trained side by side on a device, from the
durations of one job with as many runs as lanes. On a GPU ask for 1, 64 and 1024. Writes sweeps_lanes.csv.

Nothing else should run meanwhile: beside busy processes PyTorch with two threads took six times as long as with one.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from benchmarks.equal_work import QUICK, RATES, Grid, machine, sweep_config
from benchmarks.options import options_of
from lstm_jax.sweeps.config.options import SweepConfig, known
from lstm_jax.sweeps.machine import num_workers, versions
from lstm_jax.sweeps.store.records import write_csv

Contestant = Literal["ours", "ours_stopping", "flax_loop", "flax_loop_cached", "torch_loop", "torch_loop_one_thread"]
CONTESTANTS: dict[Contestant, tuple[str, ...]] = {
    "ours": ("benchmarks.sweeps", "sweep"),
    "ours_stopping": ("benchmarks.sweeps", "sweep"),
    "flax_loop": ("benchmarks.flax_loop",),
    "flax_loop_cached": ("benchmarks.flax_loop", "--cached"),
    "torch_loop": ("benchmarks.torch_loop",),
    "torch_loop_one_thread": ("benchmarks.torch_loop", "--threads", "1"),
}
GAPS = (50, 160, 500, 1600, 5000)
SIZES = (2, 8, 32, 128)
LANES = (1, 2, 4, 8, 16, 64)
NUM_REPEATS = 5
"""Runs at each gap."""
_OUT = Path("results/benchmarks")
_CACHE = "JAX_COMPILATION_CACHE_DIR"


@dataclasses.dataclass(frozen=True)
class Table:
    """Time to the same table, ours and the loops that users would write."""

    fraction: float = 1.0
    """Part of the runs to train. Below 1/3: at one learning rate, as several take a seed to tune by."""
    cells: tuple[str, ...] = QUICK.grid.cells
    """Cells of the grid."""
    only: tuple[Contestant, ...] = tuple(CONTESTANTS)[:-1]
    """Who takes part; ratios are to the first."""
    gaps: tuple[int, ...] = known(QUICK.grid.gaps)
    """Gaps of the grid."""
    updates: int = QUICK.training.max_steps
    """Updates of a run."""
    out: Path = _OUT / "sweeps_table.csv"
    """The CSV file to write."""


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Runs an hour against the runs of a sweep, and the cost of a run against the gap."""

    sizes: tuple[int, ...] = SIZES
    """Runs in a sweep."""
    updates_at_gaps: int = 50
    """Updates of a run at each gap."""
    gaps: tuple[int, ...] = GAPS
    """Gaps to time a run at."""
    updates: int = QUICK.training.max_steps
    """Updates of a run of a sweep."""
    out: Path = _OUT
    """Where to write sweeps_runs.csv and sweeps_gap.csv."""


@dataclasses.dataclass(frozen=True)
class Lanes:
    """Runs an hour against the runs that train side by side on a device."""

    lanes: tuple[int, ...] = LANES
    """Runs side by side on each device."""
    updates: int = 100
    """Updates of a run."""
    out: Path = _OUT
    """Where to write sweeps_lanes.csv."""


@dataclasses.dataclass(frozen=True)
class Ours:
    """Train one of our sweeps: how the other commands start it, in a process of its own."""

    json: str
    """What changes of the quick preset."""


def train_sweep(request: Mapping[str, Any]) -> dict[str, Any]:
    """Ours, in a process of its own: run the sweep that is asked for in a temporary directory."""
    import rich.console

    from lstm_jax.sweeps.run import run_sweep

    with tempfile.TemporaryDirectory() as out:
        config = sweep_config(**request, out=Path(out))
        outcome = run_sweep(config, rich.console.Console(file=io.StringIO()))
    if outcome.failures:
        raise SystemExit(f"ours failed: {outcome.failures}")
    runs = [record.run for record in outcome.records]
    jobs_at_once = min(num_workers(config.execution), len(config.grid.cells) * len(config.grid.gaps))
    return {
        "num_updates": sum(run.steps for run in runs),
        "num_solved": sum(run.status == "solved" for run in runs),
        "training_seconds": sum(run.duration_seconds for run in runs) / jobs_at_once,
        "run_seconds": [[run.duration_seconds for run in runs if run.gap == gap] for gap in config.grid.gaps],
        "machine": machine(versions(), runs[0].device, runs[0].lanes),
    }


def in_process(arguments: Sequence[str], request: Mapping[str, Any]) -> dict[str, Any]:
    """Run a module in a process of its own; what it printed as its last line, and what the process took.

    Programs that an earlier sweep of ours has compiled and kept are not found: all start from nothing.
    """
    command = [sys.executable, "-m", *arguments, "--json", json.dumps(request)]
    environment = {name: value for name, value in os.environ.items() if name != _CACHE}
    with tempfile.TemporaryDirectory() as empty:
        if arguments[0] == "benchmarks.sweeps":
            environment[_CACHE] = empty
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}")
    *lines, last = done.stdout.splitlines()
    print(*lines, sep="\n", end="\n" * bool(lines), flush=True)
    result: dict[str, Any] = json.loads(last)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return result | {"total_seconds": seconds, "processor_seconds": processor}


def part_of_grid(fraction: float) -> dict[str, Sequence[float]]:
    """Learning rates and seeds of that part of the runs; several rates need a seed to choose by and one to show."""
    seeds, tuning_seeds = QUICK.grid.seeds, QUICK.grid.tuning_seeds
    num_runs = max(1, round(fraction * len(RATES) * len((*seeds, *tuning_seeds))))  # of a cell at a gap
    num_seeds = num_runs // len(RATES)
    if num_seeds < 2:
        return {"learning_rates": RATES[:1], "seeds": (*seeds, *tuning_seeds)[:num_runs], "tuning_seeds": ()}
    num_tuning = max(1, num_seeds - len(seeds))
    return {
        "learning_rates": RATES,
        "seeds": seeds[: num_seeds - num_tuning],
        "tuning_seeds": tuning_seeds[:num_tuning],
    }


def table(arguments: Table) -> None:
    """Check, time, print and write the comparison."""
    part = part_of_grid(arguments.fraction)
    request = {"cells": arguments.cells, "gaps": arguments.gaps, "max_steps": arguments.updates, **part}
    grid = dataclasses.asdict(make_grid(sweep_config(**request)))
    rates, seeds = grid["learning_rates"], grid["seeds"]
    num_runs = len(arguments.cells) * len(arguments.gaps) * len(rates) * len(seeds)
    num_updates = num_runs * arguments.updates
    print(
        f"{num_runs} runs of {arguments.updates} updates, fraction {arguments.fraction:g}: cells "
        f"{' '.join(arguments.cells)}; gaps {' '.join(map(str, arguments.gaps))}; learning rates "
        f"{' '.join(map(str, rates))}; {len(seeds)} seeds. Load average before: {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    for module in dict.fromkeys(CONTESTANTS[name][0] for name in arguments.only if not name.startswith("ours")):
        in_process((module, "--check"), grid)
    rows: list[dict[str, Any]] = []
    for name in arguments.only:
        ours = {**request, "stop_when_solved": name == "ours_stopping"}
        result = in_process(CONTESTANTS[name], ours if name.startswith("ours") else grid)
        if result["num_updates"] != num_updates and name != "ours_stopping":
            print(f"warning: {name} made {result['num_updates']} updates, not {num_updates}: no equal work")
        row = {"contestant": name, "fraction": arguments.fraction, "runs": num_runs, "updates": result["num_updates"]}
        row |= {"solved_runs": result["num_solved"], **_times(result)}
        first = rows[0] if rows else row
        for kind in ("total", "training", "processor"):
            row[f"{kind}_over_{first['contestant']}"] = row[f"{kind}_seconds"] / first[f"{kind}_seconds"]
        rows.append(row | result["machine"])
        _tell_and_write(arguments.out, rows)


def scaling(arguments: Scaling) -> None:
    """Time, print and write both parts."""
    lstms = {"cells": ["lstm"], "learning_rates": [0.003], "tuning_seeds": [], "stop_when_solved": False}
    rows: list[dict[str, Any]] = []
    for size in arguments.sizes:
        num_jobs = min(num_workers(QUICK.execution), size)
        grid: dict[str, Any] = {"gaps": [40 + job for job in range(num_jobs)], "seeds": list(range(size // num_jobs))}
        result = in_process(CONTESTANTS["ours"], {**lstms, **grid, "max_steps": arguments.updates})
        num_runs = num_jobs * len(grid["seeds"])
        row = {"runs": num_runs, "jobs_at_once": num_jobs, "updates": result["num_updates"], **_times(result)}
        row["runs_per_hour"] = 3600 * num_runs / result["total_seconds"]
        row["runs_per_hour_of_training"] = 3600 * num_runs / result["training_seconds"]
        rows.append(row | result["machine"])
        _tell_and_write(arguments.out / "sweeps_runs.csv", rows)
    updates = arguments.updates_at_gaps
    alone = {"workers": 1, "lanes": 1, "max_steps": updates, "chunk_steps": updates}
    grid = {"gaps": arguments.gaps, "seeds": list(range(NUM_REPEATS))}
    result = in_process(CONTESTANTS["ours"], {**lstms, **grid, **alone})
    medians = [statistics.median(seconds) for seconds in result["run_seconds"]]
    steps = [gap + 2 for gap in arguments.gaps]  # fact, gap, query
    each = [seconds / num_steps for seconds, num_steps in zip(medians, steps, strict=True)]
    rows = []
    for index, gap in enumerate(arguments.gaps):
        row = {"gap": gap, "time_steps": steps[index], "updates_per_run": updates, "runs": NUM_REPEATS}
        row |= {"run_seconds_median": medians[index], "run_seconds_min": min(result["run_seconds"][index])}
        row["microseconds_per_update_and_time_step"] = 1e6 * each[index] / updates
        row["time_per_time_step_over_median"] = each[index] / statistics.median(each)
        rows.append(row | result["machine"])
        _tell_and_write(arguments.out / "sweeps_gap.csv", rows)


def lanes(arguments: Lanes) -> None:
    """Time, print and write: one job of as many runs as lanes, trained side by side by one worker."""
    rows: list[dict[str, Any]] = []
    for number in arguments.lanes:
        request = {"cells": ["lstm"], "gaps": [40], "learning_rates": [0.003], "tuning_seeds": [], "workers": 1}
        request |= {"seeds": list(range(number)), "lanes": number, "max_steps": arguments.updates}
        result = in_process(CONTESTANTS["ours"], {**request, "stop_when_solved": False})
        each = result["training_seconds"] / number
        row = {"lanes_per_device": number, "updates": result["num_updates"], **_times(result)}
        row["microseconds_per_update_and_time_step_of_a_run"] = 1e6 * each / arguments.updates / 42
        row["runs_per_hour_of_training"] = 3600 / each
        rows.append(row | result["machine"])
        _tell_and_write(arguments.out / "sweeps_lanes.csv", rows)


def make_grid(config: SweepConfig) -> Grid:
    """What the loops are told: the sweep's numbers, and the sizes of cells that it comes to."""
    import jax

    from lstm_jax.sweeps.plan import make_jobs

    jax.config.update("jax_platforms", "cpu")  # sizes only; a GPU belongs to the contestants
    sizes = {job.settings.cell: job.settings.hidden_dim for job in make_jobs(config)[0]}
    given: Any = {field.name: config.flat.get(field.name) for field in dataclasses.fields(Grid)}
    given["hidden_dims"] = {cell: sizes[cell] for cell in config.grid.cells}
    return Grid(**given | {"seeds": (*config.grid.seeds, *config.grid.tuning_seeds)})


def _times(result: Mapping[str, Any]) -> dict[str, Any]:
    times = {f"{kind}_seconds": result[f"{kind}_seconds"] for kind in ("total", "training", "processor")}
    return times | {"other_seconds": result["total_seconds"] - result["training_seconds"]}


def _tell_and_write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the last row; write all, so that what is timed is kept whatever comes after."""
    rounded = [{k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    print(", ".join(f"{name} {value}" for name, value in rounded[-1].items()), flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, list(rows[0]), rounded)


def main() -> None:
    """The command line; `sweep` is what a process of ours is started with."""
    commands: dict[str, type[Table | Scaling | Lanes | Ours]]
    commands = {"table": Table, "scaling": Scaling, "lanes": Lanes, "sweep": Ours}
    arguments = options_of(commands, "sweeps")
    match arguments:
        case Table():
            table(arguments)
        case Scaling():
            scaling(arguments)
        case Lanes():
            lanes(arguments)
        case Ours():
            print(json.dumps(train_sweep(json.loads(arguments.json))))


if __name__ == "__main__":
    main()
