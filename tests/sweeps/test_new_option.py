"""A new option is one annotated field: here one is written into a copy of the package, and found wherever it counts."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BEFORE = "    chunk_steps: Count = 50\n"
NEW = '    averaged_steps: Annotated[int, whole(0, 90)] = 3\n    """Updates that a mean is over."""\n'
TINY = (
    "--preset smoke --cells rnn --gaps 2 --hidden-dim 4 --seeds 0 --tuning-seeds --learning-rates 0.01 --max-steps 6 "
    "--executor serial --wandb disabled --out out"
)
SCRIPT = """
import json
from pathlib import Path
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.views.wandb import config_of
from lstm_jax.sweeps.config.command_line import from_yaml

config = from_yaml(Path("out/sweep.yaml")).replace(out=Path("out"))
(job,), (other,) = (make_jobs(each)[0] for each in (config, config.replace(averaged_steps=4)))
(record,) = Directory(Path("out")).records([job])
row = (Path("out/runs.csv")).read_text()
print(json.dumps({
    "identity": job.settings.hash != other.settings.hash,
    "row": record.run.settings == job.settings.hash and job.settings.hash in row,
    "settings": record.settings["averaged_steps"],
    "wandb": config_of(record)["averaged_steps"],
}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    place = tmp_path_factory.mktemp("copy")
    for name in ("lstm_jax", "experiments"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = place / "lstm_jax" / "sweeps" / "config" / "options.py"
    text = options.read_text()
    assert text.count(BEFORE) == 1
    options.write_text(text.replace(BEFORE, NEW + BEFORE))
    return place


def run(copy, *argv):
    environment = {**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, *argv], cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_an_option_stands_in_one_place(copy):
    shown = run(copy, "-m", "experiments.gap_length", "--help").stdout
    assert "--averaged-steps 0..90" in shown and "Updates that a mean is over. (default: 3)" in " ".join(shown.split())
    tiny = shlex.split(TINY)
    refused = run(copy, "-m", "experiments.gap_length", *tiny, "--averaged-steps", "91")
    assert refused.returncode == 2
    assert refused.stderr.strip() == "error: averaged_steps: got 91; expected a whole number in 0 to 90"
    done = run(copy, "-m", "experiments.gap_length", *tiny, "--averaged_steps=5")
    assert done.returncode == 0, done.stderr
    assert "averaged_steps: 5\n" in (copy / "out" / "sweep.yaml").read_text()
    found = run(copy, "-c", SCRIPT)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == {"identity": True, "row": True, "settings": 5, "wandb": 5}
    differs = run(copy, "-m", "experiments.gap_length", *tiny)
    assert differs.returncode == 2 and "averaged_steps: 5 there, 3 in this command" in differs.stderr
