"""Negative controls: what a sweep must not find, and what needs no learning.

python -m experiments.controls                  # minutes on two cores; the verdicts are in results/controls
python -m experiments.controls --preset smoke   # at toy size, to see that it runs

Shuffled labels, a task whose answer is never far away, frozen recurrence with a trained readout, and random weights
that are never trained. docs/controls.md says what each is for.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import rich.console

from experiments.cli import program
from experiments.common import command
from lstm_jax.errors import UnwritableError
from lstm_jax.signals import Stopped
from lstm_jax.sweeps.config.fields import Count
from lstm_jax.sweeps.config.options import DIRECTORY, SweepConfig
from lstm_jax.sweeps.config.parsing import parse_options

if TYPE_CHECKING:
    from experiments.control.judge import Guesses
    from lstm_jax.sweeps.store.records import Run

_OWN = "experiments.control.tasks"
_EVAL_STEPS = 10


@dataclasses.dataclass(frozen=True)
class Controls:
    """Run the negative controls, and say pass or fail of each."""

    preset: Literal["full", "smoke"] = "full"
    """full: minutes on two cores. smoke: toy size, whose verdicts say nothing."""
    executor: Literal["process", "serial"] = "process"
    """Where runs are made: in worker processes, or in this one."""
    workers: Count | None = None
    """Worker processes. Default: one a core."""
    out: Annotated[Path, DIRECTORY] = Path("results/controls")
    """Directory of the results. Runs recorded there are not trained again."""


@dataclasses.dataclass(frozen=True)
class Size:
    """How much of each control there is."""

    cells: tuple[str, ...]
    shuffled_seeds: int
    seeds: int
    gaps: tuple[int, ...]
    max_steps: int
    num_draws: int


SIZES: Mapping[str, Size] = {
    "full": Size(("rnn", "gru", "lstm", "lstm@forget_bias=3"), 50, 12, (5, 10, 20, 40), 600, 10_000),
    "smoke": Size(("rnn", "lstm"), 2, 2, (2, 4), 60, 100),
}
GUESSED_GAPS, SCORED = 3, 128
"""Of the gaps, how many weights are guessed at, and the sequences that a guess is scored on."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status: 0 where all pass, 1 where one fails."""

    def act(console: rich.console.Console) -> int:
        arguments = parse_options(
            Controls, sys.argv[1:] if argv is None else argv, program("controls"), str(Controls.__doc__)
        )
        try:
            return run(arguments, SIZES[arguments.preset], console)
        except OSError as error:
            raise UnwritableError.of(arguments.out, error) from error

    return command(act)


def run(arguments: Controls, size: Size, console: rich.console.Console) -> int:
    """Run all controls, write what they measured, and print the verdicts."""
    from experiments.control import judge
    from lstm_jax.sweeps.store.records import write_rows

    def sweep(name: str, **options: Any) -> list[Run]:
        console.print(f"{name.replace('_', ' ')}:", style="bold")
        return _sweep(arguments, console, name, **{"cells": size.cells, "gaps": size.gaps, **options})

    seeds = tuple(range(size.seeds))
    shuffled = sweep(
        "shuffled_labels", task=f"{_OWN}:Shuffled", gaps=size.gaps[:1], seeds=tuple(range(size.shuffled_seeds)),
        max_steps=size.max_steps // 2,
    )  # fmt: skip
    present = sweep(
        "distance_free",
        task=f"{_OWN}:Present@length={max(size.gaps) + 2}",
        seeds=seeds,
        max_steps=size.max_steps,
        chunk_steps=_EVAL_STEPS,
    )
    trained = sweep("trained", seeds=seeds, max_steps=size.max_steps)
    frozen = sweep("frozen_recurrence", seeds=seeds, max_steps=size.max_steps, optimizer=f"{_OWN}:readout_adam")
    console.print("random weights:", style="bold")
    guesses, found = _guess(arguments, size, console)
    verdicts = [
        judge.shuffled_labels(shuffled),
        judge.distance_free(present),
        judge.frozen_recurrence(trained, frozen),
        judge.weight_guessing(guesses),
    ]
    write_rows(arguments.out / "controls.csv", judge.Control, verdicts)
    write_rows(arguments.out / "guessing.csv", judge.Guesses, guesses)
    plot = _draw(arguments.out, guesses, found)
    for verdict in verdicts:
        style = None if verdict.passed else "red"
        console.print(verdict.sentence, style=style, highlight=False, markup=False, soft_wrap=True)
    console.print(f"plot: {plot}")
    return int(not all(verdict.passed for verdict in verdicts))


