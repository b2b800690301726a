"""Sweeps from Python: from a script without a guard, from standard input, from a notebook, from a thread."""

from __future__ import annotations

import csv
import dataclasses
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import forking
import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

import lstm_jax
from lstm_jax import Sweep, api
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.views.tables import read_tables

ROOT = Path(lstm_jax.__file__).parents[1]
QUICK = ROOT / "docs" / "results" / "quick"
TINY = {
    "cells": ["rnn"], "gaps": [2], "seeds": [0, 1], "learning_rates": [0.01], "tuning_seeds": [], "hidden_dim": 2,
    "max_steps": 3, "eval_size": 8, "batch_size": 4, "wandb": "disabled",
}  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A sweep of two runs, and what `run` gives for it."""
    out = tmp_path_factory.mktemp("api") / "out"
    sweep = Sweep(**TINY, executor="serial", out=out)
    return sweep, sweep.run()


def frames(result):
    return [result.runs, result.summary, result.horizon]


def read_csv(path):
    """A table as pandas reads it, but for text that is empty, which is not unknown."""
    return pd.read_csv(path).fillna(dict.fromkeys(("bound", "environment"), ""))


def assert_same(found, file):
    pd.testing.assert_frame_equal(found, read_csv(file), check_dtype=False, rtol=1e-12)


def test_run_and_load_give_the_same_tables(done):
    sweep, result = done
    found = lstm_jax.load(sweep.config.out)
    assert found.records == result.records and (found.num_missing, result.num_missing) == (0, 0)
    for ours, theirs in zip(frames(result), frames(found), strict=True):
        pd.testing.assert_frame_equal(ours, theirs)
    assert_same(result.runs, sweep.config.out / "runs.csv")
    assert list(result.runs.dtypes[["gap", "score", "solved_step", "forget_bias"]]) == ["int64", *["float64"] * 3]
    assert result.summary.num_runs.tolist() == result.horizon.num_seeds.tolist() == [2]


def test_tables_are_those_of_the_files():
    """Of a directory that has tables alone, which its command wrote with `csv`."""
    found = lstm_jax.load(QUICK)
    assert found.rows == [record.run for record in read_tables(QUICK)]
    assert_same(found.summary, QUICK / "summary.csv")
    assert_same(found.horizon, QUICK / "horizon.csv")


def test_what_tables_say_of_failed_runs(tmp_path):
    shutil.copy(QUICK / "sweep.yaml", tmp_path)
    with (QUICK / "runs.csv").open() as file, (tmp_path / "runs.csv").open("w", newline="") as copy:
        rows = csv.DictReader(file)
        writer = csv.DictWriter(copy, rows.fieldnames)
        writer.writeheader()
        writer.writerows({**row, "status": "failed"} if row["job"] == "rnn-gap10" else row for row in rows)
    found = lstm_jax.load(tmp_path)
    assert [name for name, _ in found.failures] == ["rnn-gap10"] and not (found.runs.status == "failed").any()
    assert found.num_missing > 0 and "failed: rnn-gap10" in repr(found)
    (tmp_path / "runs.csv").write_text("job,cell\n")
    with pytest.raises(ConfigError, match=r"directory: can't read the runs in .*; expected runs\.csv of a sweep"):
        lstm_jax.load(tmp_path)


def test_a_directory_that_is_being_written(done, tmp_path):
    sweep, result = done
    shutil.copytree(sweep.config.out, tmp_path / "out")
    for name in ("runs.csv", "curves.csv"):
        (tmp_path / "out" / name).unlink()
    records = sorted((tmp_path / "out" / "records").glob("*/*.json"))
    records[0].unlink()
    found = lstm_jax.load(tmp_path / "out")
    assert found.records == result.records[1:] and found.num_missing == 1
    assert "1 run in" in repr(found) and "about 1 are still to come" in found._repr_html_()
    records[1].unlink()
    nothing = lstm_jax.load(tmp_path / "out")
    assert [len(frame) for frame in frames(nothing)] == [0, 0, 0] and nothing.num_missing == 2
    assert list(nothing.runs) == list(result.runs) and "0 runs in" in nothing._repr_html_()
    with pytest.raises(ValueError, match="no run has been reported yet"):
        nothing.plot()


def test_axes_to_go_on_with():
    found = lstm_jax.load(QUICK)
    ours = Figure().subplots()
    assert found.plot(ours) is ours
    (cells,) = [[text.get_text() for text in ours.get_legend().get_texts()]]
    assert cells == found.horizon.cell.tolist()
    curves = [line.get_ydata() for line in ours.lines if line.get_marker() != "None" and len(line.get_ydata()) > 1]
    for cell, curve in zip(cells, curves, strict=True):
        assert list(curve) == found.summary[found.summary.cell == cell].solve_rate.tolist()
    with mpl.rc_context({"backend": "agg"}):
        assert found.plot().get_xlabel() == "gap (time steps)"


def test_names_are_text_and_no_markup(done):
    _, result = done
    name = "<script>alert(1)</script>"
    records = [dataclasses.replace(each, run=dataclasses.replace(each.run, cell=name)) for each in result.records]
    found = dataclasses.replace(result, records=tuple(records), failures=((name, "a < b"),))
    page = found._repr_html_()
    assert "<script" not in page and page.count("&lt;script&gt;") == 3 and "a &lt; b" in page
    assert name in repr(found)


def test_in_a_thread(done):
    """Where Python handles no signals."""
    sweep, result = done
    found = []
    thread = threading.Thread(target=lambda: found.append(sweep.run()))
    thread.start()
    thread.join()
    assert found[0].records == result.records and found[0].num_trained == 0


def test_a_signal_is_passed_on_once_all_is_saved(done, monkeypatch, capsys):
    sweep, result = done
    monkeypatch.setattr(api, "run_sweep", lambda *_: dataclasses.replace(result, stopped_by=int(signal.SIGINT)))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            sweep.run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted: 2 runs are kept in" in capsys.readouterr().out


# In processes of their own

SCRIPT = f"""
from lstm_jax import Sweep
result = Sweep(**{TINY | {"cells": ["own:Mine"], "seeds": [0]}}, out="out").run()
print(result.failures, result.runs.status.tolist())
"""
OWN = """
import dataclasses
from lstm_jax import RNN

