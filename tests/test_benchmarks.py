"""The benchmarks' command lines: one library for all commands, help, and one line for what is wrong."""

from __future__ import annotations

import csv
import os
import re
import shutil
from pathlib import Path

import forking
import pytest

from benchmarks.equal_work import sweep_config
from benchmarks.sweeps import make_grid, part_of_grid

ROOT = Path(__file__).parents[1]
SOURCES = [path for name in ("lstm_jax", "experiments", "benchmarks") for path in (ROOT / name).rglob("*.py")]
COMMANDS = [
    *("step", "length", "parallel", "plots", "tables", "coverage", "checkpoint_overhead", "wandb_overhead"),
    *("sweeps", "sweeps table", "sweeps scaling", "sweeps lanes"),
]


def benchmark(command, *argv):
    module, *words = command.split()
    process = forking.popen(f"benchmarks.{module}", [*words, *argv], cwd=ROOT, env=dict(os.environ))
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def test_one_library_reads_all_command_lines():
    others = re.compile(r"^\s*(import|from) (argparse|optparse|getopt|click|typer|absl|fire)\b", re.MULTILINE)
    assert [path.name for path in SOURCES if others.search(path.read_text())] == []
    readers = {path.relative_to(ROOT).as_posix() for path in SOURCES if "tyro.cli(" in path.read_text()}
    assert readers == {"lstm_jax/sweeps/config/parsing.py"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    status, output, errors = benchmark(command, "--help")
    assert (status, errors) == (0, "") and output.startswith(f"usage: python -m benchmarks.{command} ")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("step --treads 1", "step: unknown option '--treads': did you mean '--threads'?"),
        ("step --shapes 4x5", "step: shapes: got '4x5'; expected batch, steps and hidden units, as in 32x100x64"),
        ("step --kinds", "step: kinds: no value given; expected at least one"),
        ("parallel --cells lstm", "parallel: cells: got 'lstm'; expected a cell that is linear in its state"),
        ("parallel --lengths 0", "parallel: lengths, hidden_dim, batch_size: expected at least 1"),
        ("sweeps tabel", "sweeps: unknown command 'tabel': did you mean 'table'?"),
        ("plots", "plots: directory: no value given"),
        ("tables docs", "tables: docs: no step_one_thread.csv, step_kinds.csv, "),
    ],
)
def test_what_is_wrong_is_one_line(line, error):
    status, output, errors = benchmark(*line.split())
    assert (status, output) == (2, "")
    assert errors.startswith(f"error: {error}") and errors.count("\n") == 1


def test_the_figure_is_drawn_of_the_committed_files(tmp_path):
    for file in (ROOT / "docs" / "results" / "performance").glob("*.csv"):
        shutil.copy(file, tmp_path)
    status, output, errors = benchmark("plots", str(tmp_path))
    assert (status, output, errors) == (0, f"{tmp_path}/performance.png\n", "")
    for ending in ("png", "svg"):
        assert (tmp_path / f"performance.{ending}").stat().st_size > 20_000


@pytest.mark.parametrize("fraction", [0.05, 1 / 6, 0.3, 1 / 3, 0.5, 0.8, 1.0])
def test_a_part_of_the_grid_is_a_sweep_of_as_many_runs(fraction):
    """Below a third with one learning rate: to choose from several takes a seed to choose by beside those shown."""
    grid = make_grid(sweep_config(cells=["lstm"], gaps=[5], **part_of_grid(fraction)))
    num_runs = len(grid.learning_rates) * len(grid.seeds)
    assert 1 <= num_runs <= 18 and abs(num_runs - 18 * fraction) < 3
    assert num_runs == 18 or fraction < 1


def test_parallel_at_toy_size(tmp_path):
    """Both sides of each cell and length, forward and step, agree and are timed; a number twice is the same one."""
    out = tmp_path / "parallel.csv"
    sizes = "--lengths 5 9 --cells lru min_gru --hidden-dim 4 --batch-size 2 --seconds 0.01"
    status, output, errors = benchmark("parallel", *sizes.split(), "--out", str(out))
    assert (status, errors) == (0, "")
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [(row["cell"], row["num_steps"], row["what"]) for row in rows]
    assert found == [(cell, n, what) for cell in ("lru", "min_gru") for n in "59" for what in ("forward", "step")]
    for row in rows:
        for side in ("sequential", "parallel"):
            low, median, high = (float(row[f"{side}_{name}"]) for name in ("q25", "ms", "q75"))
            assert 0 < low <= median <= high
        ratio = float(row["sequential_ms"]) / float(row["parallel_ms"])
        assert float(row["ratio"]) == pytest.approx(ratio, rel=1e-2)
        assert float(row["difference"]) <= 1e-5 and int(row["rounds"]) >= 3 and "jax " in row["versions"]
    assert "| `lru` | " in output and "| training step | T = 5 | T = 9 |" in output
