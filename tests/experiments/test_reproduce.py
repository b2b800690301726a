"""Published comparisons: each is complete, claims are held against runs as said; and what was trained in 1997."""

from __future__ import annotations

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import experiments
from experiments import reproduce, reproductions
from experiments.reproductions import REPRODUCTIONS, base, forms
from experiments.reproductions.base import Arm, Claim, Reproduction, compare, interval, measured, verdict
from experiments.reproductions.original_lstm import MemoryBlocks, SigmoidAdding, SigmoidClasses, SigmoidOrder
from experiments.reproductions.page import page
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.store.records import CurvePoint, Record, Run

ROOT = Path(experiments.__file__).parents[1]


FORMS = [form for name in REPRODUCTIONS for form in forms(name)]


# Each comparison


@pytest.mark.parametrize("found", FORMS, ids=lambda found: f"{found.name} {'reduced' * found.reduced}")
def test_a_comparison_is_complete(found):
    assert REPRODUCTIONS[found.name].endswith(found.name)
    names = [arm.name for arm in found.arms]
    assert len(set(names)) == len(names)
    for arm in found.arms:
        config = arm.config()
        assert len(config.grid.cells) == len(config.grid.gaps) == len(config.grid.learning_rates) == 1
        assert len(config.grid.seeds) >= base.LEAST_SEEDS
    assert found.claims
    for claim in found.claims:
        assert claim.arm in names
        assert (claim.against in names) == (claim.measure == "updates_ratio")
        assert claim.published
        assert claim.source
        assert claim.low < claim.high
        assert math.isfinite(claim.low) or math.isfinite(claim.high)
    assert found.left_out
    assert found.differs
    assert not found.reduced or found.not_comparable.startswith("reduced: ")


# Claims and verdicts


def record(seed=0, solved_step=None, steps=1000, scores=((100, 0.5), (200, 0.25)), measure="MSE"):
    run = Run(
        job="", cell="lstm", task="adding", gap=9, seed=seed, learning_rate=0.01, hidden_dim=8, num_params=100,
        forget_bias=None, status="unsolved" if solved_step is None else "solved", solved_step=solved_step, steps=steps,
        score=scores[-1][1], loss=None, chance=1 / 6, duration_seconds=1.0, measure=measure,
        solved_at=0.002 if measure == "MSE" else 0.99,
    )  # fmt: skip
    return Record(run, tuple(CurvePoint(step, 0.0, 0.0, score, 0.0, 0.0) for step, score in scores))


def claim(measure, **others):
    return Claim("text", "arm", measure, "published", "source", **others)


def test_what_a_claim_speaks_of():
    curve = record(scores=((100, 0.5), (200, 0.25), (300, 0.75)))
    assert measured(claim("score"), curve, None) == 0.75
    assert measured(claim("score", at=250), curve, None) == 0.25
    assert math.isnan(measured(claim("score", at=50), curve, None))
    assert measured(claim("best_score"), curve, None) == 0.25
    accuracies = record(scores=((100, 0.5), (200, 0.25)), measure="accuracy")
    assert measured(claim("best_score"), accuracies, None) == 0.5
    assert measured(claim("solved_step"), record(solved_step=300), None) == 300.0
    assert measured(claim("solved_step"), record(), None) == math.inf
    ratio = claim("updates_ratio", against="other")
    assert measured(ratio, record(solved_step=300), record(solved_step=600)) == 0.5
    assert measured(ratio, record(solved_step=300), record(steps=1000)) == 0.3  # at most: the other never solved
    assert measured(ratio, record(), record(solved_step=300)) == math.inf
    assert math.isnan(measured(ratio, record(), record()))  # neither did: nothing is known


def test_an_interval_is_that_of_students_t():
    quantile = 4.302652729911275  # of 97.5%, two degrees of freedom
    values = [1.0, 2.0, 4.0]
    half = quantile * np.std(values, ddof=1) / np.sqrt(3.0)
    np.testing.assert_allclose(interval(values, logarithmic=False), [7 / 3 - half, 7 / 3 + half], rtol=1e-9)
    half = quantile * np.std(np.log(values), ddof=1) / np.sqrt(3.0)
    np.testing.assert_allclose(interval(values, logarithmic=True), [2 * np.exp(-half), 2 * np.exp(half)], rtol=1e-9)
    assert interval([1.0], logarithmic=False) == (None, None)
    assert interval([1.0, math.inf], logarithmic=True) == (None, None)