@dataclasses.dataclass(frozen=True)
class Mine(RNN):
    pass
"""


@pytest.mark.parametrize("how", ["script", "standard input"])
def test_workers_do_not_run_the_script_again(tmp_path, how):
    """One without a guard for __main__; its own modules are found as it finds them."""
    (tmp_path / "own.py").write_text(OWN)
    environment = {**forking.ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    if how == "script":
        (tmp_path / "script.py").write_text(SCRIPT)
        with forking.popen("script", [], cwd=tmp_path, env=environment) as process:
            output, errors = process.communicate(timeout=120)
    else:
        done = subprocess.run(
            [sys.executable, "-"], input=SCRIPT, cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        output, errors = done.stdout, done.stderr
    assert errors == "" and output.splitlines()[-1] == "() ['unsolved']"


NOTEBOOK = f"""
import asyncio, warnings
from lstm_jax import Sweep
warnings.simplefilter("error")
assert asyncio.get_running_loop().is_running()
Sweep(**{TINY}, executor="serial", out="out").run()
"""


def test_in_a_notebook(tmp_path):
    """Where a loop of asyncio runs: one bar, shown anew until all is done, and the answer; no warning."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)])
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env={**forking.ENVIRONMENT, "PYTHONPATH": str(ROOT)})
    bar, result = notebook.cells[0].outputs
    assert bar.data["text/html"].startswith('<progress value="1.0000" max="1"></progress> 2/2 runs')
    assert result.data["text/html"].startswith("<p>rnn: these runs do not say.</p><p>2 runs in out</p><table>")
    assert Directory(tmp_path / "out").has_records
