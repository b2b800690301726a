"""Solve rates and steps to solve of every cell and gap, at the learning rate that the cell's tuning seeds chose."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from scipy import stats

from lstm_jax.sweeps.stages.choice import NONE, least_loss_runs, tuned_rate
from lstm_jax.sweeps.stages.run_table import budget_of, final_score, tabulate
from lstm_jax.sweeps.store.records import Run
from lstm_jax.tasks.solved import SOLVED_ACCURACY


@dataclass(frozen=True)
class Summary:
    """One cell at one gap, on the report seeds: a row of summary.csv.

    `num_runs` counts solved, unsolved and diverged runs. `solve_rate` has a 95% Wilson interval. `score` is the mean
    final score, a diverged run counting as chance; None where no run was evaluated. `chance` is what guessing scores at
    that gap, the best of it where the runs' differ. `measure` is the name of the score, and `solved_at` what counts as
    solved. `median_solved_step` is the Kaplan-Meier median in updates, None where it is not reached within the budget.
    With `at_edge` the rate is the least or greatest of several that were tried: a better one may lie outside.
    """

    cell: str
    gap: int
    learning_rate: float
    num_runs: int
    num_solved: int
    num_diverged: int
    solve_rate: float
    ci_low: float
    ci_high: float
    score: float | None
    chance: float
    median_solved_step: float | None
    measure: str = "accuracy"
    solved_at: float = SOLVED_ACCURACY
    at_edge: bool = False

    @property
    def higher_is_better(self) -> bool:
        """The direction of the score."""
        return self.solved_at > self.chance


def summarise(runs: Sequence[Run], tuning_seeds: Collection[int]) -> list[Summary]:
    """Summarise every cell and gap on the report seeds, at the cell's learning rate chosen on the tuning seeds.

    Cells come in order of first appearance, gaps ascending. A cell and gap without a finished report run at the chosen
    rate yet is left out. A run that `failed` (a crash says nothing about the cell) is not counted: the caller names it.

    Raises ValueError where a cell has several learning rates and there are no tuning seeds.
    """
    budget, excluded = budget_of(runs), frozenset(tuning_seeds)
    reported: dict[tuple[str, int, float], list[Run]] = {}
    for run in runs:
        if run.status != "failed" and run.seed not in excluded:
            reported.setdefault((run.cell, run.gap, run.learning_rate), []).append(run)
    rows = []
    for table in tabulate(runs):
        index = tuned_rate(table, tuning_seeds)
        rates = table.learning_rates.tolist()
        rate = math.nan if index == NONE else rates[index]
        found = (reported.get((table.cell, gap, rate)) for gap in table.gaps.tolist())
        at_edge = len(rates) > 1 and rate in (rates[0], rates[-1])  # with a single rate nothing was tuned
        rows += [_summarise(own, budget, at_edge) for own in found if own]
    return rows


def summarise_text(
    runs: Sequence[Run], tuning_seeds: Collection[int], learning_rates: Collection[float] | None
) -> list[Summary]:
    """As `summarise`, where the held-out loss chooses a learning rate for each cell and gap: nothing is solved."""
    shown, _ = least_loss_runs(runs, tuning_seeds, learning_rates or ())
    tried = {row.cell: set(row.learning_rates.tolist()) for row in tabulate(runs)}
    gaps = sorted({run.gap for run in shown})
    found = [row for gap in gaps for row in summarise([run for run in shown if run.gap == gap], ())]
    return [
        replace(row, at_edge=len(rates) > 1 and row.learning_rate in (min(rates), max(rates)))
        for row in found
        for rates in [tried[row.cell]]
    ]


def median_solved_step(runs: Sequence[Run], budget: int) -> float | None:
    """Return the Kaplan-Meier median of the updates until solved; None where fewer than half solve within the budget.

    Unsolved and diverged runs are right-censored at `budget`: one that diverged early had its chance and lost it. Where
    the curve is flat at one half, the middle of that piece (as R's survfit; its start where it goes on to the budget).
    """
    solved = [float(run.solved_step) for run in runs if run.status == "solved" and run.solved_step is not None]
    censored = [float(budget)] * (len(runs) - len(solved))
    if not solved:
        return None
    survival = stats.ecdf(stats.CensoredData(uncensored=solved, right=censored)).sf
    # A product of fractions that is one half on paper may miss it by rounding.
    reached = survival.quantiles[survival.probabilities <= 0.5 + 1e-9]
    below = survival.quantiles[survival.probabilities < 0.5 - 1e-9]
    return float(reached[0] + (below[0] if len(below) > 0 else reached[0])) / 2.0 if len(reached) > 0 else None


def _summarise(runs: list[Run], budget: int, at_edge: bool) -> Summary:
    num_solved = sum(run.status == "solved" for run in runs)
    interval = stats.binomtest(num_solved, len(runs)).proportion_ci(confidence_level=0.95, method="wilson")
    scores = [score for score in map(final_score, runs) if score is not None]
    best = max if runs[0].higher_is_better else min
    return Summary(
        cell=runs[0].cell,
        gap=runs[0].gap,
        learning_rate=runs[0].learning_rate,
        num_runs=len(runs),
        num_solved=num_solved,
        num_diverged=sum(run.status == "diverged" for run in runs),
        solve_rate=num_solved / len(runs),
        ci_low=float(interval.low),
        ci_high=float(interval.high),
        # fsum: the order of the runs does not show in the last digit.
        score=math.fsum(scores) / len(scores) if scores else None,
        chance=best(run.chance for run in runs),
        median_solved_step=median_solved_step(runs, budget),
        measure=runs[0].measure,
        solved_at=runs[0].solved_at,
        at_edge=at_edge,
    )
