"""How often the intervals of horizons and of their ratios are right: `python -m benchmarks.coverage`.

Simulated sweeps of cells whose horizons are known, analysed as a sweep is, from the table of runs on. A run of a seed
with effect u at gap g, at a learning rate at which the horizon is h, solves with probability

    p = (1 - lapse) σ(slope (h - log2 g) + c + u),   u ~ N(0, seed_effect²),   c: p = 1/2 where log2 g = h and u = 0.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks.options import options
from lstm_jax.analysis.gaps.contrasts import difference
from lstm_jax.analysis.gaps.horizon import Evidence, evidence_of
from lstm_jax.arrays import Floats
from lstm_jax.sweeps.stages.run_table import RunTable

BUDGET = 2000.0
TUNING_SEED = 100


@dataclasses.dataclass(frozen=True)
class Design:
    """A sweep to simulate: what is measured, and how its cells behave.

    The horizon at the best rate is drawn from the measured octaves less `margin` on either side, the slope in logits
    per octave from `slopes`, log-uniformly. At the other rates the horizon is `shorter` by so many octaves, drawn from
    one of these ranges. `absent` is the share of runs that crashed or are missing, `lapse` that of runs that fail
    at any gap.
    """

    num_report: int = 4
    num_tuning: int = 2
    num_rates: int = 3
    num_gaps: int = 6
    shorter: tuple[tuple[float, float], ...] = ((3.0, 6.0), (0.0, 0.05))
    slopes: tuple[float, float] = (1.0, 8.0)
    margin: float = 1.0
    seed_effect: float = 0.5
    absent: float = 0.04
    lapse: float = 0.0

    @property
    def gaps(self) -> tuple[int, ...]:
        """From 5 by octaves."""
        return tuple(5 * 2**octave for octave in range(self.num_gaps))

    @property
    def rates(self) -> Floats:
        """Learning rates."""
        return np.asarray(1e-3 * 2.0 ** np.arange(self.num_rates))

    @property
    def seeds(self) -> list[int]:
        """Report seeds, then tuning seeds."""
        return [*range(self.num_report), *self.tuning_seeds]

    @property
    def tuning_seeds(self) -> range:
        """From 100."""
        return range(TUNING_SEED, TUNING_SEED + self.num_tuning)


QUICK = Design()
"""The sizes of the preset `quick`."""
LARGE = Design(num_report=20, num_tuning=8, num_rates=7, num_gaps=7)
SIZES: Mapping[str, Design] = {
    "4 report, 2 tuning, 3 rates, 6 gaps": QUICK,
    "8, 3, 7, 7": Design(8, 3, 7, 7),
    "20, 8, 7, 7": LARGE,
    "4, 1, 3, 6": Design(4, 1),
    "2, 2, 3, 6": Design(2, 2),
}
CLEAR, TIED, BETWEEN = (((3.0, 6.0),), ((0.0, 0.05),), ((0.3, 1.5),))
LAWS: Mapping[str, dict[str, Any]] = {
    "mixed: half of each of the next two": {},
    "one rate clearly best": {"shorter": CLEAR},
    "rates nearly tied": {"shorter": TIED},
    "rates in between": {"shorter": BETWEEN},
    "horizon up to 2 octaves outside the gaps": {"shorter": TIED, "margin": -2.0},
    "steep: slope 8 to 40": {"shorter": TIED, "slopes": (8.0, 40.0)},
    "shallow: slope 0.4 to 1": {"shorter": CLEAR, "slopes": (0.4, 1.0)},
    "5% fail at any gap": {"shorter": TIED, "lapse": 0.05},
}
OTHER_LAWS: Mapping[str, dict[str, Any]] = {
    "seeds differ twice as much": {"seed_effect": 1.0},
    "seeds differ four times as much": {"seed_effect": 2.0},
    "20% fail at any gap": {"lapse": 0.2},
}


PAIRS = (
    ("mixed", Design.shorter, 0.0, False),
    ("in between", BETWEEN, 0.0, False),
    ("the greater up to 2 octaves beyond", Design.shorter, 0.0, True),
    ("mixed", Design.shorter, 1.0, False),
    ("in between", BETWEEN, 1.0, False),
    ("mixed", Design.shorter, 2.0, False),
    ("the greater up to 2 octaves beyond", Design.shorter, 2.0, True),
)
"""Of two cells: the law, how much shorter at other rates, how many octaves apart, and whether beyond the gaps."""


class Cell(NamedTuple):
    """A simulated cell: its horizon at each rate [L], in octaves, and its slope in logits per octave."""

    horizons: Floats
    slope: float


def draw_cell(design: Design, rng: np.random.Generator, horizon: float | None = None) -> Cell:
    """Draw a cell, with this horizon at its best rate if one is given."""
    octaves = np.log2(design.gaps)
    slope = math.exp(rng.uniform(*np.log(design.slopes)))
    drawn = rng.uniform(octaves[0] + design.margin, octaves[-1] - design.margin)
    shorter = rng.uniform(*design.shorter[rng.integers(len(design.shorter))], size=design.num_rates)
    shorter[rng.integers(design.num_rates)] = 0.0
    return Cell((drawn if horizon is None else horizon) - shorter, slope)


def draw_effects(design: Design, rng: np.random.Generator) -> Floats:
    """Draw the effects of the seeds [S], in logits."""
    return np.asarray(rng.normal(0.0, design.seed_effect, len(design.seeds)))


def simulate(design: Design, cell: Cell, effects: Floats, rng: np.random.Generator, label: str = "lstm") -> RunTable:
    """Simulate the runs of a cell."""
    half = 0.5 / (1.0 - design.lapse)
    distance = cell.horizons - np.log2(design.gaps)[:, None]
    logit = cell.slope * distance + math.log(half / (1.0 - half)) + effects[:, None, None]
    probability = (1.0 - design.lapse) / (1.0 + np.exp(-np.clip(logit, -500.0, 500.0)))
    finished = (rng.random(probability.shape) >= design.absent).astype(np.float64)
    solved = (rng.random(probability.shape) < probability) * finished
    # The likelier a run is to solve, the sooner it does.
    steps = np.ceil(BUDGET * np.exp(np.minimum(0.0, rng.normal(0.0, 0.3, probability.shape) - 1.5 * probability)))
    return RunTable(
        label,
        np.array(design.seeds),
        np.array(design.gaps),
        design.rates,
        finished,
        solved,
        np.where(solved > 0.0, steps, BUDGET) * finished,
        scored=np.zeros(finished.shape),
        progress=np.zeros(finished.shape),
    )


class Coverage(NamedTuple):
    """Shares of simulations, and a median.

    `covered`: the interval holds the horizon at the tuned rate, which lies `below` it or `above` it else; `best`:
    [ci_low, best_high] holds that at the best rate, which lies `beyond` it else; the interval's `width` in octaves
    within the measured gaps.
    """

    covered: float
    below: float
    above: float
    best: float
    beyond: float
    width: float


def measure_coverage(design: Design, num_simulations: int) -> Coverage:
    """Ask how often the 95% interval covers the true horizon; an open end covers all beyond it."""
    rng = np.random.default_rng(0)
    first, last = np.log2(design.gaps[0]), np.log2(design.gaps[-1])
    rows = []
    for _ in range(num_simulations):
        cell = draw_cell(design, rng)
        (found,) = evidence_of([simulate(design, cell, draw_effects(design, rng), rng)], design.tuning_seeds)
        truth, best = _truth(design, cell, found), float(cell.horizons.max())
        _, low, high = found.tuned.interval(0.95)
        beyond = max(rival.interval(0.95)[2] for rival in found.rivals)
        width = min(high, last) - max(low, first)
        rows.append((low <= truth <= high, truth < low, truth > high, low <= best <= beyond, best > beyond, width))
    columns = np.array(rows, dtype=np.float64)
    return Coverage(*columns[:, :-1].mean(axis=0).tolist(), float(np.median(columns[:, -1])))


class Comparison(NamedTuple):
    """Shares of simulations of two cells: the interval covers the difference, p < 0.05; both of the best rates too."""

    covered: float
    significant: float
    best_covered: float
    best_significant: float


def measure_contrasts(design: Design, octaves: float, num_simulations: int, *, beyond: bool = False) -> Comparison:
    """Compare two cells whose best horizons are `octaves` apart and which share the effects of their seeds.

    The greater horizon lies in the measured octaves less one at either side, or from one below to two above the last.
    """
    rng = np.random.default_rng(0)
    last = np.log2(design.gaps[-1])
    rows = []
    for _ in range(num_simulations):
        greater = rng.uniform(last - 1.0, last + 2.0) if beyond else None
        a = draw_cell(design, rng, greater)
        b = draw_cell(design, rng, float(a.horizons.max()) - octaves)
        effects = draw_effects(design, rng)
        tables = [simulate(design, cell, effects, rng, name) for name, cell in (("a", a), ("b", b))]
        found = evidence_of(tables, design.tuning_seeds)
        at_tuned = _truth(design, a, found[0]) - _truth(design, b, found[1])
        low, high, p_value = difference((found[0].tuned,), (found[1].tuned,))
        best_low, best_high, best_p_value = difference(found[0].rivals, found[1].rivals)
        covered = (low <= at_tuned <= high, best_low <= octaves <= best_high)
        rows.append((covered[0], p_value < 0.05, covered[1], best_p_value < 0.05))
    return Comparison(*np.array(rows, dtype=np.float64).mean(axis=0).tolist())


def _truth(design: Design, cell: Cell, found: Evidence) -> float:
    """The horizon at the tuned rate."""
    return float(cell.horizons[design.rates.tolist().index(found.learning_rate)])


@dataclasses.dataclass(frozen=True)
class Options:
    """How often the intervals of horizons cover the truth, and how often contrasts find it: the tables in docs/."""

    simulations: int = 1000
    """Simulated sweeps in each row."""


def main() -> None:
    """Print the tables of docs/statistics.md."""
    num = options(Options, "coverage").simulations
    print("| sweep | cell | covers | below | above | width (octaves) | best rate: covers | above |")
    print("|---|---|---|---|---|---|---|---|")
    for size, base in SIZES.items():
        for law, changes in LAWS.items():
            _print_coverage(size, law, measure_coverage(dataclasses.replace(base, **changes), num))
    for law, changes in OTHER_LAWS.items():
        for size in ("4 report, 2 tuning, 3 rates, 6 gaps", "20, 8, 7, 7"):
            _print_coverage(size, law, measure_coverage(dataclasses.replace(SIZES[size], **changes), num))
    print("\n| sweep | cells | ratio | covers | p < 0.05 | best rates: covers | p < 0.05 |")
    print("|---|---|---|---|---|---|---|")
    for size, base in itertools.islice(SIZES.items(), 3):
        for law, shorter, octaves, beyond in PAIRS:
            result = measure_contrasts(dataclasses.replace(base, shorter=shorter), octaves, num, beyond=beyond)
            print(
                f"| {size} | {law} | {2.0**octaves:.0f} | {' | '.join(f'{share:.1%}' for share in result)} |",
                flush=True,
            )


def _print_coverage(size: str, law: str, found: Coverage) -> None:
    shares = [f"{share:.1%}" for share in found[:5]]
    print(f"| {size} | {law} | {' | '.join([*shares[:3], f'{found.width:.2f}', *shares[3:]])} |", flush=True)


if __name__ == "__main__":
    main()