def comparison(*claims, **others):
    return Reproduction("toy", "paper", (Arm("arm", {}), Arm("other", {})), claims, "nothing", "nothing", **others)


@pytest.mark.parametrize(
    ("steps", "others", "expected"),
    [
        ((90, 110), {}, "reproduced"),
        ((90, 210), {}, "not reproduced"),  # the median is 150
        ((None, None), {}, "not reproduced"),
        ((90,), {}, "not decided"),  # a single seed says nothing about the next
        ((), {}, "not decided"),
        ((90, 110), {"not_comparable": "because"}, "not comparable"),
        ((90,), {"not_comparable": "because"}, "not decided"),
    ],
)
def test_the_rule_of_the_verdict(steps, others, expected):
    held = comparison(claim("solved_step", low=50, high=120), **others)
    records = {"arm": [record(seed, step) for seed, step in enumerate(steps)]}
    assert verdict(held, [compare(held, each, records) for each in held.claims]) == expected


def test_seeds_are_paired_and_a_failed_run_does_not_count():
    ratio = comparison(claim("updates_ratio", high=1.0, against="other"))
    failed = Record(record(2, 100).run, error="killed")
    records = {
        "arm": [record(0, 100), record(1, 400), failed],
        "other": [record(1, 200), record(0, 200), record(2, 200)],
    }
    found = compare(ratio, ratio.claims[0], records)
    assert (found.seeds, found.ours, found.median, found.holds) == ("0 1", "0.5 2", 1.25, False)


def test_where_neither_run_solved_nothing_is_known():
    ratio = comparison(claim("updates_ratio", high=1.0, against="other"))
    records = {"arm": [record(0), record(1, 100), record(2)], "other": [record(0), record(1, 200), record(2)]}
    found = compare(ratio, ratio.claims[0], records)
    assert (found.ours, found.median, found.low_95, found.holds) == ("nan 0.5 nan", None, None, None)


def test_an_interval_of_a_share_is_one_of_shares_and_that_of_errors_geometric():
    share = comparison(claim("best_score", high=1.0))
    rows = {"arm": [record(seed, scores=((100, score),), measure="accuracy") for seed, score in enumerate((0.8, 0.99))]}
    found = compare(share, share.claims[0], rows)
    assert found.high_95 == 1.0 and found.low_95 == 0.0
    errors = {"arm": [record(seed, scores=((100, score),)) for seed, score in enumerate((0.1, 0.2, 0.4))]}
    found = compare(share, share.claims[0], errors)
    assert found.low_95 * found.high_95 == pytest.approx(0.04) and found.low_95 > 0.0


# The command


@pytest.fixture
def toy(monkeypatch):
    options = {
        "task": "gap", "gaps": (1,), "cells": ("rnn",), "hidden_dim": 4, "embedding_dim": 4, "max_steps": 6,
        "eval_size": 16, "learning_rates": (0.01,), "seeds": (0, 1),
    }  # fmt: skip
    found = Reproduction(
        "toy", "Nobody 2000", (Arm("arm", options),), (claim("best_score", low=0.0, high=1.0),), "all", "all",
    )  # fmt: skip
    monkeypatch.setattr(reproductions, "REPRODUCTIONS", {"toy": "toy"})
    monkeypatch.setattr(reproductions, "load", lambda name, reduced=False: _only(found, reduced))
    return found


def _only(found, reduced):
    if reduced:
        raise ConfigError("reduced: none")
    return found


