"""Runs of which only the outcome matters, and simulated sweeps as runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.coverage import QUICK, Cell, Design, draw_cell, draw_effects, simulate
from lstm_jax.arrays import Floats
from lstm_jax.sweeps.stages.run_table import RunTable
from lstm_jax.sweeps.store.records import Run, Status

BUDGET = 2000
CHANCE = 0.125


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


def grid(solved: Mapping[int, Sequence[bool]], cell: str = "lstm", rate: float = 1e-3, first: int = 0) -> list[Run]:
    """Make one run per gap and entry, the entries being seeds from `first` on."""
    return [
        make_run(cell=cell, gap=gap, seed=first + seed, learning_rate=rate, status="solved", solved_step=100, steps=100)
        if outcome
        else make_run(cell=cell, gap=gap, seed=first + seed, learning_rate=rate)
        for gap, outcomes in solved.items()
        for seed, outcome in enumerate(outcomes)
    ]


def counts(
    solved: Mapping[int, int], of: int = 10, cell: str = "lstm", rate: float = 1e-3, first: int = 0
) -> list[Run]:
    """Make `of` runs per gap, so many of them solved."""
    return grid({gap: [index < count for index in range(of)] for gap, count in solved.items()}, cell, rate, first)


def runs_of(table: RunTable) -> list[Run]:
    """Make the runs of a table: of those that did not solve each third diverged, and those that are absent failed."""
    runs = []
    for number, (s, g, r) in enumerate(np.ndindex(table.finished.shape)):
        status: Status = "unsolved" if number % 3 else "diverged"
        status = "solved" if table.solved[s, g, r] else status if table.finished[s, g, r] else "failed"
        step = int(table.steps[s, g, r])
        runs.append(
            make_run(
                table.cell, int(table.gaps[g]), int(table.seeds[s]), float(table.learning_rates[r]), status,
                solved_step=step if status == "solved" else None,
                steps=BUDGET // 4 if status == "diverged" else step,
                score={"solved": 1.0, "unsolved": 0.3}.get(status),
            )
        )  # fmt: skip
    return runs


def simulated_runs(
    design: Design = QUICK,
    seed: int = 0,
    horizons: Mapping[str, float] | None = None,
    shorter: Floats | None = None,
) -> list[Run]:
    """Simulate the runs of one cell, or of several with these horizons at the best rate."""
    rng = np.random.default_rng(seed)
    cells = {"lstm": draw_cell(design, rng)}
    if horizons is not None:
        loss = np.zeros(design.num_rates) if shorter is None else shorter
        cells = {name: Cell(octave - loss, 2.0) for name, octave in horizons.items()}
    effects = draw_effects(design, rng)
    return [run for name, cell in cells.items() for run in runs_of(simulate(design, cell, effects, rng, name))]
