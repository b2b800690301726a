"""Loss of a language model as its context is cut, and the effective context beyond which more does not matter.

A row {"context", "block", "loss", "count", "unk"} holds the summed loss in nats of `count` tokens, predicted from
`context` tokens before each (0: from all there are), of which `unk` are <unk>. Blocks are neighbouring
tokens, the same in all runs and at all contexts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

from lstm_jax.analysis.gaps.horizon import Bound
from lstm_jax.analysis.resampling import interval, seed_shifts, unit_weights
from lstm_jax.arrays import Floats
from lstm_jax.sweeps.store.records import Run

ContextRuns = Sequence[tuple[Run, Sequence[Mapping[str, Any]]]]
UNCUT = 0
THRESHOLD_NATS = 0.01


@dataclass(frozen=True)
class ContextPoint:
    """The perplexity of a cell's models that see `context` tokens (0: all): a row of context.csv.

    exp of the mean loss over its runs, of which there are `num_runs`, with its interval. `unk_share` is the share of
    the predicted tokens that are <unk>, one token that is easily said; None where the rows don't say.
    """

    cell: str
    context: int
    perplexity: float
    ci_low: float
    ci_high: float
    num_runs: int
    unk_share: float | None = None


@dataclass(frozen=True)
class EffectiveContext:
    """The least context from which on more of it lowers a cell's loss by no more than the threshold.

    A row of effective_context.csv. With bound ">" it lies above `context`, the largest that was tried below the
    reference; with "<" it is at most `context`, the smallest. An end of the interval is None where it is open: the data
    do not exclude that it lies outside what was tried.
    """

    cell: str
    context: float
    ci_low: float | None
    ci_high: float | None
    bound: Bound


class _Losses(NamedTuple):
    """One cell's summed losses [S, K, N] of runs, contexts (ascending, uncut last) and blocks; tokens [N] per block.

    Of all tokens together `unk_share` are <unk>.
    """

    cell: str
    contexts: tuple[int, ...]
    sums: Floats
    counts: Floats
    unk_share: float | None


def context_curve(
    runs: ContextRuns, *, num_bootstrap: int = 1000, confidence: float = 0.95, seed: int = 0
) -> list[ContextPoint]:
    """Return perplexity against context; cells in order of first appearance, contexts ascending, uncut last.

    The interval is a percentile bootstrap over blocks, and over seeds where there are several
    (`resampling.seed_shifts`). A run without rows, or whose loss is not finite (it diverged), has no perplexity and is
    left out: the caller names it.

    Raises ValueError where the runs of a cell are of different contexts or blocks.
    """
    points = []
    for losses in _tabulate(runs):
        means, replicates = _mean_losses(losses, num_bootstrap, seed)
        for place, context in enumerate(losses.contexts):
            low, high = interval(float(means[place]), replicates[:, place], confidence)
            value, low, high = (perplexity(nats) for nats in (float(means[place]), low, high))
            points.append(ContextPoint(losses.cell, context, value, low, high, len(losses.sums), losses.unk_share))
    return points


def effective_contexts(
    runs: ContextRuns,
    *,
    threshold_nats: float = THRESHOLD_NATS,
    num_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[EffectiveContext]:
    """Estimate the effective context of each cell (Khandelwal et al. 2018, section 3, with 1% of perplexity).

    It is where the mean loss less that of the reference, the uncut context or else the largest, falls to the threshold,
    linear in log2(context) between the contexts tried. Noise may let the loss rise in between: it is first made to fall
    or stay by isotonic regression (of all contexts but the reference), so that there is one crossing; the first one as
    measured would be too near, the last one too far. Where the largest context below the reference is not within the
    threshold the loss is still falling, and the result a bound.

    Intervals and errors are those of `context_curve`. A cell with fewer than two contexts is left out.
    """
    found = []
    for losses in _tabulate(runs):
        if len(losses.contexts) < 2:
            continue
        means, replicates = _mean_losses(losses, num_bootstrap, seed)
        octaves = np.log2(losses.contexts[:-1])
        value = float(_crossing(octaves, means[None], threshold_nats)[0])
        low, high = interval(value, _crossing(octaves, replicates, threshold_nats), confidence)
        low, high = min(low, octaves[-1]), max(high, octaves[0])  # all beyond the last: it lies above the last
        bound: Bound = "" if math.isfinite(value) else ">" if value > 0.0 else "<"
        octave = min(max(value, octaves[0]), octaves[-1])
        found.append(EffectiveContext(losses.cell, _context(octave), _end(low), _end(high), bound))
    return found


def bits(nats: float) -> float:
    """Return an information in bits: a loss in nats per character as bits per character."""
    return nats / math.log(2.0)


def falling(values: Floats) -> Floats:
    """Return the nearest values that fall or stay, by least squares along the last axis [..., K]."""
    return np.apply_along_axis(lambda row: isotonic_regression(row, increasing=False).x, -1, values)


def _crossing(octaves: Floats, means: Floats, threshold: float) -> Floats:
    """Return log2 of the effective context [R] of mean losses [R, K + 1]; -inf or inf where it lies outside."""
    above = falling(means[:, :-1] - means[:, -1:]) - threshold
    place = np.argmax(above <= 0.0, axis=-1)  # the first within the threshold
    before = np.maximum(place - 1, 0)
    each = np.arange(len(above))
    left, right = above[each, before], above[each, place]
    share = left / np.where(left > right, left - right, 1.0)
    inside = octaves[before] + share * (octaves[place] - octaves[before])
    crossed = np.where(above[:, 0] <= 0.0, -np.inf, inside)
    return np.where(above[:, -1] > 0.0, np.inf, crossed)


def _mean_losses(losses: _Losses, num_bootstrap: int, seed: int) -> tuple[Floats, Floats]:
    """Return the mean loss in nats per token at each context [K], and in each replicate [R, K]."""
    drawn = unit_weights(losses.sums.shape[-1], num_bootstrap, seed)
    by_run = losses.sums.sum(axis=-1) / losses.counts.sum()  # [S, K]
    over_blocks = drawn @ losses.sums.mean(axis=0).T / (drawn @ losses.counts)[:, None]
    return by_run.mean(axis=0), over_blocks + seed_shifts(by_run, num_bootstrap, seed)


def _tabulate(runs: ContextRuns) -> list[_Losses]:
    """Bring the runs of each cell together, in order of seed; leave out runs without a finite loss."""
    read = [(run, _read(run, rows)) for run, rows in runs if run.status != "failed" and rows]
    by_cell: dict[str, dict[int, _Losses]] = {}
    for run, losses in sorted(
        ((run, own) for run, own in read if np.isfinite(own.sums).all()), key=lambda it: it[0].seed
    ):
        seeds = by_cell.setdefault(run.cell, {})
        if run.seed in seeds:
            raise ValueError(f"expected one run per cell and seed, got several of {run.cell} with seed {run.seed}")
        first = next(iter(seeds.values()), losses)
        if losses.contexts != first.contexts or not np.array_equal(losses.counts, first.counts):
            raise ValueError(f"expected runs of the same contexts and blocks, got others from {run.job} ({run.cell})")
        seeds[run.seed] = losses
    tables = []
    for cell in dict.fromkeys(run.cell for run, _ in read if run.cell in by_cell):
        own = list(by_cell[cell].values())
        tables.append(own[0]._replace(sums=np.concatenate([losses.sums for losses in own])))
    return tables


def _read(run: Run, rows: Sequence[Mapping[str, Any]]) -> _Losses:
    contexts = tuple(sorted({row["context"] for row in rows}, key=lambda context: (context == UNCUT, context)))
    blocks = sorted({row["block"] for row in rows})
    places = {block: place for place, block in enumerate(blocks)}
    sums, counts = (np.full((len(contexts), len(blocks)), np.nan) for _ in range(2))
    for row in rows:
        place = contexts.index(row["context"]), places[row["block"]]
        sums[place] = math.nan if row["loss"] is None else row["loss"]
        counts[place] = row["count"]
    if not (counts == counts[0]).all():  # where a block is missing its count is NaN
        raise ValueError(f"expected the same blocks at every context, got others from {run.job} ({run.cell})")
    return _Losses(run.cell, contexts, sums[None], counts[0], unk_share(rows))


def unk_share(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the share of <unk> among the tokens of the rows; None where a row of an early version does not say."""
    if not rows or any(row.get("unk") is None for row in rows):
        return None
    return float(sum(row["unk"] for row in rows) / sum(row["count"] for row in rows))


def perplexity(nats: float) -> float:
    """Return exp of a mean loss; of hundreds of nats, which is a model that diverged, a number without overflow."""
    return math.exp(min(nats, 700.0))


def _end(octave: float) -> float | None:
    return _context(octave) if math.isfinite(octave) else None


def _context(octave: float) -> float:
    return round(math.exp2(octave), 9)  # log2 and back again costs a few units in the last place
