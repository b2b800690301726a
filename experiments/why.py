"""Why does a cell stop? What reaches a fact, what is left of it, and what training sees of it, along training.

python -m experiments.why                                         # the cells of docs/results/quick, at their rates
python -m experiments.why --sweep results/gap_length --gaps 40    # those of another sweep
python -m experiments.why --sweep DIR --cells lstm mine:Cell --learning-rate 0.01

Takes the settings and the tuned rates of a finished sweep (sweep.yaml and runs.csv). Where its directory has the last
states of its runs, those are measured, and the states that they began with; else a few new runs are trained and
measured along the way: docs/why.md says what, and what it means. A run that is recorded is not trained again.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import rich.console

from experiments import rescues
from experiments.common import Argv, measure
from experiments.followed import RunToFollow, follow_one, followed, runs_of
from experiments.recorded import all_of
from experiments.tuned import tuned_sweep
from lstm_jax.errors import ConfigError
from lstm_jax.files import file_name
from lstm_jax.sweeps.config.fields import Allowed, Checked, Count
from lstm_jax.sweeps.config.options import DIRECTORY
from lstm_jax.sweeps.store.records import write_rows

if TYPE_CHECKING:
    from experiments.page.findings import Findings
    from lstm_jax.analysis.causes import AtDistance, Moment, Verdict
    from lstm_jax.analysis.rescued import Rescue

_SWEEP = Path("docs/results/quick")


@dataclasses.dataclass(frozen=True)
class Why(Checked):
    """Measure along training why a cell stops learning at a gap."""

    sweep: Path = _SWEEP
    """The directory of a finished sweep, with sweep.yaml and runs.csv: settings, cells, gaps and tuned rates."""
    cells: Annotated[tuple[str, ...] | None, Allowed("names of cells", lambda name: bool(name), 1)] = None
    """Cells to follow. None: those of the sweep. Another one needs --learning-rate."""
    gaps: Annotated[tuple[int, ...] | None, Allowed("whole numbers of at least 1", lambda gap: gap >= 1, 1)] = None
    """Gaps. None: those of the sweep."""
    learning_rate: Annotated[float | None, Allowed("a number above 0", lambda rate: rate > 0.0)] = None
    """None: the one that the sweep chose for the cell."""
    max_steps: Count | None = None
    """Updates at most. None: as many as the sweep has."""
    seeds: Count = 2
    """How many runs of each cell at each gap are followed."""
    anew: bool = False
    """Train new runs and measure along their training, also where the sweep has the last states of its own."""
    rescued: Path | None = None
    """The directory of a finished experiments.rescues for the same sweep: it says what helped, beside each verdict."""
    rescue_seeds: Annotated[int, Allowed("a whole number of at least 0", lambda number: number >= 0)] = 0
    """How many runs to try with each change now, at the first gap at which a cell stops. 0: none; 12 tell something."""
    workers: Count | None = None
    """Worker processes. None: one a core."""
    out: Annotated[Path, DIRECTORY] = Path("results/why")
    """Directory of the results."""


def main(argv: Argv = None) -> int:
    """Run as a command; returns the exit status."""
    return measure(Why, "why", run, argv)


def run(arguments: Why, console: rich.console.Console) -> int:
    """Follow all runs, write what was measured and the verdicts, and draw a page a cell."""
    from lstm_jax.analysis.causes import AtDistance, Moment, Verdict, verdicts
    from lstm_jax.analysis.rescued import agreement
    from lstm_jax.diagnostics.measure import USUAL

    if arguments.rescued is not None and arguments.rescue_seeds:
        raise ConfigError("rescued, rescue_seeds: expected one of them: what is read, or what is tried now")
    earlier = [] if arguments.rescued is None else rescues.read(arguments.rescued / "rescues.csv")
    tasks, notes = runs_of(arguments)
    for line in notes:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    folder = arguments.out / "followed"
    found = [followed(tree) for tree in all_of(tasks, follow_one, folder, arguments.workers, console, "runs followed")]
    moments = [moment for each in found for moment in each.moments]
    by_distance = [row for each in found for row in each.by_distance]
    solved = {
        (task.job.settings.cell, task.job.settings.gap, task.seed)
        for task, each in zip(tasks, found, strict=True)
        if each.solved_step is not None
    }
    judged = verdicts(moments, by_distance, solved, 1.0 / USUAL.num_batches, tasks[0].job.settings.batch_size)
    write_rows(arguments.out / "diagnostics.csv", Moment, moments)
    write_rows(arguments.out / "by_distance.csv", AtDistance, by_distance)
    write_rows(arguments.out / "verdicts.csv", Verdict, judged)
    rescued = _rescue(arguments, tasks, judged, console) if arguments.rescue_seeds else _fitting(earlier, tasks)
    lines: dict[str, list[str]] = {}
    for row in judged:
        own = [rescue for rescue in rescued if (rescue.cell, rescue.gap) == (row.cell, row.gap)]
        said = f"{sentence(row)}; {agreement(row.cause, own)}" if own else sentence(row)
        lines.setdefault(row.cell, []).append(said)
        console.print(said, highlight=False, markup=False, soft_wrap=True)
    findings = _of_sweep(arguments)
    chance = min(task.job.training().task.chance for task in tasks)
    for cell in dict.fromkeys(moment.cell for moment in moments):
        of_cell = [moment for moment in moments if moment.cell == cell]
        far = [row for row in by_distance if row.cell == cell]
        tried = [rescue for rescue in rescued if rescue.cell == cell]
        protocol = _protocol(arguments, of_cell, any(task.last is not None for task in tasks))
        plot = _draw(arguments.out, of_cell, far, chance, lines[cell], protocol)
        page = _write_page(arguments.out, of_cell, far, tried, chance, lines[cell], protocol, findings)
        console.print(f"{cell}: {plot}, {page}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _rescue(
    arguments: Why, tasks: Sequence[RunToFollow], judged: Sequence[Verdict], console: rich.console.Console
) -> list[Rescue]:
    """Try what lets each cell learn at the first gap at which it stops; writes the tables of experiments.rescues."""
    from lstm_jax.analysis.rescued import RESCUES, Rescue, RescuedRun
    from lstm_jax.analysis.rescued import rescues as compare

    first: dict[str, int] = {}
    for row in judged:
        if row.cause != "solved":
            first[row.cell] = min(row.gap, first.get(row.cell, row.gap))
    seeds = tuple(range(rescues.FIRST_SEED, rescues.FIRST_SEED + arguments.rescue_seeds))
    of = {(task.job.settings.cell, task.job.settings.gap): task for task in tasks}
    pieces = [
        piece
        for place in first.items()
        for piece in rescues.with_changes(of[place].job.settings, of[place].learning_rate, seeds, RESCUES)
    ]
    found = all_of(pieces, rescues.train, arguments.out / "runs", arguments.workers, console, "changes tried")
    rows = rescues.rows_of(pieces, found)
    compared = compare(rows)
    write_rows(arguments.out / "rescued_runs.csv", RescuedRun, rows)
    write_rows(arguments.out / "rescues.csv", Rescue, compared)
    return compared


def _fitting(earlier: Sequence[Rescue], tasks: Sequence[RunToFollow]) -> list[Rescue]:
    """Of the rescues that were read, those of runs like these: the same cell, gap, size, rate and updates."""
    runs = {(task.job.settings, task.learning_rate) for task in tasks}
    like = {(own.cell, own.gap, own.hidden_dim, rate, own.training.max_steps) for own, rate in runs}
    return [row for row in earlier if (row.cell, row.gap, row.hidden_dim, row.learning_rate, row.max_steps) in like]


def sentence(row: Verdict) -> str:
    """The verdict on a cell at a gap, and the numbers that decided."""
    numbers = [
        f"{name} {value:.2g}"
        for name, value in (
            ("signal", row.signal), ("memory", row.memory), ("quiet memory", row.quiet_memory),
            ("transport", row.transport), ("sharpness", row.sharpness),
        )
        if value is not None
    ]  # fmt: skip
    agree = f"{row.num_agree} of {row.num_runs} runs"
    return f"{row.cell} at {row.gap}: {row.cause} ({'; '.join([agree, *numbers])})"


def _protocol(arguments: Why, own: Sequence[Moment], has_last_states: bool) -> str:
    runs = (
        "Runs of the sweep, at their start and in their last states, where those are kept. " if has_last_states else ""
    )
    return (
        f"Runs a gap: {arguments.seeds}. {runs}Settings of {arguments.sweep}, learning rate "
        f"{own[0].learning_rate:g}. All is of the distance from the fact to its answer."
    )


def _of_sweep(arguments: Why) -> Findings:
    """What the sweep's own runs say: of its tables, which need none of the cells that are not followed."""
    from experiments.page.findings import findings_of
    from experiments.report import experiment_of

    tuned = tuned_sweep(arguments.sweep)
    return findings_of(experiment_of(tuned.config), tuned.config.replace(beside=None), tuned.records)


