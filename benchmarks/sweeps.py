"""Time to the same table, against the loop that a user would write; and how a sweep scales.

    python -m benchmarks.sweeps table [--fraction 0.2] [--out results/benchmarks]
    python -m benchmarks.sweeps scaling [--out results/benchmarks]

`table`: the quick grid of experiments/gap_length.py, all runs with the same number of updates, without early stopping:
ours (`run_sweep`, with its records and checkpoints), `benchmarks.flax_loop`, `benchmarks.torch_loop`. Before anything
is timed each loop has to show that its work is ours (`check_equal_work`). Contestants run one after another, each in a
fresh process, timed from outside, start and imports included. `ours_stopping` is ours as it is used, with early
stopping: fewer updates, so no fair race. `flax_loop_cached` calls its step through `nnx.cached_partial`, and
`torch_loop_one_thread` (with --only) has one thread. Writes sweeps_table.csv, among whose columns are

- total_seconds, from start to end of the process, and processor_seconds, of it and its children on all cores;
- training_seconds: for a loop all but what follows; for ours the durations in the records over the jobs at once;
- other_seconds, the rest: start, imports, and the first update and evaluation of each (cell, gap), which compile; for
  ours also saving, and workers idle at the end.

`scaling`: runs an hour against the runs of a sweep: LSTMs at gap 40, and 41 and so on where more jobs run at once, so
that no worker is idle. And seconds of one run of a few updates, with the evaluation after them, against the gap: the
durations in the records of a sweep with one worker and one lane, which leave out start and compilation; the median over
a few seeds. Linear would be the same time a step at each gap. Writes sweeps_runs.csv and sweeps_gap.csv.

Nothing else should run meanwhile: beside busy processes PyTorch with two threads took six times as long as with one.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.gap_length import EXPERIMENT
from lstm_jax.sweeps.config import SweepConfig
from lstm_jax.sweeps.machine import num_cores, num_workers, versions
from lstm_jax.sweeps.records import write_csv

QUICK = EXPERIMENT.presets["quick"]
NUM_FACTS, NUM_FILLERS = 8, 8
NUM_TOKENS = NUM_FACTS + NUM_FILLERS + 1
TOLERANCE = 1e-4
CONTESTANTS = {
    "ours": ("benchmarks.sweeps", "sweep"),
    "ours_stopping": ("benchmarks.sweeps", "sweep"),
    "flax_loop": ("benchmarks.flax_loop",),
    "flax_loop_cached": ("benchmarks.flax_loop", "--cached"),
    "torch_loop": ("benchmarks.torch_loop",),
    "torch_loop_one_thread": ("benchmarks.torch_loop", "--threads", "1"),
}
GAPS = (50, 160, 500, 1600, 5000)
SIZES = (2, 8, 32, 128)
NUM_REPEATS = 5
"""Runs at each gap."""
_CACHE = "JAX_COMPILATION_CACHE_DIR"


@dataclasses.dataclass(frozen=True)
class Grid:
    """What a loop trains: all that it is told, in plain values."""

    hidden_dims: dict[str, int]
    gaps: Sequence[int]
    learning_rates: Sequence[float]
    seeds: Sequence[int]
    max_steps: int
    chunk_steps: int
    batch_size: int
    eval_size: int
    embedding_dim: int
    clip_norm: float


class Weights(NamedTuple):
    """All weights, or their gradients, in our form; None for what a contestant has not."""

    embedding: Any
    cell: Any
    kernel: Any
    bias: Any


class Observed(NamedTuple):
    """What a contestant's fresh model gives on one batch."""

    weights: Weights
    loss: float
    gradients: Weights
    num_params: int


def is_solved(accuracies: Sequence[float]) -> bool:
    """At least 0.99 at three evaluations in a row, as in lstm_jax/training.py."""
    return "111" in "".join(str(int(accuracy >= 0.99)) for accuracy in accuracies)


def machine(versions: str, device: str, lanes: int = 1) -> dict[str, Any]:
    """Columns that say under what the times hold."""
    return {"lanes": lanes, "device": device, "cores": num_cores(), "versions": versions}


