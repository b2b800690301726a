"""Paired comparisons of runs with and without a change."""

from __future__ import annotations

import math

import pytest

from lstm_jax.analysis.rescued import RescuedRun, agreement, paired_difference, rescues


def rows_of(rescue, solved, cell="lstm", gap=40):
    return [
        RescuedRun(cell, gap, rescue, seed, 100 if each else None, 0.5, 0.01, 2000, 24)
        for seed, each in enumerate(solved)
    ]


def test_runs_are_paired_by_their_seed():
    rows = [*rows_of("", (1, 0, 0, 0)), *rows_of("rate / 4", (0, 1, 1, 1)), *rows_of("batch x8", (1, 0, 0, 0, 1))]
    slower, larger = rescues(rows)
    assert (slower.num_gained, slower.num_lost, slower.num_solved, slower.num_solved_before) == (3, 1, 3, 1)
    assert slower.change == 0.5 and slower.p_value == pytest.approx(0.625)  # 2 (1 + 4) / 2^4
    assert (larger.num_runs, larger.change, larger.p_value, larger.helps) == (4, 0.0, 1.0, False)


def test_an_interval_holds_its_difference_and_narrows_with_runs():
    for number in (4, 20, 100):
        found = paired_difference(number, 0, number)
        assert found.value == 1.0 == found.high and found.low > 0.0
    assert paired_difference(0, 0, 8).low < 0.0 < paired_difference(0, 0, 8).high
    with pytest.raises(ValueError, match="add up to no more than 8"):
        paired_difference(5, 4, 8)


@pytest.mark.parametrize(("gain", "loss"), [(0.3, 0.05), (0.6, 0.0), (0.1, 0.1), (0.9, 0.02)])
def test_coverage_by_enumeration(gain, loss):
    """Of all outcomes of 20 pairs, weighted by their probability: at least 93% of the intervals hold the truth."""
    number, covered = 20, 0.0
    for gained in range(number + 1):
        for lost in range(number + 1 - gained):
            rest = number - gained - lost
            ways = math.factorial(number) / math.prod(map(math.factorial, (gained, lost, rest)))
            found = paired_difference(gained, lost, number)
            covered += (
                ways * gain**gained * loss**lost * (1 - gain - loss) ** rest * (found.low <= gain - loss <= found.high)
            )
    assert 0.93 < covered <= 1.0


def test_whether_a_verdict_and_its_rescues_agree_is_said():
    helped = rescues([*rows_of("", [0] * 12), *rows_of("updates x8", [1] * 12), *rows_of("rate / 4", [0] * 12)])
    assert [row.helps for row in helped] == [True, False]
    assert agreement("vanished", helped[1:]).endswith("curriculum and forget bias + 3 not tried")
    assert agreement("needs more updates", helped) == "helped by updates x8, as expected"
    assert agreement("step too large", helped).endswith("rate / 4 was expected, and does not")
    assert agreement("swamped by distractors", helped).endswith("blank filler not tried")
    assert agreement("forgets by design", helped[1:]).endswith("nothing that was tried, as expected")
    assert agreement("not decided", helped) == "helped by updates x8"
    alone = rescues([*rows_of("", [0] * 20), *rows_of("curriculum", [0] * 20)])
    assert agreement("vanished", alone).endswith("curriculum was expected, and does not")
    few = rescues([*rows_of("", (0, 0, 1, 1)), *rows_of("rate / 4", (1, 1, 1, 1))])
    assert "4 runs do not decide whether rate / 4 does" in agreement("step too large", few)
