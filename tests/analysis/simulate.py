"""Runs of a cell whose horizon is known, and how often the intervals cover it: `python -m tests.analysis.simulate`."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
from collections.abc import Iterator
from typing import Literal, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from lstm_jax.analysis.arrays import Integers
from lstm_jax.analysis.gaps import bootstrap
from lstm_jax.analysis.gaps.horizon import contrasts, horizons
from lstm_jax.analysis.gaps.logistic import Crossings
from lstm_jax.analysis.gaps.run_table import RunTable
from lstm_jax.sweeps.store.records import Run, Status

Floats = NDArray[np.float64]
BUDGET = 2000
CHANCE = 0.125
TUNING_SEED = 100

# How many octaves the horizon is shorter at the learning rates that are not the best.
Landscape = Literal["clear", "tied", "between"]
SHORTER: dict[Landscape, tuple[float, float]] = {"clear": (3.0, 6.0), "tied": (0.0, 0.05), "between": (0.3, 1.5)}


LANDSCAPES: tuple[tuple[str, Landscape], ...] = (("one rate clearly best", "clear"), ("rates nearly tied", "tied"))


@dataclasses.dataclass(frozen=True)
class Design:
    """A sweep to simulate: what is measured, and how the cell behaves.

    `slopes` is the range, in logits per octave, that the steepness is drawn from (log-uniformly); the true horizon is
    drawn from the measured octaves less `margin` on either side. `lapse` is the share of runs that fail at any gap.
    """

    gaps: tuple[int, ...]
    num_report: int
    num_tuning: int
    num_rates: int = 3
    landscapes: tuple[Landscape, ...] = ("clear", "tied")
    slopes: tuple[float, float] = (1.0, 8.0)
    margin: float = 1.0
    seed_effect: float = 0.5
    missing: float = 0.02
    failed: float = 0.02
    diverged: float = 0.15
    lapse: float = 0.0

    @property
    def tuning_seeds(self) -> range:
        return range(TUNING_SEED, TUNING_SEED + self.num_tuning)


FULL = Design(gaps=(5, 10, 19, 37, 72, 140, 272, 529, 1029, 2000), num_report=30, num_tuning=5)
QUICK = Design(gaps=(5, 10, 20, 40, 80, 160), num_report=3, num_tuning=2)


def make_run(
    cell: str = "lstm",
    gap: int = 10,
    seed: int = 0,
    learning_rate: float = 1e-3,
    status: Status = "unsolved",
    solved_step: int | None = None,
    steps: int = BUDGET,
    score: float | None = 0.5,
) -> Run:
    """Make a run of which only these columns matter."""
    return Run(
        job="job",
        cell=cell,
        task="gap",
        gap=gap,
        seed=seed,
        learning_rate=learning_rate,
        hidden_dim=64,
        num_params=1000,
        forget_bias=None,
        status=status,
        solved_step=solved_step,
        steps=steps,
        score=score,
        loss=None,
        chance=CHANCE,
        duration_seconds=1.0,
    )


class Cell(NamedTuple):
    """A simulated cell: at the best learning rate, logit P(solve) = -slope (octave - horizon) + seed's effect."""

    horizon: float
    slope: float
    shorter: Floats


def draw_cell(design: Design, rng: np.random.Generator) -> Cell:
    """Draw what the interval shall cover: at the horizon, half of the runs at the best learning rate learn."""
    low, high = math.log2(design.gaps[0]) + design.margin, math.log2(design.gaps[-1]) - design.margin
    slope = math.exp(rng.uniform(math.log(design.slopes[0]), math.log(design.slopes[1])))
    middle = rng.uniform(low, high)
    landscape = design.landscapes[rng.integers(len(design.landscapes))]
    shorter = rng.uniform(*SHORTER[landscape], size=design.num_rates)
    shorter[rng.integers(design.num_rates)] = 0.0
    # With lapses the curve falls from 1 - lapse, and crosses one half earlier than the curve without.
    half = 0.5 / (1.0 - design.lapse)
    return Cell(middle - math.log(half / (1.0 - half)) / slope, slope, shorter)


