"""Commands that change one thing of runs: what they train, and what they write of it; the training is replaced."""

from __future__ import annotations

import csv
import dataclasses
import json

import pytest

from experiments import drift, gates, rescues, why
from lstm_jax.analysis.rescued import RESCUES
from lstm_jax.diagnostics.drift import moments
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.job import Job


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def pieces_of(**options):
    return list(rescues.pieces_of(rescues.Rescues(**options)))


def test_cells_are_tried_where_they_stop():
    found = {(piece.cell, piece.settings.gap) for piece in pieces_of(seeds=1)}
    assert {("rnn", 80), ("lstm", 40), ("lstm", 80)} <= found
    assert not {cell for cell, _ in found} & {"gru", "lstm@forget_bias=3"}


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "lstm@forget_bias=3"])
def test_each_rescue_changes_one_thing(cell):
    base, *changed = pieces_of(cells=(cell,), gaps=(40,), seeds=2)
    names = [piece.rescue for piece in changed]
    assert base.rescue == "" and names == [name for name in RESCUES if cell != "rnn" or name != "forget bias + 3"]
    for piece in changed:
        differs = {name for name, value in piece.settings.flat.items() if value != base.settings.flat[name]} | {
            name for name in ("learning_rate", "start_gap") if getattr(piece, name) != getattr(base, name)
        }
        assert len(differs) == (0 if piece.rescue == "float64" else 1), piece.rescue
        assert piece.seeds == base.seeds and piece.cell == cell and piece.name != base.name
        Job(piece.settings).training()
    assert len({piece.name for piece in [base, *changed]}) == len(changed) + 1


def test_forget_biases_are_added_to():
    assert rescues.with_longer_memory("lstm@init=orthogonal") == "lstm@init=orthogonal,forget_bias=4"
    assert rescues.with_longer_memory("gru@update_bias=-1") == "gru@update_bias=2"
    assert rescues.with_longer_memory("lstm@chrono=true") is None is rescues.with_longer_memory("rnn")


def test_a_curriculum_begins_with_what_a_shorter_gap_taught():
    (piece,) = (each for each in pieces_of(cells=("gru",), gaps=(4,), seeds=1) if each.rescue == "curriculum")
    assert piece.start_gap == 1
    training = dataclasses.replace(piece.settings.training, max_steps=150)
    short = dataclasses.replace(piece, settings=dataclasses.replace(piece.settings, training=training))
    (row,) = rescues.train(short)
    assert row["seed"] == rescues.FIRST_SEED and 0.0 <= row["score"] <= 1.0


