"""A directory of an earlier commit goes on: its runs are not trained again, its unfinished run continues."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import rich.console

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps import sources
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.machine import versions, versions_of
from lstm_jax.sweeps.run import run_sweep

FIXTURE = Path(__file__).parent / "fixtures" / "directory_of_d4b9727.zip"
"""Stopped after 2,000 of the 6,000 updates of the LSTM's first seed; both seeds of the RNN had ended."""
LOSSES = {("rnn", 0): 2.033777, ("rnn", 1): 1.642417, ("lstm", 0): 2.017438, ("lstm", 1): 1.745153}
"""At the end, of the same command at commit d4b9727 without a stop."""


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A copy of the directory, as on a machine that has the versions of the other packages that it was made with."""
    with zipfile.ZipFile(FIXTURE) as file:
        file.extractall(tmp_path / "old")
    made = versions_of((tmp_path / "old" / "runs.csv").read_text().split('"')[1])
    now = {**made, "lstm_jax": versions_of(versions())["lstm_jax"]}
    text = ", ".join(f"{name} {version}" for name, version in now.items())
    for module in ("store.directory", "store.records", "worker.vmapped"):
        monkeypatch.setattr(f"lstm_jax.sweeps.{module}.versions", lambda: text)
    monkeypatch.delenv("XLA_FLAGS")  # those that tests compile by change no more than the last bits
    return tmp_path / "old"


def run(root, **changes):
    output = io.StringIO()
    console = rich.console.Console(file=output, width=300)
    config = from_yaml(root / "sweep.yaml").replace(out=root, **changes)
    return run_sweep(config, console), output.getvalue()


def test_an_old_directory_goes_on(old):
    result, output = run(old)
    assert "2 of 4 runs are there already" in output and "warning" not in output
    assert result.num_trained == 2 and not result.failures
    found = {(record.run.cell, record.run.seed): record for record in result.records}
    assert found.keys() == LOSSES.keys()
    for key, record in found.items():
        assert [point.step for point in record.curve] == [2000, 4000, 6000]
        assert record.run.loss == pytest.approx(LOSSES[key], rel=1e-3)
    assert len({record.run.settings for record in result.records}) == 2, "one per cell, old and new"


def test_a_directory_of_other_sources_does_not(old, monkeypatch):
    monkeypatch.setattr(sources, "known_versions", list)
    with pytest.raises(ConfigError, match=r"lstm_jax 0\.1\.0\+7c7b094c4109 there"):
        run(old)


def test_these_sources_say_whose_results_they_continue():
    """After a change of files that make numbers: did they stay the same?

    If so (a renaming, say), add this version to the last line of equivalent_sources.txt; else begin a new line with it.
    """
    assert versions_of(versions())["lstm_jax"] in sources.known_versions()[-1]


def test_what_makes_no_numbers_is_there():
    """A name that is out of date would make each figure a part of the identity of runs."""
    root = Path(sources.__file__).parents[1]
    assert [name for name in (*sources._MAKE_NO_NUMBERS, *sources._BUT_DO) if not (root / name).exists()] == []
