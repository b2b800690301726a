"""Committed results: each can be made again by a command, and its tables are those of its runs at this commit."""

from __future__ import annotations

import csv
import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from benchmarks.tables import PLACE, TABLES, with_tables
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


# Tables in the documents: a line `<!-- numbers: results/quick -->` before one says whose numbers it has.

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NUMBER = re.compile(r"(?<![\w.=@,])-?\d[\d,]*(?:\.\d+)?")
OF = re.compile(r"<!-- numbers: ([\w/ ]+) -->\n\n((?:\|.*\n)+)")


def numbers_by_label(folders: str) -> dict[str, list[float]]:
    """All numbers of the rows of the folders' tables that name a cell, a system, or whatever begins a row."""
    found: dict[str, list[float]] = {}
    for folder in folders.split():
        for file in (ROOT / "docs" / folder).glob("*.csv"):
            with file.open(newline="", encoding="utf-8") as lines:
                for row in csv.reader(lines):
                    numbers = [float(cell) for cell in row if re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", cell)]
                    for label in {*row} - {""}:
                        found.setdefault(label, []).extend(numbers)
    return found


def is_there(text: str, numbers: list[float]) -> bool:
    """Whether one of the numbers, or one in per cent, is what stands in the document when it is rounded so."""
    half = 0.5 * 10.0 ** -len(text.partition(".")[2]) * (1 + 1e-6)
    wanted = float(text.replace(",", ""))
    return any(abs(scale * number - wanted) <= half for number in numbers for scale in (1.0, 100.0))


def tables() -> list[tuple[str, str, str]]:
    found = [(path, *match) for path in DOCUMENTS for match in OF.findall(path.read_text(encoding="utf-8"))]
    return [(path.relative_to(ROOT).as_posix(), folders, table) for path, folders, table in found]


@pytest.mark.parametrize(("path", "folders", "table"), tables(), ids=lambda value: value[:40].replace("\n", " "))
def test_a_table_has_the_numbers_of_the_committed_files(path, folders, table):
    known = numbers_by_label(folders)
    num_checked = 0
    for line in table.splitlines()[2:]:
        first, *cells = line.strip("|").split("|")
        label = match[1] if (match := re.search(r"`([^`]+)`", first)) else first.strip()
        for text in NUMBER.findall(re.sub(r"`[^`]*`|\]\([^)]*\)", "", " ".join(cells))) if label in known else ():
            assert is_there(text, known[label]), f"{path}, {label}: {text} is in none of the tables of {folders}"
            num_checked += 1
    assert num_checked >= 8


def test_the_main_tables_say_whose_numbers_they_have():
    assert {path for path, _, _ in tables()} >= {"README.md", "docs/answer.md", "docs/translation.md", "docs/why.md"}


def test_the_tables_of_performance_are_those_of_their_files():
    """Each is made by `python -m benchmarks.tables`, so that none is typed."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert [name for _, name, _ in PLACE.findall(text)] == [*TABLES]
    assert with_tables(text, RESULTS / "performance") == text
    assert with_tables(PLACE.sub(r"\1", text), RESULTS / "performance") == text
