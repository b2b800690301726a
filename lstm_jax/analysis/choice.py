"""The one rule by which a learning rate is chosen, for the data and for every replicate of the bootstrap."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from lstm_jax.analysis.outcomes import Floats, Integers, Outcomes

NONE = -1


def best_learning_rates(tuning: Outcomes, weights: Floats) -> Integers:
    """Choose a learning rate for every gap under every weighting of the tuning seeds.

    The rate that solved most (as a fraction of its finished runs); among equals the one that solved most at the other
    gaps of the cell, each weighted by 2^-(its distance in octaves); then the fewest updates to solve on average
    (unsolved: the budget), the highest mean final accuracy, the smaller rate. The other gaps break ties because where
    no rate solves on a few tuning seeds, anything else would pick one at random. Updates come before accuracy because a
    run stops when it has solved: among runs that all did, accuracy is noise above 0.99.

    Args: `weights` [B, S] counts how often each seed of `tuning` is drawn.
    Returns indices [B, G] into `learning_rates`; NONE where no rate has a finished run.
    """
    finished = weigh(weights, tuning.finished)
    runs = np.maximum(finished, 1.0)
    solved = weigh(weights, tuning.solved) / runs
    octaves = np.log2(tuning.gaps)
    nearness = 2.0 ** -np.abs(octaves[:, None] - octaves)
    scored = np.maximum(weigh(weights, tuning.scored), 1.0)
    # Equal sums may differ in their last bits with the order of the seeds; rounding keeps a tie a tie.
    criteria = (
        solved,
        np.round(np.einsum("gh,bhl->bgl", nearness, solved), 9),
        -weigh(weights, tuning.steps) / runs,
        np.round(weigh(weights, tuning.accuracy) / scored, 9),
    )
    candidates = finished > 0.0
    empty = ~candidates.any(axis=-1)
    for criterion in criteria:
        score = np.where(candidates, criterion, -np.inf)
        candidates &= score == score.max(axis=-1, keepdims=True)
    return np.where(empty, NONE, candidates.argmax(axis=-1))


def chosen_learning_rates(table: Outcomes, tuning_seeds: Collection[int]) -> Integers:
    """Return the index [G] of the learning rate that is reported at each gap; NONE where there is none yet.

    Looks at the tuning seeds alone. A cell with a single learning rate needs no tuning.

    Raises ValueError where a gap has runs at several learning rates and `tuning_seeds` is empty.
    """
    if len(table.learning_rates) == 1:
        return np.zeros(len(table.gaps), dtype=np.int64)
    present = table.finished.sum(axis=0) > 0.0
    if not tuning_seeds:
        several = np.flatnonzero(present.sum(axis=-1) > 1)
        if len(several) > 0:
            rates = ", ".join(f"{rate:g}" for rate in table.learning_rates[present[several[0]]])
            raise ValueError(
                f"expected tuning seeds to choose a learning rate by, got none: {table.cell} has runs at gap "
                f"{table.gaps[several[0]]} with the learning rates {rates}. Name some seeds as tuning seeds "
                "(results are then reported on the others), or keep one learning rate"
            )
        return np.asarray(present.argmax(axis=-1), dtype=np.int64)
    seeds = table.seeds[np.isin(table.seeds, np.array(sorted(tuning_seeds), dtype=np.int64))]
    return np.asarray(best_learning_rates(table.select(seeds), np.ones((1, len(seeds))))[0])


def weigh(weights: Floats, values: Floats) -> Floats:
    """Sum `values` [S, ...] over the seeds, once under each weighting [B, S]; returns [B, ...]."""
    return np.asarray(np.tensordot(weights, values, axes=1))
