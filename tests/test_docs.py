"""What the documents show is run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import gap_length
from lstm_jax import registry
from lstm_jax.cells import CELLS, make_cell
from lstm_jax.linear_scan import is_linear
from lstm_jax.models import MODELS
from lstm_jax.scan import scan
from lstm_jax.sweeps.store.records import read_runs
from lstm_jax.tasks import TASKS, make_task

ROOT = Path(__file__).parents[1]
HERE = ["--executor", "serial", "--wandb", "disabled"]


@pytest.fixture(scope="module")
def blocks():
    text = (ROOT / "docs" / "extending.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def run(*argv, cwd):
    environment = {**os.environ, "PYTHONPATH": f".{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, *argv], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def modules(blocks, tmp_path, monkeypatch):
    """The blocks that begin with a file's name, as modules in the working directory."""
    for block in blocks:
        if name := re.match(r"# (\w+\.py)\n", block):
            (tmp_path / name[1]).write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_own_cell_task_and_optimizer(modules, capsys):
    common = ["--preset", "smoke", "--task", "my_tasks:FirstBit", "--gaps", "2"]
    assert gap_length.main([*common, "--show"]) == 0 and "the first was" in capsys.readouterr().out
    cells = ["my_cells:OneGate", "my_cells:OneGate@forget_bias=3,init=orthogonal"]
    training = ["--optimizer", "my_optimizers:signs@decay=0.95", "--schedule", "cosine", "--max-steps", "50"]
    assert gap_length.main([*common, "--cells", *cells, *training, *HERE]) == 0
    assert "OneGate" in capsys.readouterr().out
    assert (modules / "results" / "gap_length" / "gap_length.png").exists()


def test_own_linear_cell(modules):
    """It makes its steps at once, and the same numbers."""
    cell = make_cell("my_linear_cells:Leaky", 3)
    params, inputs = cell.init(jax.random.key(0), 2), jnp.sin(jnp.arange(10.0)).reshape(5, 2)
    assert is_linear(cell)
    ways = [scan(cell, params, inputs, backward=backward)[1] for backward in ("parallel", "autodiff")]
    np.testing.assert_allclose(*ways, rtol=0, atol=1e-6)


def test_own_task_of_numbers(modules, capsys):
    """The adding problem: its solver, what it shows, and a cell that learns something of it."""
    task = make_task("my_numbers:Adding", 3)
    batch = task.held_out(4096)
    np.testing.assert_allclose(task.solve(batch.inputs), batch.targets, rtol=0, atol=1e-6)
    assert np.var(batch.targets) == pytest.approx(task.chance, rel=0.05)
    assert np.var(batch.inputs[0, :, 0]) == pytest.approx(task.memoryless_loss, rel=0.05)
    options = ["--task", "my_numbers:Adding", "--preset", "smoke", "--gaps", "1", "--cells", "gru", *HERE]
    assert gap_length.main([*options, "--show"]) == 0 and "0.95* 0.47 0.31*: 1.26" in capsys.readouterr().out
    assert gap_length.main([*options, "--learning-rates", "0.02", "--max-steps", "300"]) == 0
    assert "MSE" in capsys.readouterr().out
    runs = read_runs(modules / "results" / "gap_length" / "runs.csv")
    assert all(run.score is not None and run.score < task.memoryless_loss / 2 for run in runs)


def test_from_python(blocks, tmp_path):
    (tmp_path / "mine.py").write_text(blocks[-1])
    assert "solved" in run("mine.py", cwd=tmp_path)


@pytest.mark.standard_promotion
def test_in_flax():
    text = (ROOT / "docs" / "flax.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
    exec(compile(code, "docs/flax.md", "exec"), {})


def test_the_table_of_cells_is_complete():
    """Every registered cell in its row of docs/cells.md, with all its settings and their defaults; then the models."""
    rows = [re.split(r" *\| *", line) for line in (ROOT / "docs" / "cells.md").read_text().splitlines()]
    found = {row[1].strip("`"): row[4] for row in rows if row[0] == "" and len(row) > 5 and "`" in row[1]}
    assert [name for name in found if "@" not in name] == [*CELLS, *(name for name in MODELS if name != "recurrent")]
    for name in CELLS:
        cell = make_cell(name, 4)
        settings = registry.fields_of(type(cell))
        names = re.findall(r"`(\w+)(?:=([\w.]+))?`(?! or|\))", found[name])
        assert {setting for setting, _ in names} == settings.keys() - {"hidden_dim", "gap"}
        for setting, default in names:
            value = getattr(cell, settings[setting])
            assert setting == "init" or default == (f"{value:.4g}" if type(value) is float else str(value).lower())


def test_the_table_of_tasks_says_what_they_say():
    """Of each task that draws its own sequences: inputs, chance, and the steps that a cell has to bridge."""
    rows = re.findall(r"^\| (`.*) \|$", (ROOT / "docs" / "tasks.md").read_text().split("## One name")[0], re.MULTILINE)
    cells = {name: row.split(" | ") for row in rows for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    assert cells.keys() == TASKS.keys()
    for name in cells.keys() - {"translation", "language", "sequential_image", "reverse", "addition"}:
        _, _, inputs, _, chance, _, distance, _ = cells[name]
        task = make_task(name, 30)
        above, below = chance.split("/")
        assert task.chance == pytest.approx(int(above) / int(below)), name
        times, _, more = distance.replace("T", "gap").replace("- ", "+ -").partition(" + ")
        assert task.distance == int(times.replace("gap", "") or 1) * 30 + int(more or 0), name
        found = re.match(r"([\d,]+) (token|number)", inputs)
        assert found and int(found[1].replace(",", "")) == (task.inputs.num_tokens or task.inputs.width), name
