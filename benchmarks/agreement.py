"""Does the quick preset show the same order of cells as the reference? `python -m benchmarks.agreement`.

Runs the quick preset of the gap experiment with other seeds, some times, and counts for each pair of cells that differ
significantly in the reference how often the quick horizons have the same order: also where they are told apart.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from benchmarks.options import options, refuse
from experiments.gap_length import EXPERIMENT
from lstm_jax.analysis.gaps.arms import shorter_of
from lstm_jax.analysis.gaps.contrasts import Contrast, contrasts
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.run import run_sweep
from lstm_jax.sweeps.store.records import write_rows
from lstm_jax.sweeps.views.tables import read_tables
from lstm_jax.terminal import make_console


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Does the quick preset show the same order of cells as the reference?"""

    reference: Path = Path("docs/results/reference")
    """The directory of the reference, with its tables."""
    repetitions: int = 5
    """How often the quick preset is run, each time with seeds of its own."""
    workers: int | None = None
    """Worker processes. None: one a core."""
    out: Path = Path("results/agreement")
    """Directory of the results."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A pair that the reference tells apart: a row of agreement.csv.

    `same_order` counts the repetitions whose ratio of horizons, or its bound, lies on the reference's side of 1;
    `told_apart` those of them that are significant, and `opposite` those on the other side. The rest say nothing: both
    cells reach past the largest gap, or neither reaches the smallest.
    """

    longer: str
    shorter: str
    repetitions: int
    same_order: int
    told_apart: int
    opposite: int


def pairs_of(reference: Sequence[Contrast], repetitions: Sequence[Sequence[Contrast]]) -> list[Pair]:
    """Count over the repetitions, for each pair of theirs that the reference tells apart."""
    rows = []
    for pair in reference:
        shorter = shorter_of(pair)
        if shorter is None:
            continue
        longer = pair.cell_a if shorter == pair.cell_b else pair.cell_b
        found = [each for run in repetitions for each in run if {each.cell_a, each.cell_b} == {longer, shorter}]
        sides = [_side(each, longer) for each in found]
        apart = sum(shorter_of(each) == shorter for each in found)
        if found:
            rows.append(Pair(longer, shorter, len(found), sides.count(1), apart, sides.count(-1)))
    return rows


def _side(pair: Contrast, longer: str) -> int:
    """1 where that cell's horizon is the larger one as far as the pair's ratio says, -1 the smaller, 0 neither."""
    if pair.ratio is None:
        return 0
    above = pair.ratio > 1.0 or (pair.ratio == 1.0 and pair.bound == ">")
    below = pair.ratio < 1.0 or (pair.ratio == 1.0 and pair.bound == "<")
    if (above and pair.bound == "<") or (below and pair.bound == ">"):
        return 0
    return (int(above) - int(below)) * (1 if pair.cell_a == longer else -1)


def main() -> None:
    """Run what is missing, and print the table."""
    arguments = options(Agreement, "agreement")
    if not (arguments.reference / "runs.csv").is_file():
        refuse(f"agreement: reference: got {arguments.reference}; expected the directory of a sweep, with runs.csv")
    tuning_seeds = from_yaml(arguments.reference / "sweep.yaml").grid.tuning_seeds
    reference = contrasts([record.run for record in read_tables(arguments.reference)], tuning_seeds)
    quick, found = EXPERIMENT.presets["quick"], []
    for number in range(1, arguments.repetitions + 1):
        print(f"repetition {number} of {arguments.repetitions}", flush=True)
        config = quick.replace(
            seeds=tuple(seed + 1000 * number for seed in quick.grid.seeds),
            tuning_seeds=tuple(seed + 1000 * number for seed in quick.grid.tuning_seeds),
            wandb="disabled", workers=arguments.workers, out=arguments.out / str(number),
        )  # fmt: skip
        result = run_sweep(config, make_console())
        if result.stopped_by:
            raise SystemExit(128 + result.stopped_by)
        found.append(contrasts(result.rows, config.grid.tuning_seeds))
    rows = pairs_of(reference, found)
    write_rows(arguments.out / "agreement.csv", Pair, rows)
    with (arguments.out / "agreement.csv").open() as file:
        for line in csv.reader(file):
            print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
