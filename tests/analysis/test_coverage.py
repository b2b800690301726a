"""The promises of docs/statistics.md: simulated cells whose horizon is known, and how often the interval holds it.

Each test has the Monte-Carlo error of its shares in brackets: a share is taken to break its promise where it does so by
more than twice that. `python -m benchmarks.coverage` makes the whole table.
"""

import dataclasses

import numpy as np
import pytest

from benchmarks.coverage import BETWEEN, LARGE, LAWS, QUICK, Design, measure_contrasts, measure_coverage
from experiments.gap_length import EXPERIMENT
from lstm_jax.sweeps.stages.asked import FIRST_RATES


def error_of(share: float, num_simulations: int) -> float:
    return float(np.sqrt(share * (1.0 - share) / num_simulations))


def check_coverage(design: Design, num_simulations: int) -> None:
    found = measure_coverage(design, num_simulations)
    slack = 2.0 * error_of(0.95, num_simulations)  # 1.9% of 500, 3.1% of 200
    side = 2.0 * error_of(0.025, num_simulations)  # 1.4% of 500, 2.2% of 200
    assert 0.93 - slack <= found.covered <= 0.977 + slack, found
    assert max(found.below, found.above) <= 0.04 + side, found
    assert min(found.below, found.above) >= 0.01 - side, found
    assert found.best >= 0.95 - slack and found.beyond <= 0.025 + side, found


def test_seeds_are_as_many_as_those_of_the_preset() -> None:
    """Which has two gaps fewer, and as many rates at least."""
    grid = EXPERIMENT.presets["quick"].grid
    assert (len(grid.seeds), len(grid.tuning_seeds)) == (QUICK.num_report, QUICK.num_tuning)
    assert QUICK.num_rates == len(FIRST_RATES) and set(grid.gaps) < set(QUICK.gaps)
    assert (LARGE.num_report, LARGE.num_tuning, LARGE.num_rates) == (20, 8, 7)


@pytest.mark.parametrize("law", LAWS)
def test_the_interval_covers_in_93_to_97_percent_at_the_size_of_quick(law: str) -> None:
    check_coverage(dataclasses.replace(QUICK, **LAWS[law]), 500)


@pytest.mark.parametrize("law", list(LAWS)[3:7:3])
def test_and_with_twenty_seeds_and_seven_rates(law: str) -> None:
    check_coverage(dataclasses.replace(LARGE, **LAWS[law]), 200)


def test_from_two_report_seeds_or_one_tuning_seed_it_is_calibrated() -> None:
    for design in (Design(num_report=2), Design(num_tuning=1, shorter=BETWEEN)):
        found = measure_coverage(design, 300)
        assert 0.93 <= found.covered <= 0.985 and max(found.below, found.above) <= 0.04 and found.best >= 0.94, found


def test_equal_horizons_are_rarely_called_different_and_unequal_ones_often_are() -> None:
    """Size at most 5% [1.3%], beyond the measured gaps too; power to tell a factor of 2 from 4 seeds, and from 20."""
    for design, beyond in ((QUICK, False), (QUICK, True), (dataclasses.replace(QUICK, shorter=BETWEEN), False)):
        same = measure_contrasts(design, 0.0, 300, beyond=beyond)
        assert same.best_significant <= 0.05 and min(same.covered, same.best_covered) >= 0.94, same
    assert measure_contrasts(QUICK, 1.0, 150).significant >= 0.35
    assert measure_contrasts(QUICK, 2.0, 150, beyond=True).best_significant >= 0.45
    assert measure_contrasts(LARGE, 1.0, 40).best_significant >= 0.85