def test_what_is_recorded_is_compared_and_drawn(tmp_path, capsys):
    options = {"cells": ("lstm",), "gaps": (40,), "seeds": 12, "out": tmp_path}
    (tmp_path / "runs").mkdir()
    for piece in pieces_of(**options):
        solved = piece.rescue in ("updates x8", "forget bias + 3")
        trees = [{"seed": seed, "solved_step": 100 if solved else None, "score": 0.5} for seed in piece.seeds]
        (tmp_path / "runs" / f"{piece.name}.json").write_text(json.dumps(trees))
    assert rescues.main(["--cells", "lstm", "--gaps", "40", "--seeds", "12", "--out", str(tmp_path)]) == 0
    rows = rows_of(tmp_path / "rescues.csv")
    assert [row["rescue"] for row in rows if row["helps"] == "True"] == ["updates x8", "forget bias + 3"]
    read = rescues.read(tmp_path / "rescues.csv")
    assert [(row.rescue, row.num_runs) for row in read if row.helps] == [("updates x8", 12), ("forget bias + 3", 12)]
    with pytest.raises(ConfigError, match=r"expected rescues\.csv of"):
        rescues.read(tmp_path / "rescued_runs.csv")
    assert (tmp_path / "rescues.png").stat().st_size > 10_000
    assert "lstm at 40, rate / 4: 0 of 12 solve, 0 without" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("main", "argv", "message"),
    [
        (rescues.main, ["--rescues", "updates x9"], "did you mean 'updates x8'"),
        (rescues.main, ["--cells", "tcn"], "has no runs of tcn"),
        (why.main, ["--rescued", "tests", "--rescue-seeds", "2"], "expected one of them"),
        (why.main, ["--rescued", "tests"], "expected rescues.csv"),
        (drift.main, ["--task", "memory_update"], "blank filler is of the task gap"),
        (drift.main, ["--task", "adding", "--conditions", "base"], "expected one of classes"),
        (gates.main, ["--seed", "-1"], "seed"),
        (rescues.main, ["--sweep", "tests"], "expected the directory of a finished sweep"),
        (gates.main, ["--cell", "rnn", "--gaps", "1", "--max-steps", "3"], "has no gates with names"),
        (gates.main, ["--sentence", "Bonjour"], "expected one with a country"),
        (gates.main, ["--task", "copy"], "expected one of tokens whose last step is asked for"),
        (gates.main, ["--checkpoint", "tests"], "expected the directory of a sweep"),
    ],
)
def test_what_can_not_be_had_is_refused_in_one_line(main, argv, message, tmp_path, capsys):
    assert main([*argv, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error


def test_drifts_are_summarised_and_drawn(tmp_path, capsys):
    options = drift.DriftOptions(cells=("gru", "lstm"), gaps=(40,), rates=(0.03,), sizes=(3500,), seeds=6, out=tmp_path)
    pieces = list(drift.pieces_of(options))
    assert [piece.condition for piece in pieces if piece.settings.cell == "gru"] == list(options.conditions)
    (tmp_path / "followed").mkdir()
    steps = moments(options.max_steps)
    for piece in pieces:
        sign = 1.0 if piece.settings.cell == "gru" else -1.0
        trees = [
            {
                "seed": seed, "step": step, "score": 0.5, "time_constant": 2.0 * 2.0 ** (sign * place / 4),
                "transport": 0.1, "noise": 0.1, "state_noise": 0.1, "signal": 0.4 if step > 400 else 0.0,
            }
            for seed in piece.seeds
            for place, step in enumerate(steps)
        ]  # fmt: skip
        (tmp_path / "followed" / f"{piece.name}.json").write_text(json.dumps(trees))
    argv = ["--cells", "gru", "lstm", "--gaps", "40", "--rates", "0.03", "--sizes", "3500", "--seeds", "6", "--out"]
    assert drift.main([*argv, str(tmp_path)]) == 0
    rows = {(row["condition"], row["cell"]): row for row in rows_of(tmp_path / "summary.csv")}
    assert rows["base", "gru"]["num_grew"] == "6" == rows["base", "lstm"]["num_shrank"]
    assert float(rows["base", "gru"]["growth"]) == 1.5 and float(rows["random answers", "gru"]["growth"]) == 2.0
    assert len(rows_of(tmp_path / "drift.csv")) == len(pieces) * 6 * len(steps)
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("drift.png", "growth.png"))
    assert "gru, gap 40, base" in capsys.readouterr().out


def test_drifts_of_another_task_and_budget_are_other_runs():
    own = {"cells": ("gru",), "conditions": ("base",), "gaps": (40,), "rates": (0.03,), "sizes": (3500,)}
    found = [
        next(drift.pieces_of(drift.DriftOptions(**own, **options)))
        for options in ({}, {"max_steps": 3200}, {"task": "memory_update"})
    ]
    assert [(piece.settings.task, piece.max_steps) for piece in found] == [
        ("gap", 1600), ("gap", 3200), ("memory_update", 1600)
    ]  # fmt: skip
    assert len({piece.name for piece in found}) == 3


def test_gates_are_drawn_over_the_users_sentence(tmp_path, capsys):
    sentence = "I grew up in Japan and quietly came. I speak fluent ___"
    argv = ["--cell", "gru", "--gaps", "2", "--max-steps", "100", "--sentence", sentence, "--out", str(tmp_path)]
    assert gates.main(argv) == 0
    assert (tmp_path / "gates_gru_gap_gap2.png").stat().st_size > 10_000
    assert "update gate of the units that carry the fact" in capsys.readouterr().out
