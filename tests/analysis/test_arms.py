"""The order of cells in an arm, and scores at gaps that runs were not trained at."""

from __future__ import annotations

import math

import pytest

from lstm_jax.analysis.gaps.arms import places, shorter_of
from lstm_jax.analysis.gaps.contrasts import Contrast
from lstm_jax.analysis.gaps.generalization import generalization
from lstm_jax.analysis.gaps.horizon import Horizon


def horizon(cell, value=10.0):
    return Horizon(cell, 0.01, value, None, None, "", None, 1.0, 4)


def contrast(a, b, low=None, high=None, p_value=0.5):
    return Contrast(a, b, None, "", low, high, p_value, None, None, None)


@pytest.mark.parametrize(
    ("pair", "shorter"),
    [
        (contrast("a", "b", low=1.5, p_value=0.01), "b"),
        (contrast("a", "b", high=0.7, p_value=0.01), "a"),
        (contrast("a", "b", low=1.5, high=3.0, p_value=0.05), None),  # corrected for the other pairs
        (contrast("a", "b", low=0.5, high=3.0), None),
        (contrast("a", "b", low=1.5, p_value=None), None),  # one seed
    ],
)
def test_only_what_is_told_apart_is_shorter(pair, shorter):
    assert shorter_of(pair) == shorter


def test_a_place_counts_those_that_reach_significantly_further():
    pairs = [
        contrast("rnn", "gru", high=0.5, p_value=0.001),
        contrast("rnn", "lstm", low=0.8, high=1.4),
        contrast("gru", "lstm", low=1.2, p_value=0.02),
    ]
    rows = places("blank", "gap@filler=blank", [horizon("rnn"), horizon("gru", 80.0), horizon("lstm")], pairs)
    assert [(row.place, row.cell) for row in rows] == [(1, "gru"), (2, "rnn"), (2, "lstm")]
    assert {row.task for row in rows} == {"gap@filler=blank"} and rows[0].horizon == 80.0


def test_scores_at_another_gap():
    row = generalization(
        "lstm", 0.01, (10, 20), [1.0, 0.99, 0.5, math.nan], chance=0.125, solved_at=0.99, measure="accuracy"
    )
    assert (row.trained_gap, row.tested_gap, row.num_runs, row.num_solved, row.solve_rate) == (10, 20, 4, 2, 0.5)
    assert (row.score_low, row.score_high) == (0.125, 1.0), "not a number: as good as guessing"
    assert row.score == pytest.approx((1.0 + 0.99 + 0.5 + 0.125) / 4)
    assert row.ci_low == pytest.approx(0.15004, abs=1e-4), "Wilson: 0.5 - z sqrt(0.25 n + z^2 / 4) / (n + z^2)"


def test_an_error_is_better_the_lower():
    row = generalization("lstm", 0.01, (10, 20), [0.001, 0.2], chance=1.0, solved_at=0.01, measure="mse")
    assert (row.num_solved, row.score_low, row.score_high) == (1, 0.2, 0.001)
    with pytest.raises(ValueError, match="expected the score of at least one run, got none"):
        generalization("lstm", 0.01, (10, 20), [], chance=1.0, solved_at=0.01, measure="mse")
