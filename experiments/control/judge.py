"""From runs to pass or fail: each control's criterion, stated once."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from lstm_jax.analysis.gaps.contrasts import contrasts
from lstm_jax.analysis.gaps.horizon import horizons
from lstm_jax.sweeps.store.records import Run

CONFIDENCE = 0.95
FROZEN = " (frozen)"


@dataclasses.dataclass(frozen=True)
class Control:
    """One control: a row of controls.csv."""

    control: str
    passed: bool
    measured: str
    criterion: str

    @property
    def sentence(self) -> str:
        """It in words."""
        return f"{'pass' if self.passed else 'FAIL'}: {self.control}: {self.measured} (criterion: {self.criterion})"


@dataclasses.dataclass(frozen=True)
class Guesses:
    """The scores of draws of the weights: a row of guessing.csv. `p99` and the like are quantiles."""

    cell: str
    gap: int
    num_draws: int
    num_solved: int
    chance: float
    median: float
    p99: float
    p999: float
    best: float


def shuffled_labels(runs: Sequence[Run]) -> Control:
    """No run solves what has no answer."""
    solved, number = sum(run.status == "solved" for run in runs), len(runs)
    upper = stats.binomtest(solved, number).proportion_ci(0.95).high
    measured = f"{solved} of {number} runs solved (at most {upper:.1%} with 95% confidence)"
    return Control("shuffled labels", solved == 0, measured, "no run solves")


def distance_free(runs: Sequence[Run]) -> Control:
    """Where nothing is far away, runs solve as soon at one gap as at another.

    Each run has its rank among a cell's by the update at which it solved, divided by their number; one that did not
    solve comes last. Per seed the least squares' slope of ranks over log2(gap), over seeds their mean with a t
    interval, corrected for the number of cells (Bonferroni). And no horizon may be claimed within the gaps.
    """
    cells = list(dict.fromkeys(run.cell for run in runs))
    confidence = 1.0 - (1.0 - CONFIDENCE) / len(cells)
    texts, holds = [], True
    for cell in cells:
        own = [run for run in runs if run.cell == cell]
        low, middle, high = slope(own, confidence)
        holds &= low <= 0.0 <= high
        texts.append(f"{cell} {middle:+.3f} ({low:+.3f} to {high:+.3f})")
    claimed = [found.cell for found in horizons(runs, ()) if found.ci_high is not None]
    measured = f"change of the rank of solving per octave: {', '.join(texts)}; horizons within the gaps: {len(claimed)}"
    criterion = f"each {confidence:.1%} interval holds 0, and no horizon is claimed within the gaps"
    return Control("a distance-free task", holds and not claimed, measured, criterion)


def slope(runs: Sequence[Run], confidence: float) -> tuple[float, float, float]:
    """Return the lower end, the mean and the upper end of a cell's slopes over log2(gap), a slope a seed."""
    never = math.inf
    steps = {(run.seed, run.gap): never if run.solved_step is None else float(run.solved_step) for run in runs}
    gaps, seeds = sorted({gap for _, gap in steps}), sorted({seed for seed, _ in steps})
    octaves = np.log2(gaps) - np.log2(gaps).mean()
    places = itertools.product(seeds, gaps)
    ranks = stats.rankdata([steps.get(place, never) for place in places]).reshape(len(seeds), len(gaps)) / len(steps)
    slopes = ranks @ octaves / (octaves @ octaves)
    half = stats.t.ppf((1.0 + confidence) / 2.0, len(seeds) - 1) * slopes.std(ddof=1) / math.sqrt(len(seeds))
    return float(slopes.mean() - half), float(slopes.mean()), float(slopes.mean() + half)


def frozen_recurrence(trained: Sequence[Run], frozen: Sequence[Run]) -> Control:
    """A readout on random recurrence reaches no further than a trained cell does: else learning adds nothing."""
    both = [*trained, *(dataclasses.replace(run, cell=run.cell + FROZEN) for run in frozen)]
    reach = {found.cell: found for found in horizons(both, ())}
    pairs = [pair for pair in contrasts(both, ()) if pair.cell_b == pair.cell_a + FROZEN]
    further = [
        pair.cell_a for pair in pairs if pair.p_value is not None and pair.p_value < 0.05 and _is_less(pair.ratio)
    ]
    texts = []
    for pair in pairs:
        ends = (reach[cell] for cell in (pair.cell_a, pair.cell_b))
        own, its = (
            f"{end.bound} {'not known' if end.horizon is None else f'{end.horizon:.3g}'}".strip() for end in ends
        )
        texts.append(f"{pair.cell_a} {own} trained, {its} frozen")
    criterion = "no frozen cell reaches further than the trained one (p < 0.05, Holm's correction)"
    return Control("frozen recurrence", not further and bool(pairs), f"horizons: {'; '.join(texts)}", criterion)


def _is_less(ratio: float | None) -> bool:
    return ratio is not None and ratio < 1.0


def weight_guessing(rows: Sequence[Guesses]) -> Control:
    """Where a draw of the weights solves a task, solving it there says nothing of learning."""
    solved = [row for row in rows if row.num_solved]
    best = max(rows, key=lambda row: row.best)
    measured = f"best of {sum(row.num_draws for row in rows):,} draws {best.best:.3f} ({best.cell}, gap {best.gap})"
    if solved:
        places = ", ".join(f"{row.cell} at gap {row.gap}: {row.num_solved} of {row.num_draws:,}" for row in solved)
        measured += f"; solved: {places}"
    return Control("random weight guessing", not solved, measured, "no draw of the weights solves")