def solve_probability(design: Design, cell: Cell, effect: Floats) -> Floats:
    """Return the probability [S, G, L] that a run with this seed's effect solves."""
    half = 0.5 / (1.0 - design.lapse)
    middle = cell.horizon + math.log(half / (1.0 - half)) / cell.slope
    logit = effect[:, None, None] - cell.slope * (np.log2(design.gaps)[:, None] - middle + cell.shorter)
    return np.asarray((1.0 - design.lapse) / (1.0 + np.exp(-np.clip(logit, -500.0, 500.0))))


def simulate_runs(
    design: Design, cell: Cell, rng: np.random.Generator, label: str = "lstm", effect: Floats | None = None
) -> list[Run]:
    """Simulate the runs of a cell; `effect` [S] are the seeds' effects, report seeds first, drawn where not given."""
    seeds = [*range(design.num_report), *design.tuning_seeds]
    rates = np.geomspace(1e-3, 1e-2, design.num_rates)
    shape = (len(seeds), len(design.gaps), design.num_rates)
    if effect is None:
        effect = rng.normal(0.0, design.seed_effect, len(seeds))
    probability = solve_probability(design, cell, effect)
    solved = rng.random(shape) < probability
    fate = rng.random(shape)
    crashed = fate < design.failed
    present = fate < 1.0 - design.missing
    diverged = ~solved & (rng.random(shape) < design.diverged)
    # The likelier a run is to solve, the sooner it does.
    steps = np.clip(BUDGET * np.exp(rng.normal(0.0, 0.3, shape) - 1.5 * probability), 1, BUDGET)
    accuracy = np.where(solved, 0.99 + 0.01 * rng.random(shape), CHANCE + 0.1 * rng.random(shape))
    runs = []
    template = vars(make_run(cell=label))
    for s, g, r in np.argwhere(present).tolist():
        status: Status = "solved" if solved[s, g, r] else "diverged" if diverged[s, g, r] else "unsolved"
        if crashed[s, g, r]:
            status = "failed"
        learned = status == "solved"
        step = int(steps[s, g, r])
        # Not by its constructor: under pytest each call of it is type-checked, and there are a million.
        run = object.__new__(Run)
        vars(run).update(
            template,
            gap=design.gaps[g],
            seed=seeds[s],
            learning_rate=float(rates[r]),
            status=status,
            solved_step=step if learned else None,
            steps=step if learned else BUDGET // 4 if status == "diverged" else BUDGET,
            score=None if status in ("diverged", "failed") else float(accuracy[s, g, r]),
        )
        runs.append(run)
    return runs


class Coverage(NamedTuple):
    """Shares of simulations: the interval covers, the truth is below it, above it; and its median width in octaves."""

    covered: float
    below: float
    above: float
    width: float


def measure_coverage(design: Design, num_simulations: int = 1000, num_bootstrap: int = 400, seed: int = 0) -> Coverage:
    """Simulate sweeps and ask how often the 95% interval covers the true horizon; an open end covers all beyond it."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(num_simulations):
        cell = draw_cell(design, rng)
        runs = simulate_runs(design, cell, rng)
        (found,) = horizons(runs, design.tuning_seeds, num_bootstrap=num_bootstrap, seed=index)
        low = -math.inf if found.ci_low is None else math.log2(found.ci_low)
        high = math.inf if found.ci_high is None else math.log2(found.ci_high)
        width = min(high, math.log2(design.gaps[-1])) - max(low, math.log2(design.gaps[0]))
        rows.append((low <= cell.horizon <= high, cell.horizon < low, cell.horizon > high, width))
    columns = np.array(rows, dtype=np.float64)
    covered, below, above = columns[:, :3].mean(axis=0).tolist()
    return Coverage(covered, below, above, float(np.median(columns[:, 3])))


class Comparison(NamedTuple):
    """Shares of simulations of two cells: the interval covers the ratio; p < 0.05; and how many had a ratio at all."""

    covered: float
    significant: float
    compared: int


def measure_contrasts(
    design: Design, octaves: float, num_simulations: int = 1000, num_bootstrap: int = 400, seed: int = 0
) -> Comparison:
    """Simulate two cells whose horizons are `octaves` apart and which share the effects of their seeds."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(num_simulations):
        a = draw_cell(design, rng)
        b = draw_cell(design, rng)._replace(horizon=a.horizon - octaves)
        effect = rng.normal(0.0, design.seed_effect, design.num_report + design.num_tuning)
        runs = simulate_runs(design, a, rng, "a", effect) + simulate_runs(design, b, rng, "b", effect)
        for pair in contrasts(runs, design.tuning_seeds, num_bootstrap=num_bootstrap, seed=index):
            low = 0.0 if pair.ci_low is None else pair.ci_low
            high = math.inf if pair.ci_high is None else pair.ci_high
            rows.append((low <= 2.0**octaves <= high, pair.p_value < 0.05))
    covered, significant = np.array(rows, dtype=np.float64).mean(axis=0)
    return Comparison(float(covered), float(significant), len(rows))