def test_it_trains_once_and_says_what_came_out(toy, tmp_path, capsys):
    command = ["toy", "--out", str(tmp_path), "--executor", "serial"]
    assert reproduce.main(command) == 0
    printed = capsys.readouterr().out
    assert "holds: text. Theirs: published. Ours: " in printed
    assert "toy: reproduced" in printed
    before = (tmp_path / "toy" / "claims.csv").read_bytes()
    (row,) = reproduce.read_claims(tmp_path / "toy" / "claims.csv")
    scores = [float(value) for value in row.ours.split()]
    assert row.median == pytest.approx(np.mean(scores))
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "toy" / "arm" / "records").rglob("*.*")}
    assert times
    assert reproduce.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "toy" / "arm" / "records").rglob("*.*")} == times
    assert (tmp_path / "toy" / "claims.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        ([], "names: got none; expected one or more of lem, chrono"),
        (["lme"], "unknown reproduction 'lme'"),
        (["hochreiter", "--reduced"], "hochreiter has no reduced form"),
        (["lem", "--seeds", "-1"], "seeds"),
    ],
)
def test_bad_input_is_one_line(argv, part, tmp_path, capsys):
    assert reproduce.main([*argv, "--out", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert part in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_the_list_names_all(capsys):
    assert reproduce.main(["--list"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert set(REPRODUCTIONS) <= set(printed)


def test_the_page_is_what_the_command_makes_of_committed_files():
    assert (ROOT / "docs" / "reproductions.md").read_text() == page(ROOT / "docs" / "results" / "reproductions")


def test_committed_claims_are_those_of_the_files():
    """A bound or a source that was changed after the runs would stand beside a verdict of the old ones."""
    for found in FORMS:
        path = reproduce.folder(ROOT / "docs" / "results" / "reproductions", found) / "claims.csv"
        if path.is_file():
            kept = [
                (row.text, row.published, row.source, row.measure, row.low, row.high)
                for row in reproduce.read_claims(path)
            ]
            assert kept == [
                (each.text, each.published, each.source, each.measure, each.low, each.high) for each in found.claims
            ]


# Parts of 1997


@pytest.mark.parametrize(
    ("task", "input_dim", "num_outputs", "published"),
    [(SigmoidAdding(gap=100, markers="hochreiter"), 2, 1, 93), (SigmoidOrder(gap=100), 8, 4, 156)],
    ids=["adding", "order"],
)
def test_the_nets_have_as_many_weights_as_those_of_the_paper(task, input_dim, num_outputs, published):
    assert (task.inputs.width, task.outputs.width) == (input_dim, num_outputs)
    params = MemoryBlocks(hidden_dim=4).init(jax.random.key(0), input_dim)
    assert sum(leaf.size for leaf in params) + num_outputs * (4 + 1) == published


def test_memory_blocks_are_those_of_a_loop():
    cell = MemoryBlocks(hidden_dim=4, first_bias=-3.0)
    params = cell.init(jax.random.key(0), 2)
    inputs = np.random.default_rng(0).normal(size=(7, 3, 2))
    w_ih, w_hh, bias = (np.asarray(leaf, np.float64) for leaf in params)
    np.testing.assert_allclose(bias[:2] - np.array([-3.0, -6.0]), 0.0, atol=0.1)
    hidden, state, expected = np.zeros((3, 8)), np.zeros((3, 4)), []

    def sigmoid(values):
        return 1.0 / (1.0 + np.exp(-values))

    for x in inputs:
        total = x @ w_ih + hidden @ w_hh + bias
        for unit in range(4):
            block = unit // 2
            state[:, unit] += sigmoid(total[:, block]) * (4.0 * sigmoid(total[:, 4 + unit]) - 2.0)
        output = np.stack(
            [sigmoid(total[:, 2 + c // 2]) * (2.0 * sigmoid(state[:, c]) - 1.0) for c in range(4)], axis=1
        )
        hidden = np.concatenate([sigmoid(total[:, :4]), output], axis=1)
        expected.append(output)
    found, carry = [], cell.initial_state((3,))
    for x in inputs:
        carry, output = cell.step(params, carry, jnp.asarray(x, jnp.float32))
        found.append(output)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_an_answer_is_right_if_no_unit_errs_by_three_tenths():
    outputs = np.array([[[9.0, -9.0], [0.9, -0.9], [-9.0, -9.0]]])  # sigmoid(0.9) = 0.711, sigmoid(0.8) = 0.69
    targets = np.zeros((1, 3), np.int32)
    kind = SigmoidClasses(2)
    np.testing.assert_array_equal(kind.scores(outputs, targets), [[1.0, 1.0, 0.0]])
    np.testing.assert_array_equal(kind.scores(np.where(outputs == 0.9, 0.8, outputs), targets), [[1.0, 0.0, 0.0]])
    answers = 1.0 / (1.0 + np.exp(-outputs))
    losses = 0.5 * ((answers - np.array([1.0, 0.0])) ** 2).sum(axis=-1)
    np.testing.assert_allclose(kind.losses(outputs, targets), losses, rtol=1e-6, atol=1e-7)


def test_order_is_that_of_its_symbols():
    task = SigmoidOrder(gap=20)
    batch = task.sample(jax.random.key(0), 64)
    np.testing.assert_array_equal(batch.inputs.sum(axis=-1), 1.0)
    np.testing.assert_array_equal(task.solve(np.asarray(batch.inputs)), batch.targets)
