"""The posterior against integrals and draws that know nothing of its grid."""

import numpy as np
import pytest
from scipy import stats

from lstm_jax.analysis.gaps.posterior import (
    GUESS,
    LAPSE_WEIGHTS,
    LAPSES,
    MARGIN,
    SPREAD_WEIGHTS,
    SPREADS,
    Posterior,
    horizons_of,
    posterior,
)
from lstm_jax.arrays import Floats

GAPS = np.array([5, 10, 20, 40, 80, 160])
OCTAVES = np.log2(GAPS)


def probability(h: Floats, b: Floats, lapse: Floats, u: Floats, x: Floats) -> Floats:
    regular = 1 - GUESS - lapse
    half = (0.5 - GUESS) / regular
    logit = b * (h - x) + np.log(half / (1 - half)) + u
    return np.asarray(GUESS + regular / (1 + np.exp(-np.clip(logit, -500, 500))))


def integrated(solved: Floats, finished: Floats, octaves: Floats, h: Floats) -> Floats:
    """The posterior at h by sums over many slopes and, for each spread, over a fine normal distribution of u."""
    b = 2.0 ** np.linspace(-1.875, 5.625, 61)[:, None, None, None]
    z = np.linspace(-5, 5, 101)
    normal = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
    total = np.zeros(len(h))
    for lapse, lapse_weight in zip(LAPSES, LAPSE_WEIGHTS, strict=True):
        for spread, spread_weight in zip(SPREADS, SPREAD_WEIGHTS, strict=True):
            p = probability(h[:, None, None], b, lapse, spread * z[:, None], octaves)  # [b, H, z, G]
            likelihood = np.ones(p.shape[:2])
            for won, there in zip(solved, finished, strict=True):
                likelihood *= np.where(there > 0, np.where(won > 0, p, 1 - p), 1.0).prod(axis=-1) @ normal
            total += lapse_weight * spread_weight * likelihood.sum(axis=0)
    return total / total.sum()


