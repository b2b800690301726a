"""How much of the gaps each learning rate solves on the tuning seeds: the curve by which a rate was chosen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_jax.sweeps.stages.choice import tuned_rate
from lstm_jax.sweeps.stages.run_table import tabulate
from lstm_jax.sweeps.store.records import Run


@dataclass(frozen=True)
class Rate:
    """One learning rate of one cell on the tuning seeds: a row of rates.csv.

    `solve_rate` is the mean over all gaps of the share of its runs that solved, a gap that it was not tried at counting
    0: the number by which the rate was chosen, divided by the number of gaps. `num_gaps` are those that it was tried
    at.
    """

    cell: str
    learning_rate: float
    num_gaps: int
    num_runs: int
    num_solved: int
    solve_rate: float
    chosen: bool


def rates(runs: Sequence[Run], tuning_seeds: Collection[int]) -> list[Rate]:
    """Return the rows of cells of which several rates were tried, rates ascending."""
    rows = []
    for table in tabulate(runs):
        own = np.isin(table.seeds, sorted(tuning_seeds))
        finished, solved = (each[own].sum(axis=0) for each in (table.finished, table.solved))
        tried = np.flatnonzero(finished.any(axis=0)).tolist()
        if len(tried) < 2:
            continue
        chosen, share = tuned_rate(table, tuning_seeds), solved / np.maximum(finished, 1.0)
        rows += [
            Rate(
                table.cell,
                float(table.learning_rates[rate]),
                num_gaps=int((finished[:, rate] > 0.0).sum()),
                num_runs=int(finished[:, rate].sum()),
                num_solved=int(solved[:, rate].sum()),
                solve_rate=float(share[:, rate].mean()),
                chosen=rate == chosen,
            )
            for rate in tried
        ]
    return rows
