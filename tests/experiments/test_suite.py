"""The suite over all cells, and the leaderboard of its tables."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest import mock

import pytest
from commands import rows, run_here
from simulate import counts

from experiments import gaps, leaderboard, suite
from experiments.page import sections
from lstm_jax.analysis.gaps.contrasts import Contrast, contrasts
from lstm_jax.analysis.gaps.horizon import Horizon, horizons
from lstm_jax.analysis.gaps.summary import Summary, summarise
from lstm_jax.cells import CELLS
from lstm_jax.models import MODELS
from lstm_jax.sweeps.config.command_line import from_yaml, to_yaml
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.store.records import Run, write_rows
from lstm_jax.tasks import make_task

ROOT = Path(__file__).parents[2]
HERE = ["--executor", "serial", "--wandb", "disabled"]


def test_every_registered_cell_and_model_is_in_the_suite():
    """A cell joins by being registered; a model that is no form of a cell stands beside them."""
    for sweep in suite.sweeps_of(suite.Suite()):
        assert sweep.grid.cells == (*CELLS, *suite.REFERENCES) and sweep.preset == "quick"
    assert set(suite.REFERENCES) == MODELS.keys() - {"recurrent"}


@pytest.mark.parametrize("name", suite.TASKS)
def test_a_task_calls_its_gap_as_the_suite_says(name):
    entry = suite.TASKS[name]
    assert list(entry.gaps) == sorted(entry.gaps) and len(entry.gaps) == 3
    assert {make_task(entry.task, gap).axis for gap in entry.gaps} == {entry.axis}


# Simulated: 0, 2 or 6 runs of 6 solve at gaps 5, 20 and 80, of five cells.

SOLVED = {
    "far": {5: 6, 20: 6, 80: 6},
    "middle": {5: 6, 20: 6, 80: 0},
    "torn": {5: 6, 20: 2, 80: 0},
    "near": {5: 6, 20: 0, 80: 0},
    "nowhere": {5: 0, 20: 0},
}


def write_task(root, solved, **options):
    runs = [run for cell, its in solved.items() for run in counts(its, of=6, cell=cell)]
    root.mkdir(parents=True)
    config = SweepConfig.of(cells=tuple(solved), gaps=(5, 20, 80), learning_rates=(1e-3,), tuning_seeds=(), **options)
    (root / "sweep.yaml").write_text(to_yaml(config))
    tables = {Run: runs, Summary: summarise(runs, ()), Horizon: horizons(runs, ()), Contrast: contrasts(runs, ())}
    names = ("runs", "summary", "horizon", "contrasts")
    for name, (row_type, found) in zip(names, tables.items(), strict=True):
        write_rows(root / f"{name}.csv", row_type, found)


def further(root):
    """Pairs of cells of which the first reaches significantly further, as the table of contrasts has them."""
    found = set()
    for row in rows(root / "contrasts.csv"):
        pair = row["cell_a"], row["cell_b"]
        if row["p_value"] and float(row["p_value"]) < 0.05:
            found |= {pair} if row["ci_low"] and float(row["ci_low"]) >= 1.0 else set()
            found |= {pair[::-1]} if row["ci_high"] and float(row["ci_high"]) <= 1.0 else set()
    return found


def table_after(text, heading):
    """The rows of the first table below a heading, by their second cell or their first where that is a name."""
    lines = [
        line for line in text.partition(f"## {heading}\n")[2].partition("\n## ")[0].splitlines() if line[:1] == "|"
    ]
    header, _, *found = [[cell.strip(" `*") for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(header, row, strict=True)) for row in found]


def test_places_and_ties_are_those_of_the_contrasts(tmp_path):
    write_task(tmp_path / "gap", SOLVED)
    write_task(tmp_path / "parity", {cell: SOLVED["near"] for cell in SOLVED if cell != "far"})
    assert run_here("leaderboard", tmp_path, cwd=tmp_path)[0] == 0
    text, ahead = (tmp_path / "leaderboard.md").read_text(), further(tmp_path / "gap")
    assert {("far", "near"), ("middle", "nowhere")} <= ahead and ("middle", "torn") not in ahead
    board = table_after(text, "gap")
    letters = {row["cell"]: set(row["ties"].split()) for row in board}
    for row in board:
        assert int(row["place"]) == 1 + sum((cell, row["cell"]) in ahead for cell in SOLVED)
        for cell in SOLVED:
            is_apart = (cell, row["cell"]) in ahead or (row["cell"], cell) in ahead
            assert bool(letters[cell] & letters[row["cell"]]) == (not is_apart)
    assert [row["cell"] for row in board] == list(SOLVED)
    assert [row["horizon"] for row in board][::4] == ["> 80", "< 5"]
    assert [row["95% interval"].partition(" ")[0] for row in board][::4] == ["from", "up"]
    assert [row["solved at 5, 20, 80"] for row in board][2:5:2] == ["6/6, 2/6, 0/6", "0/6, 0/6, -"]
    assert {row["place"] for row in table_after(text, "parity")} == {"1"}
    whole = {row["cell"]: row for row in table_after(text, "All tasks")}
    for cell in SOLVED:
        assert int(whole[cell]["further"]) == sum(pair[0] == cell for pair in ahead)
        assert int(whole[cell]["less far"]) == sum(pair[1] == cell for pair in ahead)
    assert next(iter(whole)) == "far" and [*whole][-1] == "nowhere" and whole["far"]["parity"] == "-"
    assert (tmp_path / "leaderboard.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("module", "line", "message"),
    [
        ("suite", "--tasks nothing", "tasks: got 'nothing'; expected some of gap, "),
        ("suite", "--cells gruu --tasks gap --preset smoke", "cells: unknown cell 'gruu': did you mean 'gru'?"),
        (
            "suite",
            "--beside nowhere --cells gru",
            "beside: got nowhere; expected the directory of a suite with a finished",
        ),
        ("suite", "--beside suite", "cells: none given; expected those to train beside the suite"),
        ("suite", "--beside suite --cells gru --preset smoke", "preset: expected none with --beside"),
        (
            "suite",
            "--beside suite --cells gru --tasks parity",
            "tasks: got parity; expected some of gap, which suite has",
        ),
        ("suite", "--beside suite --cells far", "cells: far is in suite/gap already; expected others"),
        ("leaderboard", "nowhere", "directory: got nowhere; expected the directory of a suite with a finished task"),
        ("leaderboard", "damaged", "directory: can't read the tables in damaged/gap ("),
    ],
)
def test_errors_are_one_line(tmp_path, module, line, message):
    write_task(tmp_path / "suite" / "gap", SOLVED)
    shutil.copytree(tmp_path / "suite", tmp_path / "damaged")
    (tmp_path / "damaged" / "gap" / "horizon.csv").write_text("cell\nrnn\n")
    status, output, errors = run_here(module, *line.split(), cwd=tmp_path)
    assert (status, output) == (2, "") and errors.startswith(f"error: {message}") and errors.count("\n") == 1


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The smoke preset on one task; without the figures and the page of its sweep, which other tests make."""
    path = tmp_path_factory.mktemp("suite")
    argv = ["--preset", "smoke", "--tasks", "parity", "--cells", "rnn", *HERE]
    with mock.patch.object(gaps, "_draw", return_value=path), mock.patch.object(sections, "write", return_value=path):
        assert run_here("suite", *argv, cwd=path)[0] == 0
        yield path, argv


