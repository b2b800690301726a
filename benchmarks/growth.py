"""How often the verdict on growth is wrong: python -m benchmarks.growth [--simulations 1000].

Each run has one uniform number, which decides whether it solves by half the budget, by the whole, or not: so outcomes
are nested, as those of real runs. Slopes, lapses and effects of seeds are drawn anew for each cell.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.special import expit

from benchmarks.options import options
from lstm_jax.analysis.gaps.growth import Verdict, growth_of, verdict_of
from lstm_jax.arrays import Floats

SIZES = {"4 report seeds, 4 gaps": (4, 10 * 2 ** np.arange(4)), "20, 7": (20, 5 * 2 ** np.arange(7))}
"""Those of quick and reference."""
GROWN = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0)
"""Octaves from half the budget to the whole."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How often the verdict on growth is wrong."""

    simulations: int = 1000
    """Cells drawn for a row of the table."""


def outcomes_of(rng: np.random.Generator, num_seeds: int, gaps: Floats, grown: float) -> Floats:
    """Draw a cell and its runs [S, G]: 2 solved by half the budget, 1 by the whole, 0 not at all.

    Its horizon at half the budget lies within the gaps.
    """
    octaves = np.log2(gaps)
    horizon = rng.uniform(octaves[0], octaves[-1])
    slope, lapse, spread = 2.0 ** rng.uniform(-0.5, 4.0), rng.choice([0.0, 0.02, 0.08]), rng.choice([0.0, 0.5, 1.0])
    effects, uniform = rng.normal(0.0, spread, (num_seeds, 1)), rng.random((num_seeds, len(gaps)))
    by_half, by_end = (
        (1.0 - lapse) * expit(slope * (reach - octaves) + math.log(1.0 / (1.0 - 2.0 * lapse)) + effects)
        for reach in (horizon, horizon + grown)
    )
    return np.asarray((uniform < by_half).astype(np.float64) + (uniform < by_end))


def shares(size: str, grown: float, simulations: int, seed: int = 0) -> dict[Verdict, float]:
    """Return how often each verdict was given."""
    rng, (num_seeds, gaps) = np.random.default_rng(seed), SIZES[size]
    verdicts = [
        verdict_of(*growth_of(gaps, outcomes_of(rng, num_seeds, gaps, grown), np.ones((num_seeds, len(gaps)))))
        for _ in range(simulations)
    ]
    names: tuple[Verdict, ...] = ("still growing", "settled", "not known")
    return {name: verdicts.count(name) / simulations for name in names}


def main() -> None:
    """Print the table of docs/statistics.md."""
    simulations = options(Options, "growth").simulations
    print("| size | grown by (octaves) | still growing | settled | not known |\n|---|---:|---:|---:|---:|")
    for size in SIZES:
        for grown in GROWN:
            found = " | ".join(f"{share:.1%}" for share in shares(size, grown, simulations).values())
            print(f"| {size} | {grown:g} | {found} |", flush=True)


if __name__ == "__main__":
    main()
