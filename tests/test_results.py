"""Committed results: each can be made again by a command, and its tables are those of its runs at this commit."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from experiments.cli import COMMANDS
from experiments.page.read import read_findings
from lstm_jax.sweeps.store.records import columns_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
COMMANDS_OF = ROOT / "benchmarks" / "reference"
OF_RUNS = {
    "summary": "summaries",
    "horizon": "horizons",
    "contrasts": "contrasts",
    "rates": "rates",
    "growth": "growths",
}


def commands(script: Path) -> list[list[str]]:
    text = script.read_text().replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.startswith("python ")]


def test_each_result_has_the_commands_that_make_it():
    assert {path.stem for path in COMMANDS_OF.glob("*.sh")} == {
        path.name for path in RESULTS.iterdir() if path.is_dir()
    }


@pytest.mark.parametrize("script", sorted(COMMANDS_OF.glob("*.sh")), ids=lambda path: path.stem)
def test_its_commands_are_there(script):
    found = commands(script)
    assert found
    for argv in found:
        assert argv[:2] == ["python", "-m"]
        package, name = argv[2].split(".")
        if package == "experiments":
            assert name.replace("_", "-") in COMMANDS
        else:
            assert (ROOT / package / f"{name}.py").is_file()


def cells_of(text: str, places: int = 9) -> object:
    """A value of a table as it is compared: a number to nine digits, which another processor gives too."""
    try:
        return float(f"{float(text):.{places}g}")
    except ValueError:
        return text


@pytest.mark.parametrize("name", ["quick", "copy_reference", pytest.param("reference", marks=pytest.mark.long)])
def test_its_tables_are_those_of_its_runs(name):
    found = read_findings(RESULTS / name)
    for file, field in OF_RUNS.items():
        rows = getattr(found, field)
        header, *lines = (RESULTS / name / f"{file}.csv").read_text().splitlines()
        assert header.split(",") == columns_of(type(rows[0]))
        made = [["" if value is None else str(value) for value in dataclasses.asdict(row).values()] for row in rows]
        kept = [re.split(",", line) for line in lines]
        assert [[*map(cells_of, row)] for row in made] == [[*map(cells_of, row)] for row in kept], file