def check_equal_work(
    name: str, grid: Grid, sample: Callable[[int, int], Sequence[Any]], observe: Callable[..., Observed]
) -> None:
    """Exit where a loop does other work than we do: other sequences, sizes, or loss or gradient for the same weights.

    Sequences at all gaps, the rest at the largest, for each cell. A gradient's distance is relative, weight by weight.
    """
    import jax
    import numpy as np
    from flax import nnx

    from lstm_jax.models import SequenceModel
    from lstm_jax.sweeps.jobs import make_jobs

    jax.config.update("jax_platforms", "cpu")
    jobs, _ = make_jobs(sweep_config(cells=list(grid.hidden_dims), gaps=grid.gaps))
    for job in jobs:
        training = job.training()
        task, key = training.task, jax.random.key(1)
        batch = jax.tree.map(np.asarray, task.sample(key, 4096))
        inputs, targets = (np.asarray(each) for each in sample(job.gap, 4096))
        _expect(inputs.shape == batch.inputs.shape, f"{name}, gap {job.gap}: the sequences have another length")
        same = all(np.array_equal(np.unique(inputs[t]), np.unique(batch.inputs[t])) for t in (0, 1, -1))
        _expect(same and (task.solve(inputs)[0] == targets).all(), f"{name}, gap {job.gap}: the task is another")
        _expect(job.hidden_dim == grid.hidden_dims[job.cell], f"{name}, {job.cell}: the size is another")
        if job.gap != max(grid.gaps):
            continue
        batch = task.sample(key, job.batch_size)
        theirs = observe(grid, job.cell, job.gap, np.asarray(batch.inputs), np.asarray(batch.targets[0]))
        model: Any = SequenceModel(training.model, rngs=nnx.Rngs(0))

        def places(model: Any) -> list[Any]:
            return [model.embedding.embedding, model.stack.layers[0].params, model.readout.kernel, model.readout.bias]

        for place, value in zip(places(model), theirs.weights, strict=True):
            shapes = [jax.tree.map(np.shape, tree) for tree in (place.get_value(), value)]
            _expect(shapes[0] == shapes[1], f"{name}, {job.cell}: weights have other shapes: {shapes}")
            place.set_value(jax.tree.map(jax.numpy.asarray, value))
        loss, gradients = jax.value_and_grad(training._train_loss)(nnx.state(model, nnx.Param), batch, key)
        nnx.update(model, gradients)
        distances = {"loss": abs(theirs.loss / float(loss) - 1)}
        for part, place, value in zip(Weights._fields, places(model), theirs.gradients, strict=True):
            for path, ours in jax.tree.leaves_with_path(place.get_value()):
                leaf = getattr(value, path[-1].name) if path else value
                if leaf is not None:
                    norm = np.linalg.norm(leaf - np.asarray(ours)) / np.linalg.norm(np.asarray(ours))
                    distances[part + jax.tree_util.keystr(path)] = float(norm)
        worst = max(distances, key=lambda part: math.inf if math.isnan(distances[part]) else distances[part])
        print(
            f"{name}, {job.cell}: {job.hidden_dim} units, {theirs.num_params} parameters (ours: {job.num_params}); "
            f"loss and gradient agree within {distances[worst]:.0e} ({worst})"
        )
        _expect(distances[worst] < TOLERANCE, f"{name}, {job.cell}: {worst} differs by {distances[worst]:.1e}")


def _expect(holds: Any, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"not the same work, so nothing is timed: {otherwise}")


def sweep_config(**changes: Any) -> SweepConfig:
    """The quick preset with changes, given as JSON has them; never in wandb."""
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    if "stop_when_solved" not in {field.name for field in dataclasses.fields(SweepConfig)}:
        changes.pop("stop_when_solved", None)
    return dataclasses.replace(QUICK, wandb="disabled", **changes)