def test_repeated_it_trains_nothing(smoke):
    path, argv = smoke
    files = {*path.glob("results/suite/parity/records/**/*.json")}
    before = {file: file.stat().st_mtime_ns for file in files}
    written = (path / "results/suite/leaderboard.md").read_bytes()
    status, output, _ = run_here("suite", *argv, cwd=path)
    assert status == 0 and len(before) == 4 and "leaderboard: results/suite/leaderboard.md" in output
    assert {file: file.stat().st_mtime_ns for file in path.glob("results/suite/parity/records/**/*.json")} == before
    assert (path / "results/suite/leaderboard.md").read_bytes() == written


def test_a_cell_of_ones_own_joins_from_tables_alone(smoke):
    path, _ = smoke
    kept = path / "kept"
    (kept / "parity").mkdir(parents=True)
    for file in leaderboard.FILES:
        shutil.copy(path / "results/suite/parity" / file, kept / "parity")
    argv = ["--cells", "own_cells:Leaky", "--beside", "kept", *HERE]
    assert run_here("suite", *argv, cwd=path)[0] == 0
    out = path / "results/beside_kept"
    assert {row["cell"] for row in rows(out / "parity" / "runs.csv")} == {"own_cells:Leaky"}
    theirs, mine = (from_yaml(root / "parity" / "sweep.yaml") for root in (kept, out))
    assert (mine.training, mine.model, mine.task, mine.grid.gaps) == (
        theirs.training, theirs.model, theirs.task, theirs.grid.gaps,
    )  # fmt: skip
    text = (out / "leaderboard.md").read_text()
    assert {row["cell"] for row in table_after(text, "parity")} == {"rnn", "own_cells:Leaky`** (yours)"}
    assert "Cells trained beside the others: `own_cells:Leaky`." in text


def test_the_committed_page_is_made_from_the_committed_tables(monkeypatch):
    monkeypatch.chdir(ROOT)
    directory, out = leaderboard.Leaderboard.directory, Path("docs/leaderboard.md")
    boards = leaderboard.read(directory)
    assert out.read_text() == leaderboard.page(boards, directory, out)
    assert all({row.cell for row in board.places} == {*board.config.grid.cells} for board in boards)
