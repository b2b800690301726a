"""What changed in runs while they were blind."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_jax.analysis.drifts import LONGEST, Seen, blind_change, first_signal, median_interval, summarise

NOISE = 0.02


def run_of(seed, constants, signals, score=0.1):
    return [
        Seen(seed, 10 * place, score, constant, 0.1, 0.5 / 2**place, 0.5, signal)
        for place, (constant, signal) in enumerate(zip(constants, signals, strict=True))
    ]


def test_a_run_is_blind_until_the_moment_before_its_first_signal():
    run = run_of(0, (2.0, 4.0, 8.0, 500.0), (0.0, -0.1, 0.05, 0.4))
    assert first_signal(run, NOISE) == 30
    change = blind_change(run, NOISE)
    assert change is not None and change.memory == pytest.approx(2.0) and change.noise == pytest.approx(-2.0)


def test_a_run_that_sees_at_once_says_nothing_of_blindness():
    assert blind_change(run_of(0, (2.0, 4.0), (0.0, 0.4)), NOISE) is None
    assert blind_change(run_of(0, (2.0, 4.0), (0.4, 0.4)), NOISE) is None


def test_a_run_that_can_not_learn_is_blind_to_the_end():
    change = blind_change(run_of(0, (2.0, 4.0, float("inf")), (0.0, 0.4, 0.4)), NOISE, learns=False)
    assert change is not None and change.memory == pytest.approx(np.log2(LONGEST / 2.0))


def test_what_is_no_number_is_left_out_and_moments_may_end_early():
    assert blind_change(run_of(0, (2.0, float("nan"), float("nan")), (0.0, 0.0, 0.0)), NOISE) is None
    rows = run_of(0, (2.0, 2.0, 9.0), (0.0, 0.0, 0.0))
    until = [summarise("frozen gate", "gru", 40, 3500, 3448, 0.03, 0.99, rows, NOISE, True, end) for end in (10, None)]
    assert [row.growth for row in until] == [0.0, pytest.approx(np.log2(4.5))]


def test_the_interval_of_a_median_covers_it():
    """The order statistics of 20 that hold the median with at least 95%: the 6th and the 15th."""
    values = np.arange(20.0)
    assert median_interval(values) == (9.5, 5.0, 14.0)
    rng = np.random.default_rng(0)
    draws = [median_interval(rng.exponential(size=20)) for _ in range(1000)]
    covered = np.mean([low <= np.log(2.0) <= high for _, low, high in draws])
    assert 0.945 < covered < 0.98  # 95.9% exactly, with a standard error of 0.6%
    assert median_interval(np.array([1.0, 2.0, 4.0])) == (2.0, None, None)
    assert median_interval(np.array([])) == (None, None, None)


def test_a_summary_counts_runs_by_what_they_did():
    rows = [
        *run_of(0, (2.0, 4.0, 9.0), (0.0, 0.0, 0.4), score=1.0),
        *run_of(1, (2.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
        *run_of(2, (2.0, 2.01, 2.0), (0.0, 0.0, 0.0)),
        *run_of(3, (2.0, 90.0, 90.0), (0.0, 0.4, 0.4), score=1.0),
    ]
    row = summarise("base", "gru", 40, 3500, 3448, 0.03, 0.99, rows, NOISE)
    assert (row.num_runs, row.num_solved, row.num_blind, row.num_grew, row.num_shrank) == (4, 2, 3, 1, 1)
    assert row.growth == pytest.approx(0.0, abs=0.01) and row.growth_low is None
    assert row.first_signal is None, "half of the runs have none: the median is not known"
    assert summarise("base", "gru", 40, 3500, 3448, 0.03, 0.99, rows[:3] + rows[-3:], NOISE).first_signal == 15.0
