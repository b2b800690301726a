"""A new option is one annotated field: here one is written into a copy of the package, and found wherever it counts."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import forking
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
    (place / "found.py").write_text(SCRIPT)
    return place


def run(copy, *argv, module="experiments.gap_length"):
    """The command of the copy: its exit status, output and errors."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "120"}
    process = forking.popen(module, list(argv), cwd=copy, env=environment)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def test_an_option_stands_in_one_place(copy):
    _, shown, _ = run(copy, "--help")
    assert "--averaged-steps 0..90" in shown and "Updates that a mean is over. (default: 3)" in " ".join(shown.split())
    tiny = shlex.split(TINY)
    status, _, errors = run(copy, *tiny, "--averaged-steps", "91")
    assert status == 2 and errors.strip() == "error: averaged_steps: got 91; expected a whole number in 0 to 90"
    status, _, errors = run(copy, *tiny, "--averaged_steps=5")
    assert status == 0, errors
    assert "averaged_steps: 5\n" in (copy / "out" / "sweep.yaml").read_text()
    status, found, errors = run(copy, module="found")
    assert status == 0, errors
    assert json.loads(found) == {"identity": True, "row": True, "settings": 5, "wandb": 5}
    status, _, errors = run(copy, *tiny)
    assert status == 2 and "averaged_steps: 5 there, 3 in this command" in errors
