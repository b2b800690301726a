"""What the documents show is run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def blocks():
    text = (ROOT / "docs" / "extending.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def run(*argv, cwd):
    environment = {**os.environ, "PYTHONPATH": "."}
    done = subprocess.run(
        [sys.executable, *argv], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_own_cell_task_and_optimizer(blocks, tmp_path):
    (tmp_path / "my_cells.py").write_text(blocks[0])
    (tmp_path / "my_tasks.py").write_text(blocks[1])
    (tmp_path / "my_optimizers.py").write_text(next(block for block in blocks if "# my_optimizers.py" in block))
    common = ["-m", "experiments.gap_length", "--preset", "smoke", "--task", "my_tasks:FirstBit", "--gaps", "2"]
    assert "the first was" in run(*common, "--show", cwd=tmp_path)
    cells = ["my_cells:OneGate", "my_cells:OneGate@forget_bias=3,init=orthogonal"]
    training = ["--optimizer", "my_optimizers:signs@decay=0.95", "--schedule", "cosine", "--max-steps", "50"]
    output = run(*common, "--cells", *cells, *training, "--wandb", "disabled", cwd=tmp_path)
    assert "OneGate" in output
    assert (tmp_path / "results" / "gap_length" / "gap_length.png").exists()


def test_from_python(blocks, tmp_path):
    (tmp_path / "mine.py").write_text(blocks[-1])
    assert "solved" in run("mine.py", cwd=tmp_path)


@pytest.mark.standard_promotion
def test_in_flax():
    text = (ROOT / "docs" / "flax.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
    exec(compile(code, "docs/flax.md", "exec"), {})


@pytest.mark.parametrize(
    "file", sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=str
)
def test_links_and_pictures_are_there(file):
    text = (ROOT / file).read_text()
    assert not re.search(r"@[A-Z]+@", text), "a placeholder"
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert "://" in target or (ROOT / file).parent.joinpath(target).exists(), target