def train_sweep(request: Mapping[str, Any]) -> dict[str, Any]:
    """Ours, in a process of its own: run the sweep that is asked for in a temporary directory."""
    import rich.console

    from lstm_jax.sweeps.sweep import run_sweep

    with tempfile.TemporaryDirectory() as out:
        config = sweep_config(**request, out=Path(out))
        outcome = run_sweep(config, rich.console.Console(file=io.StringIO()))
    if outcome.failures:
        raise SystemExit(f"ours failed: {outcome.failures}")
    runs = [record.run for record in outcome.records]
    jobs_at_once = min(num_workers(config), len(config.cells) * len(config.gaps))
    return {
        "num_updates": sum(run.steps for run in runs),
        "num_solved": sum(run.status == "solved" for run in runs),
        "training_seconds": sum(run.duration_seconds for run in runs) / jobs_at_once,
        "run_seconds": [[run.duration_seconds for run in runs if run.gap == gap] for gap in config.gaps],
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


def table(arguments: argparse.Namespace) -> None:
    """Check, time, print and write the comparison."""
    all_seeds = (*QUICK.seeds, *QUICK.tuning_seeds)
    wanted = arguments.fraction * len(all_seeds)
    seeds = all_seeds[: max(1, round(wanted))]
    rates = QUICK.learning_rates[: max(1, round(min(1.0, wanted) * len(QUICK.learning_rates)))]
    request = {
        "cells": arguments.cells,
        "gaps": arguments.gaps,
        "learning_rates": rates,
        "seeds": [seed for seed in seeds if seed in QUICK.seeds],
        "tuning_seeds": [seed for seed in seeds if seed in QUICK.tuning_seeds],
        "max_steps": arguments.updates,
    }
    grid = dataclasses.asdict(make_grid(sweep_config(**request)))
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
        _tell_and_write(arguments.out / "sweeps_table.csv", rows)


def scaling(arguments: argparse.Namespace) -> None:
    """Time, print and write both parts."""
    lstms = {"cells": ["lstm"], "learning_rates": [0.003], "tuning_seeds": [], "stop_when_solved": False}
    rows: list[dict[str, Any]] = []
    for size in arguments.sizes:
        num_jobs = min(num_workers(QUICK), size)
        grid = {"gaps": [40 + job for job in range(num_jobs)], "seeds": list(range(size // num_jobs))}
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


def make_grid(config: SweepConfig) -> Grid:
    """What the loops are told: the sweep's numbers, and the sizes of cells that it comes to."""
    import jax

    from lstm_jax.sweeps.jobs import make_jobs

    jax.config.update("jax_platforms", "cpu")  # sizes only; a GPU belongs to the contestants
    sizes = {job.cell: job.hidden_dim for job in make_jobs(config)[0]}
    given: Any = {field.name: getattr(config, field.name, None) for field in dataclasses.fields(Grid)}
    given["hidden_dims"] = {cell: sizes[cell] for cell in config.cells}
    return Grid(**given | {"seeds": (*config.seeds, *config.tuning_seeds)})


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
    parser = argparse.ArgumentParser(description="Time to the same table against a loop; how a sweep scales.")
    commands = parser.add_subparsers(dest="command", required=True)
    of_table, of_scaling = commands.add_parser("table"), commands.add_parser("scaling")
    of_table.add_argument("--fraction", type=float, default=1.0, help="part of the seeds (below 1/6: of the rates too)")
    of_table.add_argument("--cells", nargs="+", default=QUICK.cells)
    of_table.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS)[:-1])
    of_scaling.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="runs in a sweep")
    of_scaling.add_argument("--updates-at-gaps", type=int, default=50, help="updates of a run at each gap")
    for command, gaps in ((of_table, QUICK.gaps), (of_scaling, GAPS)):
        command.add_argument("--gaps", type=int, nargs="+", default=gaps)
        command.add_argument("--updates", type=int, default=QUICK.max_steps, help="updates of a run")
        command.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    commands.add_parser("sweep").add_argument("--json", type=json.loads, required=True)
    arguments = parser.parse_args()
    if arguments.command == "sweep":
        print(json.dumps(train_sweep(arguments.json)))
    else:
        {"table": table, "scaling": scaling}[arguments.command](arguments)


if __name__ == "__main__":
    main()
