"""The gap where a falling logistic curve of log2(gap) crosses one half, for many data sets at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lstm_jax.analysis.arrays import Floats

# The penalty is a normal prior on the slope with this standard deviation, in logits per octave of the gap. At 10 the
# curve falls from 99% to 1% within one octave, so data that know their slope are hardly moved.
SLOPE_SCALE = 10.0
# This share of the runs may fail, and this share succeed, whatever the gap. Without it a single run that fails at an
# easy gap flattens the whole curve and moves the crossing (Wichmann & Hill 2001).
LAPSE = 0.03


class Crossings(NamedTuple):
    """The places where N curves cross one half, in octaves [N], and the lowest and highest value of each.

    -inf is below the measured gaps, +inf above them. `low < high` where the data say no more than that.
    """

    value: Floats
    low: Floats
    high: Floats


def fit_logistic(octaves: Floats, solved: Floats, finished: Floats) -> tuple[Floats, Floats]:
    """Fit p = LAPSE + (1 - 2 LAPSE) sigmoid(a - b x), b >= 0, with penalty b^2 / (2 SLOPE_SCALE^2).

    x is `octaves` less their mean. Args: `octaves` [G], counts `solved` and `finished` [N, G] with at least one solved
    and one not in each row. Returns a, b [N]. A row whose solve rate does not fall with the gap has b = 0.
    """
    x = octaves - octaves.mean()
    rate = solved.sum(axis=-1) / finished.sum(axis=-1)
    a, b = np.log(rate / (1.0 - rate)), np.zeros(len(solved))
    # At b = 0 the likelihood rises with b exactly if solve rates fall with the gap, and it is concave.
    falling = ((solved - finished * rate[:, None]) @ x) < -1e-9
    # Lapses make the likelihood non-concave, so they enter where the plain logistic has its one optimum.
    for lapse in (0.0, LAPSE):
        a[falling], b[falling] = _newton(x, solved[falling], finished[falling], a[falling], b[falling], lapse)
    return a, np.maximum(b, 0.0)


def _newton(x: Floats, solved: Floats, finished: Floats, a: Floats, b: Floats, lapse: float) -> tuple[Floats, Floats]:
    active = np.arange(len(a))
    for _ in range(100):
        if len(active) == 0:
            break
        probability = 1.0 / (1.0 + np.exp(np.clip(b[active, None] * x - a[active, None], -500.0, 500.0)))
        successes, failures = solved[active], (finished - solved)[active]
        if lapse > 0.0:
            # Each outcome counts by the probability that it is no lapse (a step of expectation-maximisation).
            regular = 1.0 - 2.0 * lapse
            successes = successes * (regular * probability / (lapse + regular * probability))
            failures = failures * (regular * (1.0 - probability) / (lapse + regular * (1.0 - probability)))
        counts = successes + failures
        residual = successes - counts * probability
        weight = counts * probability * (1.0 - probability)
        gradient_a = residual.sum(axis=-1)
        gradient_b = -(residual @ x) - b[active] / SLOPE_SCALE**2
        h_aa = weight.sum(axis=-1) + 1e-12
        h_ab = -(weight @ x)
        h_bb = weight @ x**2 + 1.0 / SLOPE_SCALE**2
        determinant = h_aa * h_bb - h_ab**2
        step_a = (h_bb * gradient_a - h_ab * gradient_b) / determinant
        step_b = (h_aa * gradient_b - h_ab * gradient_a) / determinant
        # Far from the optimum the curve is flat and Newton overshoots: no step moves a logit by more than 4.
        size = np.abs(step_a) + np.abs(step_b) * np.abs(x).max()
        damping = np.minimum(1.0, 4.0 / np.maximum(size, 1e-12))
        a[active] += damping * step_a
        b[active] += damping * step_b
        active = active[size > 1e-8]
    return a, b


def crossings(octaves: Floats, solved: Floats, finished: Floats) -> Crossings:
    """Find where each row of counts crosses one half, never outside the measured gaps.

    A row that is solved throughout, or crosses above the largest gap, has value and high +inf and low at the largest
    gap; below the smallest, the mirror image. A row whose solve rate does not fall with the gap is taken as flat (as
    isotonic regression would have it): above where more than half of its runs solved, else below.

    Args: `octaves` [G] ascending, counts `solved` and `finished` [N, G]; a gap with 0 finished says nothing.
    """
    value = np.full(len(solved), np.inf)
    total, successes = finished.sum(axis=-1), solved.sum(axis=-1)
    value[successes <= 0.0] = -np.inf
    mixed = np.flatnonzero((successes > 0.0) & (successes < total))
    if len(mixed) > 0:
        a, b = fit_logistic(octaves, solved[mixed], finished[mixed])
        flat = b <= 0.0
        crossing = octaves.mean() + a / np.where(flat, 1.0, b)
        value[mixed] = np.where(flat, np.where(a > 0.0, np.inf, -np.inf), crossing)
    value[value > octaves[-1]] = np.inf
    value[value < octaves[0]] = -np.inf
    low = np.where(np.isneginf(value), -np.inf, np.minimum(value, octaves[-1]))
    high = np.where(np.isposinf(value), np.inf, np.maximum(value, octaves[0]))
    return Crossings(value, low, high)


def widen_separated(found: Crossings, octaves: Floats, solved: Floats, finished: Floats) -> Crossings:
    """Widen `low` and `high` to all crossings that are equally likely where rows of counts are separated.

    Separated: every run solved up to one gap and none from the next on. Any crossing between the two is as likely as
    any other, beyond the largest gap where all solved, below the smallest where none did.
    """
    failures = finished - solved
    last_success = np.where(solved > 0.0, octaves, -np.inf).max(axis=-1)
    first_failure = np.where(failures > 0.0, octaves, np.inf).min(axis=-1)
    separated = last_success < first_failure
    low = np.where(separated, np.minimum(found.low, last_success), found.low)
    high = np.where(separated, np.maximum(found.high, first_failure), found.high)
    return Crossings(found.value, low, high)