def _sweep(arguments: Controls, console: rich.console.Console, name: str, **options: Any) -> list[Run]:
    from lstm_jax.sweeps.run import run_sweep

    config = SweepConfig.of(
        **{"learning_rates": (0.01,), "tuning_seeds": (), "num_params": 3500, "embedding_dim": 8, **options},
        executor=arguments.executor, workers=arguments.workers, wandb="disabled", out=arguments.out / name,
    )  # fmt: skip
    result = run_sweep(config, console)
    if result.stopped_by:
        raise Stopped(result.stopped_by)
    return result.rows


def _guess(
    arguments: Controls, size: Size, console: rich.console.Console
) -> tuple[list[Guesses], dict[tuple[str, int], Any]]:
    """Draw weights for each cell and gap, as recorded where an earlier command has."""
    from experiments.control import guessing
    from lstm_jax.files import write_atomically
    from lstm_jax.sweeps.worker.setup import pinned
    from lstm_jax.tasks import make_task

    config = SweepConfig.of(cells=size.cells, gaps=size.gaps, num_params=3500, embedding_dim=8)
    rows, all_scores, last = [], {}, time.monotonic()
    places = [(cell, gap) for gap in size.gaps[:GUESSED_GAPS] for cell in size.cells]
    with pinned("cpu"):
        for number, (cell, gap) in enumerate(places):
            file = arguments.out / "guesses" / f"{cell}-gap{gap}-{size.num_draws}.txt"
            if not file.exists():
                found: list[float] = []
                for part in guessing.scores(config, cell, gap, size.num_draws, SCORED):
                    found += part.tolist()
                    if time.monotonic() - last > 5.0:
                        last = time.monotonic()
                        done = (number + len(found) / size.num_draws) / len(places)
                        console.print(f"{cell} at gap {gap}: {len(found):,} draws; {done:.0%} of all", highlight=False)
                file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(file, "".join(f"{score!r}\n" for score in found))
            all_scores[cell, gap] = np.array([float(line) for line in file.read_text().split()])
            task = make_task("gap", gap)
            rows.append(guessing.summarised(cell, gap, all_scores[cell, gap], task.chance, task.solved_at))
    return rows, all_scores


def _draw(out: Path, rows: Sequence[Guesses], found: Mapping[tuple[str, int], Any]) -> Path:
    from lstm_jax.figures import style
    from lstm_jax.figures.stack import label_axes, stack_axes

    styles = style.cell_styles(style.in_order(row.cell for row in rows))
    gaps = sorted({row.gap for row in rows})
    caption = (
        f"The share of {rows[0].num_draws:,} draws of the weights, never trained, that score at least so much on "
        f"{SCORED} held-out sequences. Weights are those that a run begins with, times 2 to a power between -2 and 4. "
        "Dashed: chance."
    )
    handles = [style.handle(cell, look) for cell, look in styles.items()]
    beside = [f"gap {gap}" for gap in gaps]
    stack = stack_axes("What needs no learning", caption, handles, beside, [1.3] * len(gaps))
    for axes, gap in zip(stack.axes, gaps, strict=True):
        axes.set_yscale("log")
        axes.set_ylim(0.5 / rows[0].num_draws, 1.5)
        shares = [10.0**-power for power in range(5) if 10.0**-power >= 1.0 / rows[0].num_draws]
        axes.set_yticks(shares, [f"{share:g}" for share in shares])
        axes.set_yticks([], minor=True)
        axes.set_xlim(0.0, 1.02)
        axes.axvline(rows[0].chance, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        for cell, look in styles.items():
            scores = np.sort(found[cell, gap])
            share = 1.0 - np.arange(len(scores)) / len(scores)
            axes.plot(scores, share, color=look.colour, linestyle=look.linestyle, linewidth=look.linewidth)
        style.beside_axis(axes, 0.02, f"gap {gap}")
    label_axes(stack, "accuracy", ["share of draws"] * len(gaps))
    return style.save(stack.figure, out / "guessing", ["png"])[0]


if __name__ == "__main__":
    sys.exit(main())
