"""Records and CSV files: whole or not at all, and read back as they were."""

from __future__ import annotations

import ast
import csv
import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

import lstm_jax
from lstm_jax.files import write_atomically
from lstm_jax.sweeps.store.records import (
    CurvePoint,
    Record,
    Run,
    columns_of,
    plain_tables,
    read_record,
    read_runs,
    write_record,
    write_rows,
)
from lstm_jax.sweeps.views.tables import write_runs

RUN = Run(
    job="lstm-gap40",
    cell="lstm@forget_bias=5,init=orthogonal",
    task="gap",
    gap=40,
    seed=2**32 - 1,
    learning_rate=1e-05,
    hidden_dim=28,
    num_params=5512,
    forget_bias=5.0,
    status="solved",
    solved_step=150,
    steps=250,
    score=0.99609375,
    loss=0.012345678901234567,
    chance=0.125,
    duration_seconds=1.5,
)
UNSOLVED = dataclasses.replace(RUN, status="unsolved", solved_step=None, forget_bias=None)
FAILED = dataclasses.replace(UNSOLVED, status="failed", score=None, loss=None, steps=0)


def test_columns_of_runs_csv():
    expected = (
        "job, cell, task, gap, seed, learning_rate, hidden_dim, num_params, forget_bias, status, solved_step, steps, "
    )
    expected += "score, loss, chance, duration_seconds, measure, solved_at, backward, lanes, device, settings, "
    expected += "versions, environment"
    assert ", ".join(columns_of(Run)) == expected


def test_runs_csv_reads_back(tmp_path):
    runs = [RUN, UNSOLVED, FAILED]
    write_rows(tmp_path / "runs.csv", Run, runs)
    assert read_runs(tmp_path / "runs.csv") == runs
    with (tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["cell"] == RUN.cell, "a label with a comma is one cell"
    assert rows[1]["solved_step"] == rows[1]["forget_bias"] == rows[2]["score"] == ""


def test_read_runs_names_line_and_columns(tmp_path):
    write_rows(tmp_path / "runs.csv", Run, [RUN, RUN])
    text = (tmp_path / "runs.csv").read_text()
    (tmp_path / "runs.csv").write_text(text.replace(",40,", ",forty,"))
    with pytest.raises(ValueError, match=r"runs.csv, line 2: .*forty"):
        read_runs(tmp_path / "runs.csv")
    (tmp_path / "runs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="expected the columns job, cell"):
        read_runs(tmp_path / "runs.csv")


def test_tables_of_any_kind_are_kept_as_plain_values(tmp_path):
    given = {
        1: [{"a": np.float64(0.5), ("b", 2): np.int64(7), "c": None, "d": True, "e": 2**80, "f": "\ud800", "g": [1]}],
        "same": ({1: "a", "1": "b"} for _ in range(2)),
        "text": "no rows",
        "one": {"a": 1},
    }
    tables = plain_tables(given)
    assert tables == {
        "1": [{"a": 0.5, "('b', 2)": 7, "c": None, "d": True, "e": str(2**80), "f": "\\ud800", "g": "[1]"}],
        "same": [{"1": "a", "1_2": "b"}] * 2,
        "text": [{"value": "no rows"}],
        "one": [{"a": 1}],
    }
    assert plain_tables({"t": [{"a": 1}, {"b": 2}]}) == {"t": [{"a": 1, "b": None}, {"a": None, "b": 2}]}
    assert plain_tables({1: [1], "1": [2]}) == {"1": [{"value": 1}], "1_2": [{"value": 2}]}
    assert plain_tables([1]) == {"answers": [{"value": 1}]}
    write_record(tmp_path / "r.json", Record(RUN, tables=tables))
    assert read_record(tmp_path / "r.json").tables == tables
    assert plain_tables(tables) == tables


def test_tables_whose_names_differ_by_case_alone_are_two_files(tmp_path):
    tables = {"Runs": [{"a": 1}], "mine": [{"a": 2}], "Mine": [{"a": 3}], "": [{"a": 4}], "table_runs": [{"a": 5}]}
    write_runs(tmp_path, [Record(RUN, tables=tables)])
    names = sorted(path.name for path in tmp_path.glob("*.csv"))
    assert names == [
        *("Mine_2.csv", "curves.csv", "mine.csv", "runs.csv", "table_.csv", "table_Runs.csv", "table_runs_2.csv"),
    ]
    assert read_runs(tmp_path / "runs.csv") == [RUN]


def test_records_read_back_bitwise(tmp_path):
    point = CurvePoint(50, 1.0 / 3.0, math.inf, 0.1, 2.0794415416798357, math.log(8))
    record = Record(dataclasses.replace(RUN, loss=math.inf), (point, point), error="why")
    write_record(tmp_path / "deep" / "r.json", record)
    assert read_record(tmp_path / "deep" / "r.json") == record


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    write_atomically(file, "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


ODD = (math.nan, math.inf, -math.inf, -0.0, 1e-320)


def same(a, b):
    return repr(a) == repr(b)


def test_a_record_is_json_whatever_its_numbers(tmp_path):
    """Other readers of JSON know neither NaN nor Infinity."""
    point = CurvePoint(10, math.nan, math.inf, 0.5, -math.inf, math.nan, None)
    tables = {"scores": [{"word": "nan", "score": number} for number in ODD]}
    record = Record(dataclasses.replace(RUN, loss=math.nan, status="diverged"), (point,), tables=tables)
    write_record(tmp_path / "a.json", record)
    text = (tmp_path / "a.json").read_text()
    strict = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert strict["run"]["loss"] == {"float": "nan"} and strict["tables"]["scores"][0]["word"] == "nan"
    assert same(read_record(tmp_path / "a.json"), record)


def test_a_record_of_an_earlier_version_with_bare_nan_reads(tmp_path):
    record = Record(dataclasses.replace(RUN, loss=math.nan, status="diverged"))
    body = json.dumps(dataclasses.asdict(record), indent=1).removesuffix("\n}")
    assert "NaN" in body
    digest = hashlib.sha256(body.encode()).hexdigest()
    (tmp_path / "old.json").write_text(f'{body},\n "sha256": "{digest}"\n}}\n')
    assert same(read_record(tmp_path / "old.json"), record)


def test_every_writer_of_json_is_strict():
    """What is written to disk anywhere says so, or can't hold a float that JSON has no number for."""
    for path in Path(lstm_jax.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "json.dumps":
                call = ast.unparse(node)
                is_hashed = "sort_keys=True" in call and "separators" not in call
                assert "allow_nan=False" in call or is_hashed or call == "json.dumps(_myself())", (path, call)


def test_a_record_says_what_it_was_made_with(tmp_path):
    """What an early record does not say is as all had it then; what it says, stays."""
    write_record(tmp_path / "a.json", Record(RUN, settings={"cell": "rnn", "schedule": "cosine", "warmup_steps": 3}))
    expected = {"cell": "rnn", "schedule": "cosine", "warmup_steps": 3, "precision": "float32"}
    assert read_record(tmp_path / "a.json").settings == expected
