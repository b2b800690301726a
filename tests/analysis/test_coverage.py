"""The promise of docs/statistics.md: simulated cells whose horizon is known, and how often the interval holds it."""

import dataclasses

from simulate import FULL, QUICK, Design, measure_contrasts, measure_coverage


def test_the_interval_covers_the_horizon_in_93_to_97_percent_of_1000_simulations() -> None:
    assert {FULL.num_report, len(FULL.gaps), FULL.num_rates, FULL.num_tuning} == {30, 10, 3, 5}
    assert min(FULL.missing, FULL.failed, FULL.diverged) > 0.0
    result = measure_coverage(FULL, num_simulations=1000, num_bootstrap=300)
    assert 0.93 <= result.covered <= 0.97
    # Neither side takes all of the misses, and the interval is no wider than the distance of two gaps.
    assert max(result.below, result.above) <= 0.04
    assert result.width < 0.96


def test_steep_curves_and_few_seeds_are_covered_too() -> None:
    for design in (dataclasses.replace(FULL, slopes=(8.0, 40.0)), QUICK):
        assert measure_coverage(design, num_simulations=150, num_bootstrap=200).covered >= 0.91


def test_equal_horizons_are_rarely_called_different_and_unequal_ones_mostly_are() -> None:
    design: Design = dataclasses.replace(FULL, num_rates=1, num_tuning=0, landscapes=("tied",))
    same = measure_contrasts(design, 0.0, num_simulations=200, num_bootstrap=200)
    assert same.compared == 200
    assert same.significant <= 0.08
    assert same.covered >= 0.92
    apart = measure_contrasts(design, 1.0, num_simulations=100, num_bootstrap=200)
    assert apart.significant >= 0.8
    assert apart.covered >= 0.9
