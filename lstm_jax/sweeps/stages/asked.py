"""Which runs a sweep has: all of its grid or, where no learning rates are given, those that two stages ask for. No jax.

Stage 1 chooses a learning rate for each cell on the tuning seeds. It begins with FIRST_RATES, and adds the next one of
RATES while the best lies at an end of those tried. Stage 2 trains the other seeds at the rate that was chosen. Both go
up through the gaps until none of their runs has solved two of them in a row, or one where these are NUM_FAILED_RUNS or
more: larger gaps cost most and say least. On text, which is never solved and has one gap, the held-out loss chooses.

What is asked for follows from the records of what was asked for before, in any order and whatever else is there: so a
sweep that was interrupted, or made by many workers, ends with the same runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from lstm_jax.sweeps.config.options import Grid, SweepConfig, known
from lstm_jax.sweeps.job import Job, RunKey
from lstm_jax.sweeps.store.records import Record, Run
from lstm_jax.tasks import corpus_of

RATES = (1e-5, 3e-5, 1e-4, 3e-4, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FIRST_RATES = (0.003, 0.01, 0.03)
NUM_FAILED_GAPS, NUM_FAILED_RUNS = 2, 10
"""Gaps in a row, or runs at one of them, that a rate must have failed at before a stage tries no larger one with it."""

Ended = Mapping[tuple[int, RunKey], Run]
"""The runs of a cell that are recorded, by gap and key."""


def possible_runs(grid: Grid) -> tuple[RunKey, ...]:
    """The runs of each job that may be asked for."""
    rates = RATES if grid.learning_rates is None else grid.learning_rates
    return tuple(RunKey(seed, rate) for rate in rates for seed in grid.trained_seeds)


def expected_runs(grid: Grid) -> int:
    """How many runs a job will have: in two stages an estimate, since rates may be added or end early."""
    if grid.learning_rates is None:
        return len(FIRST_RATES) * len(grid.tuning_seeds) + len(grid.seeds)
    return len(possible_runs(grid))


def num_runs(grid: Grid) -> int:
    """How many runs a sweep will have, in two stages as an estimate."""
    return len(grid.cells) * len(known(grid.gaps)) * expected_runs(grid)


def asked_for(
    config: SweepConfig, jobs: Iterable[Job], records: Iterable[Record], failed: Collection[str] = ()
) -> list[Job]:
    """The jobs with the runs that are asked for by these records; `failed` jobs are not waited for."""
    grid = config.grid
    if grid.learning_rates is not None:
        return list(jobs)
    jobs = list(jobs)
    ended: dict[str, dict[tuple[int, RunKey], Run]] = {cell: {} for cell in grid.cells}
    given_up: dict[str, set[int]] = {cell: set() for cell in grid.cells}
    for run in (record.run for record in records):
        ended[run.cell][run.gap, RunKey(run.seed, run.learning_rate)] = run
    for job in jobs:
        if job.name in failed:
            given_up[job.settings.cell].add(job.settings.gap)
    by_loss = corpus_of(config.task) is not None
    asked = {cell: runs_of_cell(grid, ended[cell], given_up[cell], by_loss=by_loss) for cell in grid.cells}
    complete = {
        cell for cell, gaps in asked.items()
        if all((gap, key) in ended[cell] or gap in given_up[cell] for gap, keys in gaps.items() for key in keys)
    }  # fmt: skip
    return [
        _with_runs(job, asked[job.settings.cell][job.settings.gap], grid, job.settings.cell in complete) for job in jobs
    ]


def _with_runs(job: Job, keys: set[RunKey], grid: Grid, is_complete: bool) -> Job:
    is_last = is_complete or any(key.seed in grid.seeds for key in keys)
    num_more = 0 if is_last else max(0, expected_runs(grid) - len(keys))
    runs = tuple(key for key in job.runs if key in keys)  # in the order of all that are possible
    return dataclasses.replace(job, runs=runs, num_more=num_more)


def runs_of_cell(
    grid: Grid, ended: Ended, failed: Collection[int] = (), *, by_loss: bool = False
) -> dict[int, set[RunKey]]:
    """The runs of a cell that are asked for by now, by gap; `failed` are gaps whose other runs are not waited for."""
    asked: dict[int, set[RunKey]] = {gap: set() for gap in sorted(known(grid.gaps))}
    rates: list[float] = []
    more: tuple[float, ...] = FIRST_RATES
    chosen: float | None = None
    while more:
        for rate in more:
            _ask(asked, rate, grid.tuning_seeds, ended, failed)
        rates += more
        places = [(gap, key) for gap, keys in asked.items() for key in keys]
        runs = [ended[place] for place in places if place in ended]
        if not runs or any(place not in ended and place[0] not in failed for place in places):
            return asked
        chosen = _chosen(runs, rates, grid.tuning_seeds, by_loss)
        if chosen is None and failed:
            break
        more = _beside(min(rates) if chosen is None else chosen, rates)  # all overflow: smaller ones may not
    if chosen is not None:
        _ask(asked, chosen, grid.seeds, ended, failed)
    return asked


def _chosen(
    runs: Sequence[Run], rates: Collection[float], tuning_seeds: Collection[int], by_loss: bool
) -> float | None:
    from lstm_jax.sweeps.stages.choice import least_loss_rate, tuned_rate  # NumPy, which --help need not wait for
    from lstm_jax.sweeps.stages.run_table import tabulate

    if by_loss:
        return least_loss_rate(runs, tuning_seeds, rates)
    (table,) = tabulate(runs)
    return float(table.learning_rates[tuned_rate(table, tuning_seeds)])


def _ask(
    asked: dict[int, set[RunKey]], rate: float, seeds: Iterable[int], ended: Ended, failed: Collection[int]
) -> None:
    """Add a rate's runs with these seeds, up to the gap that is known to be asked for; `asked` has gaps ascending."""
    own = {RunKey(seed, rate) for seed in seeds}
    solved: list[bool] = []  # or not known, of a gap whose job has failed
    num_failed = 1 if len(own) >= NUM_FAILED_RUNS else NUM_FAILED_GAPS
    for gap, keys in asked.items():
        if len(solved) >= num_failed and not any(solved[-num_failed:]):
            return
        keys |= own
        runs = (ended.get((gap, key)) for key in own)
        solved.append(gap in failed or any(run is not None and run.status == "solved" for run in runs))


def _beside(chosen: float, rates: Collection[float]) -> tuple[float, ...]:
    """The next rate beyond the end of those tried at which the chosen one lies; none where it has one on both sides."""
    place = RATES.index(chosen)
    return tuple(rate for rate in RATES[max(place - 1, 0) : place + 2] if rate not in rates)
