"""From what was measured of runs along training to a verdict: why a cell stops at a gap. No jax.

The rules, in their order, are those of docs/why.md. Each is of one run; cells get the verdict of most of their runs.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Cause = Literal[
    "solved", "too small", "vanished", "forgets by design", "step too large", "swamped by distractors",
    "needs more updates", "not decided",
]  # fmt: skip
READABLE, UNREADABLE = 0.9, 0.5
"""Accuracies of the probe from which the fact is there, and below which it is not, whatever chance is."""
STABLE = 38.0
"""Of Adam with b1 = 0.9: (2 + 2 b1) / (1 - b1) (Cohen et al. 2022); of plain gradient descent it is 2."""
NUM_NOISE = 3.0
"""A signal of so many times its noise is one."""
_DECIDE = ("signal", "sharpness", "memory")
FAINT = 1e-6
"""A gradient that vanishes before the distance at which it would have faded to this has been cut."""


@dataclass(frozen=True)
class Moment:
    """A run after `step` updates: a row of diagnostics.csv; all of the distance from the fact to its answer.

    `score` is the held-out one. `transport` is G, the gradient that reaches the fact's state over that of the last, and
    `vanished` whether float32 loses it. `memory` is how often a linear probe reads the fact from the state before the
    answer, `quiet_memory` the same without distractors (None where the task has no such form), `separation` the
    trace(S_w^-1 S_b) of the classes. `signal` is the fact's share of a gradient's second moment, the largest among the
    recurrent weights, and `embedding_signal` that of the embedding. `sharpness`, times the rate, is unstable above
    STABLE; below 0 the loss is curved downwards. `time_constant` and `time_constant_90` are the median and the 90th
    percentile over the values of the state, in steps (None where infinite), `exponent` the largest Lyapunov exponent.
    """

    cell: str
    gap: int
    seed: int
    learning_rate: float
    step: int
    score: float
    transport: float
    vanished: bool
    memory: float
    quiet_memory: float | None
    separation: float
    signal: float
    embedding_signal: float | None
    sharpness: float | None
    time_constant: float | None
    time_constant_90: float | None
    exponent: float


@dataclass(frozen=True)
class AtDistance:
    """A state d steps after the fact, and the gradient that goes d steps back: a row of by_distance.csv."""

    cell: str
    gap: int
    seed: int
    step: int
    distance: int
    transport: float
    vanished: bool
    memory: float
    quiet_memory: float | None
    separation: float


@dataclass(frozen=True)
class Verdict:
    """Why a cell stops at a gap: a row of verdicts.csv.

    `num_agree` of `num_runs` runs have this cause. The numbers are those that decide, medians over the second half of
    each run that did not solve: what the probe reads at distance 0, at the gap, and at the gap without distractors;
    gradient transport; signal; sharpness times the rate.
    """

    cell: str
    gap: int
    cause: Cause
    num_agree: int
    num_runs: int
    memory_at_once: float | None
    memory: float | None
    quiet_memory: float | None
    transport: float | None
    signal: float | None
    sharpness: float | None


def verdicts(
    moments: Sequence[Moment],
    by_distance: Sequence[AtDistance],
    solved: Collection[tuple[str, int, int]],
    noise: float,
    batch_size: int,
) -> list[Verdict]:
    """Return the verdict on each cell and gap; `solved` holds cell, gap and seed of the runs that did.

    `noise` is that of the signal, about one over its batches; `batch_size` the sequences of an update. A cause that
    fewer than two thirds of the runs have is not given: the verdict is then "not decided".
    """
    runs: dict[tuple[str, int], dict[int, list[Moment]]] = {}
    for row in moments:
        runs.setdefault((row.cell, row.gap), {}).setdefault(row.seed, []).append(row)
    found = []
    for (cell, gap), of_seeds in runs.items():
        far = {
            seed: [row for row in by_distance if (row.cell, row.gap, row.seed) == (cell, gap, seed)]
            for seed in of_seeds
        }
        causes = {
            seed: cause_of(run, far[seed], (cell, gap, seed) in solved, noise, batch_size)
            for seed, run in of_seeds.items()
        }
        cause, num_agree = collections.Counter(causes.values()).most_common(1)[0]
        late = [row for seed, run in of_seeds.items() if causes[seed] != "solved" for row in _late(run)]
        at_once = [row.memory for rows in far.values() for row in rows if row.distance == 0]
        found.append(
            Verdict(
                cell, gap, cause if 3 * num_agree >= 2 * len(causes) else "not decided", num_agree, len(causes),
                _median(at_once), _median([row.memory for row in late]), _median([row.quiet_memory for row in late]),
                _median([row.transport for row in late]), _median([row.signal for row in late]),
                _median([row.sharpness for row in late]),
            )
        )  # fmt: skip
    return found


def cause_of(
    run: Sequence[Moment], by_distance: Sequence[AtDistance], is_solved: bool, noise: float, batch_size: int
) -> Cause:
    """Return why one run has stopped, from what was measured along it, in the order of its updates."""
    if is_solved:
        return "solved"
    late = _late(run)
    if max(row.memory for row in by_distance if row.distance == 0) < READABLE:
        return "too small"
    if _is_lost(run, noise):
        return "step too large"
    quiet = max(row.memory if row.quiet_memory is None else row.quiet_memory for row in run)
    if all(row.vanished for row in late):
        steps = {row.step for row in late}
        is_cut = _would_be([row for row in by_distance if row.step in steps]) > FAINT
        return "forgets by design" if is_cut and quiet < UNREADABLE else "vanished"
    if quiet < UNREADABLE:
        return "forgets by design"
    signal, sharpness, memory = (_median([getattr(row, name) for row in late]) for name in _DECIDE)
    is_seen = signal is not None and signal > NUM_NOISE * noise
    if is_seen and sharpness is not None and sharpness > STABLE:
        return "step too large"
    if is_seen:
        return "needs more updates"
    if memory is None or memory >= READABLE:
        return "not decided"
    if _is_out_of_reach(late, batch_size * run[-1].step):
        return "vanished"
    return "swamped by distractors" if quiet >= READABLE else "not decided"


def _is_out_of_reach(late: Sequence[Moment], num_seen: int) -> bool:
    """Whether the fact's part of the gradient, over all sequences of the run, is less than the rest of a single one.

    The part of the fact's step is G times that of the last one, in the mean. Over n sequences parts of the same fact
    add up to n G at most, those that distractors make to the square root of n: so n G^2 has to come to 1.
    """
    return num_seen > 0 and all(num_seen * row.transport**2 < 1.0 for row in late)


def _is_lost(run: Sequence[Moment], noise: float) -> bool:
    """Whether the fact was in reach, where the loss is too curved for the rate, and was never seen again."""
    seen = [place for place, row in enumerate(run) if row.signal > NUM_NOISE * noise]
    if not seen or seen[-1] == len(run) - 1:
        return False
    last = run[seen[-1]]
    return not last.vanished and last.sharpness is not None and abs(last.sharpness) > STABLE


def _late(run: Sequence[Moment]) -> list[Moment]:
    """The moments of the second half of a run: those of the first tell how it began."""
    return [row for row in run if row.step > 0 and 2 * row.step >= run[-1].step] or [run[-1]]


def _would_be(rows: Sequence[AtDistance]) -> float:
    """Of a gradient that vanishes: what it would have faded to where it does, at the pace of the distances before."""
    faded = []
    for step in {row.step for row in rows}:
        own = sorted((row for row in rows if row.step == step), key=lambda row: row.distance)
        gone = next((row.distance for row in own if row.vanished), None)
        left = [row for row in own if gone is not None and 0 < row.distance < gone]
        if gone is not None and left:
            faded.append(float(left[-1].transport ** (gone / left[-1].distance)))
        elif gone == 1:  # no fading is so fast
            faded.append(1.0)
    return _median(faded) or 0.0


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.median(known)) if known else None
