"""The posterior of a horizon on a grid, from which runs solved at one learning rate: no replicates, no random numbers.

A run of seed s at gap g solves with probability

    p = γ + (1 - γ - λ) σ(b (h - log2 g) + c + u_s),   u_s ~ N(0, τ²),   c: p = 1/2 where log2 g = h and u_s = 0

(a psychometric function: Wichmann & Hill 2001; with seeds as random effects). A priori h is uniform from MARGIN octaves
below the measured gaps to as many above, the slope b log-uniform, and the share λ that fails at any gap and the spread
τ of seeds have a few values each. The posterior of h is a sum over all of them, and over u by Gauss-Hermite quadrature.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from lstm_jax.arrays import Floats, Integers

MARGIN = 1.0
"""Octaves beyond the measured gaps where a horizon may lie. What is found there is an open end or a bound."""
STEPS = 16
"""Horizons per octave on the grid."""
GUESS = 0.005
"""γ, the share of runs that solve at any gap."""
SLOPES = 2.0 ** np.arange(-1.5, 5.3, 0.75)
"""b in logits per octave: 0.35 to 38, all as likely."""
LAPSES, LAPSE_WEIGHTS = np.array([0.005, 0.05, 0.15]), np.array([0.6, 0.3, 0.1])
"""λ and its prior."""
SPREADS, SPREAD_WEIGHTS = np.array([0.25, 0.75, 2.0]), np.array([0.45, 0.3, 0.25])
"""τ in logits and its prior."""
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_ABSENT = -1
_ROUNDING = 1e-9


class Posterior(NamedTuple):
    """The probability `mass` [H] that log2 of the horizon lies at `horizons_of(gaps)` [H], and the data that it is of.

    `gaps` [G] are the log2 of those measured, at which `solved` of `finished` runs [G] of `num_seeds` seeds did.
    """

    gaps: tuple[float, ...]
    mass: Floats
    solved: Floats
    finished: Floats
    num_seeds: int

    @property
    def sides(self) -> tuple[float, Floats, float]:
        """The probabilities of below the measured gaps, of each step within them, and above."""
        below, above = np.searchsorted(horizons_of(self.gaps), (self.gaps[0] - _ROUNDING, self.gaps[-1] + _ROUNDING))
        return float(self.mass[:below].sum()), self.mass[below:above], float(self.mass[above:].sum())

    def interval(self, confidence: float) -> tuple[float, float, float]:
        """Return the median and the ends of a central interval in octaves, each infinite beyond the measured gaps.

        The interval holds every place where the measured rates, joined by straight lines over octaves, fall through one
        half, and is open beyond a last gap that half of the runs solve: where rates rise with the gap, which no curve
        of the model does, it is wider than the model has it. From one seed both ends are open: it says nothing of
        others.
        """
        first, last = self.gaps[0], self.gaps[-1]
        edges = np.append(horizons_of(self.gaps), last + MARGIN + 1.0 / STEPS) - 0.5 / STEPS
        shares = (0.5, (1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0)
        found = np.interp(shares, np.append(0.0, np.cumsum(self.mass)), edges).tolist()
        middle, low, high = (-math.inf if x < first else math.inf if x > last else x for x in found)
        if self.num_seeds < 2:
            return middle, -math.inf, math.inf
        rates = (self.solved / self.finished).tolist()
        steps = zip(itertools.pairwise(self.gaps), itertools.pairwise(rates), strict=True)
        falls = [x + (y - x) * (p - 0.5) / (p - q) for (x, y), (p, q) in steps if p >= 0.5 > q]
        falls += [math.inf] if rates[-1] >= 0.5 else []
        return middle, min(low, last, *falls), max(high, first, *falls)


def posterior(gaps: Integers, solved: Floats, finished: Floats) -> Posterior:
    """Return the posterior of the horizon from outcomes [S, G] of seeds at `gaps` [G], ascending.

    `solved` and `finished` are 0 or 1. A run that is not finished says nothing, nor does a gap without any that is.
    """
    measured = finished.any(axis=0)
    octaves, solved, finished = tuple(np.log2(gaps[measured]).tolist()), solved[:, measured], finished[:, measured]
    total = np.zeros((len(_weights()), len(horizons_of(octaves))))
    for row in np.where(finished > 0.0, solved, _ABSENT).astype(np.int8):
        total += _log_likelihood(octaves, row.tobytes())
    mass = _weights() @ np.exp(total - total.max())
    num_seeds = int(finished.any(axis=1).sum())
    return Posterior(octaves, mass / mass.sum(), solved.sum(axis=0), finished.sum(axis=0), num_seeds)


@functools.lru_cache(maxsize=8)
def horizons_of(gaps: tuple[float, ...]) -> Floats:
    """Return the horizons on the grid of these gaps [H], all in octaves."""
    return np.asarray(np.arange(gaps[0] - MARGIN, gaps[-1] + MARGIN + 0.5 / STEPS, 1.0 / STEPS))


@functools.cache
def _weights() -> Floats:
    """The prior [N] of b, λ and τ, in the order of `_log_probabilities`."""
    return np.asarray(np.einsum("b,l,t->blt", np.ones(len(SLOPES)), LAPSE_WEIGHTS, SPREAD_WEIGHTS).ravel())


@functools.lru_cache(maxsize=8)
def _log_probabilities(gaps: tuple[float, ...]) -> tuple[Floats, Floats]:
    """log p and log (1 - p) [G, N * H * K] at every b, λ and τ, horizon and node of u."""
    b, lapse, spread = (each.ravel()[:, None, None] for each in np.meshgrid(SLOPES, LAPSES, SPREADS, indexing="ij"))
    regular = 1.0 - GUESS - lapse
    half = (0.5 - GUESS) / regular
    distance = horizons_of(gaps)[:, None] - np.array(gaps)[:, None, None, None]
    p = GUESS + regular * expit(b * distance + np.log(half / (1.0 - half)) + spread * _NODES)
    return np.log(p).reshape(len(gaps), -1), np.log1p(-p).reshape(len(gaps), -1)


@functools.lru_cache(maxsize=1024)
def _log_likelihood(gaps: tuple[float, ...], outcomes: bytes) -> Floats:
    """The log likelihood [N, H] of one seed's outcomes at the gaps; seeds often agree."""
    log_p, log_q = _log_probabilities(gaps)
    row = np.frombuffer(outcomes, np.int8)
    each = np.exp((row == 1) @ log_p + (row == 0) @ log_q)
    nodes = each.reshape(len(_weights()), -1, len(_NODES)) @ (_NODE_WEIGHTS / _NODE_WEIGHTS.sum())
    return np.asarray(np.log(nodes))