@pytest.mark.parametrize(
    "solved",
    [
        [[1, 1, 1], [1, 0, 0], [1, 1, 0]],
        [[1, 1, 0], [1, 1, 0], [1, 1, 0]],
        [[0, 1, 0], [1, 0, 1], [1, 0, 0]],
        [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
        [[0, 0, 1]],
    ],
)
def test_it_is_the_integral_over_slope_lapses_and_seeds(solved: list[list[int]]) -> None:
    outcomes, gaps = np.array(solved, dtype=float), GAPS[[0, 2, 3]]
    finished = np.ones(outcomes.shape)
    finished[-1, 1] = 0
    found = posterior(gaps, outcomes * finished, finished)
    h = horizons_of(found.gaps)
    assert (h[0], h[-1]) == pytest.approx((np.log2(5) - MARGIN, np.log2(40) + MARGIN), abs=1e-9)
    expected = integrated(outcomes, finished, np.log2(gaps), h)
    np.testing.assert_allclose(np.cumsum(found.mass), np.cumsum(expected), rtol=0, atol=0.02)


def test_of_truths_drawn_from_the_prior_each_interval_covers_its_share() -> None:
    """What Bayes' theorem says of the right posterior, and of hardly any other (Cook, Gelman & Rubin 2006)."""
    rng, covered = np.random.default_rng(0), []
    for _ in range(1500):
        h = rng.uniform(OCTAVES[0] - MARGIN, OCTAVES[-1] + MARGIN)
        spread = rng.choice(SPREADS, p=SPREAD_WEIGHTS)
        u = rng.normal(0, spread, (5, 1))
        p = probability(h, 2.0 ** rng.uniform(-1.875, 5.625), rng.choice(LAPSES, p=LAPSE_WEIGHTS), u, OCTAVES)
        found = posterior(GAPS, (rng.random(p.shape) < p).astype(float), np.ones(p.shape))
        below = float(found.mass[horizons_of(found.gaps) < h].sum())
        covered.append([below < 0.1, below < 0.5, below < 0.9])
    np.testing.assert_allclose(np.mean(covered, axis=0), [0.1, 0.5, 0.9], rtol=0, atol=0.03)  # error up to 0.013


def of(*rows: list[int]) -> Posterior:
    return posterior(GAPS[: len(rows[0])], np.array(rows, dtype=float), np.ones((len(rows), len(rows[0]))))


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
def test_an_interval_leaves_out_as_much_on_either_side(confidence: float) -> None:
    found = of(*[[1, 1, 1, 0, 0, 0]] * 4)  # the measured rates fall through one half within all three intervals
    horizons = horizons_of(found.gaps)
    width = horizons[1] - horizons[0]
    share = np.append(0.0, np.cumsum(found.mass))
    middle, low, high = found.interval(confidence)
    outside = (1.0 - confidence) / 2.0
    for place, expected in ((low, outside), (middle, 0.5), (high, 1.0 - outside)):
        index = int(np.floor((place - horizons[0]) / width + 0.5))  # each horizon stands for half a step on either side
        inside = (place - horizons[index]) / width + 0.5
        assert share[index] + inside * found.mass[index] == pytest.approx(expected, abs=1e-9)


def test_failures_where_it_is_easy_are_lapses() -> None:
    """Where all solve 20 and none 40, failures at 5 and 10 of single runs move the horizon by less than 0.1 octaves."""
    clean = of(*[[1, 1, 1, 0, 0]] * 16).interval(0.95)[0]
    lapses = of(*[[0, 1, 1, 0, 0], [1, 0, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]] * 4).interval(0.95)[0]
    assert lapses == pytest.approx(clean, abs=0.1)


def test_runs_that_are_not_there_say_nothing() -> None:
    rows = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=float)
    finished = np.ones(rows.shape)
    whole = posterior(GAPS[:4], rows, finished)
    with_absent = posterior(GAPS[:4], np.vstack([rows, np.zeros(4)]), np.vstack([finished, np.zeros(4)]))
    np.testing.assert_array_equal(with_absent.mass, whole.mass)
    assert with_absent.num_seeds == whole.num_seeds == 2
    np.testing.assert_allclose(posterior(GAPS[:4], rows[::-1], finished).mass, whole.mass, rtol=1e-12, atol=0)
    finished[:, 1] = 0
    without_gap = posterior(GAPS[:4], rows * finished, finished)
    np.testing.assert_allclose(
        without_gap.mass, posterior(GAPS[[0, 2, 3]], rows[:, [0, 2, 3]], finished[:, [0, 2, 3]]).mass
    )


def test_sides_add_up_and_more_seeds_say_more() -> None:
    below, inside, above = of([1, 1, 0, 0]).sides
    assert below + inside.sum() + above == pytest.approx(1, abs=1e-12)
    assert len(inside) == 3 * 16 + 1
    widths = []
    for number in (2, 4, 8, 16):
        middle, low, high = of(*[[1, 1, 0, 0]] * number).interval(0.95)
        assert OCTAVES[1] < middle < OCTAVES[2]
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True) and widths[-1] < 1
    ends = [of(*[[1, 1, 1, 0, 0]] * 4).interval(confidence) for confidence in (0.5, 0.95, 0.99)]
    assert ends[0][0] == ends[1][0] == ends[2][0] and ends[2][1] < ends[1][1] < ends[0][1]
    assert ends[0][2] < ends[1][2] < ends[2][2]


def test_one_lapse_at_an_easy_gap_hardly_moves_it() -> None:
    rows = [[1, 1, 1, 1, 0, 0] if seed % 2 else [1, 1, 1, 0, 0, 0] for seed in range(10)]
    clean = of(*rows).interval(0.95)
    rows[0][0] = 0
    assert of(*rows).interval(0.95) == pytest.approx(clean, abs=0.2)
