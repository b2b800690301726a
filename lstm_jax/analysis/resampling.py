"""Paired resampling of test units and of seeds; intervals and p-values from it, and p-values of many comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lstm_jax.arrays import Floats


def unit_weights(num_units: int, num_bootstrap: int, seed: int) -> Floats:
    """Draw test units (sentences, blocks) with replacement; returns their counts in each replicate [R, N].

    The same arguments give the same draws, so that all that is scored on these units is resampled alike (paired).
    """
    rng = np.random.default_rng([seed, num_units])
    drawn = rng.multinomial(num_units, np.full(num_units, 1.0 / num_units), size=num_bootstrap)
    return drawn.astype(np.float64)


def seed_shifts(values: Floats, num_bootstrap: int, seed: int) -> Floats:
    """Draw the error of the mean over seeds in each replicate [R, ...], from the values of each seed [S, ...].

    Seeds are few, and drawn with replacement they would give too narrow an interval (of 3 seeds, one that covers 75%
    and not 95%). So the shifts are as Student's t with S - 1 degrees of freedom says of the mean: with normal deviates
    g and c ~ chi2(S - 1), the values' sum weighted by (g - mean(g)) / sqrt(S c). Added to replicates over test units,
    they count the noise between seed and unit twice, so that intervals are rather too wide. One seed says nothing of
    others: there is no shift, and an interval is for that run alone.
    """
    num_seeds = len(values)
    if num_seeds < 2:
        return np.zeros((num_bootstrap, *values.shape[1:]))
    rng = np.random.default_rng([seed, num_seeds, 1])
    deviates = rng.normal(size=(num_bootstrap, num_seeds))
    scale = np.sqrt(num_seeds * rng.chisquare(num_seeds - 1, size=(num_bootstrap, 1)))
    return np.asarray(np.tensordot((deviates - deviates.mean(axis=1, keepdims=True)) / scale, values, axes=1))


def interval(value: float, replicates: Floats, confidence: float) -> tuple[float, float]:
    """Return the percentile interval of replicates [R], by order statistics, widened to hold the value itself."""
    rank = max(1, math.floor((len(replicates) + 1) * (1.0 - confidence) / 2.0))
    ordered = np.sort(replicates)
    return min(float(ordered[rank - 1]), value), max(float(ordered[-rank]), value)


def p_value(differences: Floats) -> float:
    """Return the two-sided p-value for no difference: where the percentile interval of [R] would just touch 0."""
    tail = min(int((differences <= 0.0).sum()), int((differences >= 0.0).sum()))
    return min(1.0, 2.0 * (tail + 1) / (len(differences) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's step-down method (Holm 1979), in their order."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
