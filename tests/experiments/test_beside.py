"""A cell of one's own beside a finished sweep: what is taken from it, what is trained, and what is refused."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from commands import rows, run, run_here

from experiments import gap_length, language_model
from lstm_jax.sweeps.config.command_line import from_yaml

QUICK = Path(__file__).parents[2] / "docs" / "results" / "quick"
SMALL = shlex.split(
    "--preset smoke --cells rnn lstm --gaps 2 --learning-rates 0.003 0.01 --seeds 0 1 --tuning-seeds 100 "
    "--hidden-dim 4 --max-steps 20 --eval-size 16 --wandb disabled --executor serial"
)
HERE = ["--executor", "serial", "--wandb", "disabled"]
TABLES = ("summary", "horizon", "contrasts", "horizon_by_budget", "growth", "rates")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """What a repository has of a sweep: its configuration and its table of runs."""
    path = tmp_path_factory.mktemp("finished")
    status, _, errors = run("gap_length", *SMALL, "--out", "whole", cwd=path, draws=False)
    assert status == 0, errors
    (path / "committed").mkdir()
    for name in ("sweep.yaml", "runs.csv"):
        shutil.copy(path / "whole" / name, path / "committed")
    return path


@pytest.fixture(scope="module")
def beside(finished):
    """Another cell beside it; the name of its directory."""
    argv = ["--beside", "committed", "--cells", "own_cells:Leaky", *HERE]
    status, output, errors = run("gap_length", *argv, cwd=finished)
    assert (status, errors) == (0, "")
    return finished / "results" / "beside_committed", output


def test_the_other_cell_alone_is_trained_with_the_settings_of_the_directory(finished, beside):
    directory, _ = beside
    own, theirs = from_yaml(directory / "sweep.yaml"), from_yaml(finished / "committed" / "sweep.yaml")
    assert (own.training, own.model, own.task) == (theirs.training, theirs.model, theirs.task)
    assert own.grid.cells == ("own_cells:Leaky",) and own.grid.gaps == (2,) and own.beside == Path("committed")
    runs, before = rows(directory / "runs.csv"), rows(finished / "committed" / "runs.csv")
    assert len(runs) == 2 * 3 and {row["cell"] for row in runs} == {"own_cells:Leaky"}
    place = ("gap", "seed", "learning_rate")
    assert {tuple(row[name] for name in place) for row in runs} == {
        tuple(row[name] for name in place) for row in before
    }


def test_tables_figures_and_output_are_of_all(finished, beside):
    directory, output = beside
    cells = {"rnn", "lstm", "own_cells:Leaky"}
    for table in ("summary", "horizon", "horizon_by_budget", "growth", "rates"):
        assert {row["cell"] for row in rows(directory / f"{table}.csv")} == cells
    assert len(rows(directory / "contrasts.csv")) == 3
    assert all(cell in output for cell in cells)
    for cell in ("rnn", "lstm"):
        assert [row for row in rows(directory / "summary.csv") if row["cell"] == cell] == [
            row for row in rows(finished / "whole" / "summary.csv") if row["cell"] == cell
        ]
    assert (directory / "gap_length.svg").read_text().count("own_cells:Leaky") > 0


def test_the_report_writes_the_same_again(finished, beside):
    directory, output = beside
    written = [directory / f"{table}.csv" for table in TABLES] + list(directory.glob("*.png"))
    before = {file: file.read_bytes() for file in written}
    for file in written:
        file.unlink()
    status, again, errors = run_here("report", "results/beside_committed", cwd=finished)
    assert (status, errors) == (0, "") and again in output
    assert {file: file.read_bytes() for file in written} == before


def test_what_differs_is_said(finished, tmp_path):
    """Settings given by hand, and the versions of the runs that were there."""
    other = finished / "other_versions"
    shutil.copytree(finished / "committed", other)
    text = (other / "runs.csv").read_text()
    (other / "runs.csv").write_text(text.replace("optax ", "optax 9"))
    argv = ["--beside", "other_versions", "--cells", "gru", "--max-steps", "18", "--out", "changed", *HERE]
    status, _, errors = run("gap_length", *argv, cwd=finished)
    assert status == 0
    lines = errors.splitlines()
    assert "warning: beside other_versions: max_steps: 20 there, 18 in this command" in lines
    assert any("optax 9" in line for line in lines) and len(lines) == 2
    assert "max_steps: 20 there" in (finished / "changed" / "gap_length.svg").read_text().replace("\n", " ")


def test_committed_results_can_be_stood_beside():
    """By reading alone."""
    from experiments import beside as joining

    sweep = from_yaml(QUICK / "sweep.yaml").replace(cells=("own_cells:Leaky",), beside=QUICK)
    joining.check(sweep)
    joined = joining.join(sweep, ())
    assert joined.config.grid.cells == (*from_yaml(QUICK / "sweep.yaml").grid.cells, "own_cells:Leaky")
    assert len(joined.records) > 50 and {each.run.status for each in joined.records} <= {
        "solved", "unsolved", "diverged",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--beside {here}/committed", "cells: none given; expected those to train beside the sweep"),
        ("--beside {here} --cells gru", "beside: got {here}; expected the directory of a finished sweep"),
        ("--beside {here}/committed --cells gru lstm", "cells: lstm is in {here}/committed already; expected others"),
        ("--beside {here}/committed --cells gru --task copy", "task: got copy; expected gap, which the runs in"),
        ("--beside {here}/committed --cells gru --preset smoke", "preset: expected none with --beside"),
        ("--beside {here}/damaged --cells gru", "beside: can't read the runs in {here}/damaged"),
    ],
)
def test_what_is_refused(finished, capsys, monkeypatch, tmp_path, line, message):
    monkeypatch.chdir(tmp_path)
    damaged = finished / "damaged"
    if not damaged.exists():
        shutil.copytree(finished / "committed", damaged)
        (damaged / "runs.csv").write_text("job,cell\nrnn,1\n")
    assert gap_length.main([word.format(here=finished) for word in line.split()]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith(f"error: {message.format(here=finished)}"), error
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_with_its_own_report_has_none(finished, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    argv = ["--beside", str(finished / "committed"), "--cells", "gru", "--task", "gap", "--show"]
    assert language_model.main(argv) == 2
    assert "beside: got " in capsys.readouterr().err