@contextlib.contextmanager
def without(*additions: int) -> Iterator[None]:
    """Take out additions 1, 2, 3 of docs/statistics.md to the bootstrap of the fitted crossing."""

    def as_found(found: Crossings, *_: Floats) -> Crossings:
        return Crossings(found.value, found.value, found.value)

    def not_shrunken(report: RunTable, chosen: Integers) -> Floats:
        each = np.arange(len(report.gaps))
        both = report.finished * report.finished[:, each, chosen][..., None]
        difference = (report.solved - report.solved[:, each, chosen][..., None]) * both
        return np.asarray(difference.sum(axis=0) / np.maximum(both.sum(axis=0), 1.0))

    patches: dict[int, tuple[str, object]] = {
        1: ("widen_separated", as_found),
        2: ("PRIOR_SEEDS", 0.0),
        3: ("_shrunken_differences", not_shrunken),
    }
    with contextlib.ExitStack() as stack:
        for addition in additions:
            stack.enter_context(mock.patch.object(bootstrap, *patches[addition]))
        yield


def main() -> None:
    """Print the tables of docs/statistics.md."""
    full7 = dataclasses.replace(FULL, num_rates=7)
    quick5 = dataclasses.replace(QUICK, num_report=5)
    sizes = [("full, 3 rates", FULL), ("full, 7 rates", full7), ("quick, 3 seeds", QUICK), ("quick, 5 seeds", quick5)]
    print("| sweep | cell | covers | truth below | truth above | width (octaves) | plain bootstrap covers |")
    print("|---|---|---|---|---|---|---|")
    for size, base in sizes:
        variants = [
            ("mixed: half of each of the next two", base),
            ("one rate clearly best", dataclasses.replace(base, landscapes=("clear",))),
            ("rates nearly tied", dataclasses.replace(base, landscapes=("tied",))),
            ("in between", dataclasses.replace(base, landscapes=("between",))),
            ("in between, 20 tuning seeds", dataclasses.replace(base, landscapes=("between",), num_tuning=20)),
            ("horizon up to 2 octaves outside the gaps", dataclasses.replace(base, margin=-2.0)),
            ("steep: slope 8 to 40", dataclasses.replace(base, slopes=(8.0, 40.0))),
            ("shallow: slope 0.4 to 1", dataclasses.replace(base, slopes=(0.4, 1.0))),
            ("5% fail at any gap", dataclasses.replace(base, lapse=0.05)),
        ]
        if base is full7:
            variants = variants[:5]
        for name, design in variants:
            result = measure_coverage(design)
            with without(1, 2):
                plain = measure_coverage(design)
            shares = " | ".join(f"{100 * share:.1f}%" for share in result[:3])
            print(f"| {size} | {name} | {shares} | {result.width:.2f} | {100 * plain.covered:.1f}% |")
            sys.stdout.flush()
    print("\n| sweep | cell | covers | without 1 | without 2 | without 3 |")
    print("|---|---|---|---|---|---|")
    for size, base in (sizes[0], *sizes[2:]):
        for name, landscape in LANDSCAPES:
            design = dataclasses.replace(base, landscapes=(landscape,))
            covered = [measure_coverage(design).covered]
            for addition in (1, 2, 3):
                with without(addition):
                    covered.append(measure_coverage(design).covered)
            print(f"| {size} | {name} | " + " | ".join(f"{100 * share:.1f}%" for share in covered) + " |")
            sys.stdout.flush()
    print("\n| sweep | true ratio | compared | covers | p < 0.05 |")
    print("|---|---|---|---|---|")
    for size, base in (sizes[0], *sizes[2:]):
        for octaves in (0.0, 1.0):
            comparison = measure_contrasts(base, octaves)
            print(
                f"| {size} | {2.0**octaves:.0f} | {comparison.compared} | {100 * comparison.covered:.1f}% "
                f"| {100 * comparison.significant:.1f}% |"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