def _draw(
    out: Path, own: Sequence[Moment], far: Sequence[AtDistance], chance: float, lines: Sequence[str], protocol: str
) -> Path:
    from lstm_jax.figures.gaps.why import why_figure
    from lstm_jax.figures.style import save

    cell = own[0].cell
    caption = (
        f"{'. '.join(lines)}. {protocol} Accuracy: on the held-out set. Signal: the fact's share of a "
        "gradient's second moment, the largest among the recurrent weights; below the dashed line it is noise. Memory: "
        "how often a linear probe reads the fact from the state before the answer; quiet memory: from sequences "
        "without distractors. Transport: the gradient that reaches the fact's state over that at the last one. Time "
        "constant: of the values of the state, the 90th percentile. Sharpness: times the learning rate; Adam is "
        "unstable above the dashed line."
    )
    figure = why_figure(own, far, chance=chance, caption=caption, title=f"Why does {cell} stop?")
    (plot,) = save(figure, out / f"why_{file_name(cell)}", ["png"])
    return plot


def _write_page(
    out: Path, own: Sequence[Moment], far: Sequence[AtDistance], rescued: Sequence[Rescue], chance: float,
    lines: Sequence[str], protocol: str, findings: Findings,
) -> Path:  # fmt: skip
    from experiments.page.sections import write
    from experiments.page.why import of_cell
    from lstm_jax.analysis.causes import STABLE
    from lstm_jax.figures.gaps.why import NOISE

    levels = {"signal": NOISE, "sharpness": STABLE, "score": chance, "memory": chance, "quiet_memory": chance}
    said = [f"{line}." for line in lines]
    page = of_cell(own[0].cell, own, far, rescued, findings, said=said, protocol=protocol, levels=levels)
    return write(page, out / f"why_{file_name(own[0].cell)}.html")


if __name__ == "__main__":
    sys.exit(main())
