"""Why does a cell stop? What reaches a fact, what is left of it, and what training sees of it, along training.

python -m experiments.why                                         # the cells of docs/results/quick, at their rates
python -m experiments.why --sweep results/gap_length --gaps 40    # those of another sweep
python -m experiments.why --sweep DIR --cells lstm mine:Cell --learning-rate 0.01

Takes the settings and the tuned rates of a finished sweep (sweep.yaml and runs.csv), trains a few seeds anew, and
measures them along the way: docs/why.md says what, and what it means. A run that is recorded is not trained again.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import rich.console

from experiments.cli import program
from experiments.common import command
from lstm_jax.errors import ConfigError, UnwritableError
from lstm_jax.files import file_name, write_atomically
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.fields import Allowed, Checked, Count
from lstm_jax.sweeps.config.options import DIRECTORY, SweepConfig, known, resolved
from lstm_jax.sweeps.config.parsing import on_this_machine, parse_options
from lstm_jax.sweeps.job import Job
from lstm_jax.sweeps.machine import num_cores, versions
from lstm_jax.sweeps.store.records import write_rows
from lstm_jax.sweeps.worker.setup import end_with_parent, prepare_process

if TYPE_CHECKING:
    from lstm_jax.analysis.causes import Verdict
    from lstm_jax.diagnostics.follow import Followed

_SWEEP = Path("docs/results/quick")
SECONDS_BETWEEN_LINES = 5.0
FIRST_SEED = 1000
"""Seeds from here on: not those of a sweep, whose runs chose the rates."""


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
    workers: Count | None = None
    """Worker processes. None: one a core."""
    out: Annotated[Path, DIRECTORY] = Path("results/why")
    """Directory of the results."""


@dataclasses.dataclass(frozen=True)
class RunToFollow:
    """One run to follow."""

    job: Job
    seed: int
    learning_rate: float
    steps: tuple[int, ...]

    @property
    def name(self) -> str:
        """Its file, without the ending: what the numbers depend on is part of it."""
        facts = [self.job.settings.flat, self.seed, self.learning_rate, self.steps, versions()]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        return file_name(f"{self.job.name}-seed{self.seed}-{digest}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""

    def act(console: rich.console.Console) -> int:
        arguments = parse_options(Why, sys.argv[1:] if argv is None else argv, program("why"), str(Why.__doc__))
        try:
            return run(arguments, console)
        except OSError as error:
            raise UnwritableError.of(arguments.out, error) from error

    return command(act)


def run(arguments: Why, console: rich.console.Console) -> int:
    """Follow all runs, write what was measured and the verdicts, and draw a page a cell."""
    from lstm_jax.analysis.causes import AtDistance, Moment, Verdict, verdicts
    from lstm_jax.diagnostics.measure import USUAL

    tasks = tasks_of(arguments)
    followed = _follow_all(tasks, arguments, console)
    moments = [moment for each in followed for moment in each.moments]
    by_distance = [row for each in followed for row in each.by_distance]
    solved = {
        (task.job.settings.cell, task.job.settings.gap, task.seed)
        for task, each in zip(tasks, followed, strict=True)
        if each.solved_step is not None
    }
    judged = verdicts(moments, by_distance, solved, 1.0 / USUAL.num_batches)
    write_rows(arguments.out / "diagnostics.csv", Moment, moments)
    write_rows(arguments.out / "by_distance.csv", AtDistance, by_distance)
    write_rows(arguments.out / "verdicts.csv", Verdict, judged)
    for row in judged:
        console.print(sentence(row), highlight=False, markup=False, soft_wrap=True)
    for cell in dict.fromkeys(moment.cell for moment in moments):
        plot = _draw(arguments, cell, moments, min(task.job.training().task.chance for task in tasks))
        console.print(f"{cell}: {plot}", highlight=False, markup=False, soft_wrap=True)
    return 0


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


def tasks_of(arguments: Why) -> list[RunToFollow]:
    """The runs to follow, in the order of the grid; raises ConfigError for what can't be had."""
    from lstm_jax.sweeps.plan import in_order, make_jobs

    config, rates = _sweep_of(arguments)
    jobs = in_order(config, make_jobs(config, to_train=False)[0])
    eval_steps = config.training.eval_steps
    doubled = [eval_steps * 2**power for power in range(16)]
    steps = (0, *(step for step in doubled if step < config.training.max_steps), config.training.max_steps)
    return [
        RunToFollow(
            dataclasses.replace(job, runs=()), FIRST_SEED + seed,
            arguments.learning_rate or rates[job.settings.cell], steps,
        )
        for job in jobs
        for seed in range(arguments.seeds)
    ]  # fmt: skip


def _sweep_of(arguments: Why) -> tuple[SweepConfig, Mapping[str, float]]:
    """The sweep with what was given in place of its own, and the tuned rates of its cells."""
    from lstm_jax.analysis.gaps.summary import summarise
    from lstm_jax.sweeps.views.tables import read_tables

    directory = on_this_machine("sweep", arguments.sweep)
    if not (directory / "sweep.yaml").is_file() or not (directory / "runs.csv").is_file():
        raise ConfigError(f"sweep: got {directory}; expected the directory of a finished sweep, with runs.csv")
    sweep = from_yaml(directory / "sweep.yaml")
    runs = [record.run for record in read_tables(directory)]
    rates = {row.cell: row.learning_rate for row in summarise(runs, sweep.grid.tuning_seeds)}
    cells = arguments.cells or tuple(rates)
    unknown = [cell for cell in cells if cell not in rates]
    if unknown and arguments.learning_rate is None:
        raise ConfigError(f"learning_rate: none given; expected one, as {directory} has none for {', '.join(unknown)}")
    config = sweep.replace(
        cells=cells, gaps=arguments.gaps or known(sweep.grid.gaps), beside=None, out=arguments.out,
        max_steps=arguments.max_steps or sweep.training.max_steps, backward="autodiff",
    )  # fmt: skip
    return resolved(config), rates


def _follow_all(tasks: Sequence[RunToFollow], arguments: Why, console: rich.console.Console) -> list[Followed]:
    """Follow what is not recorded yet, in worker processes; returns all in the order of `tasks`."""
    folder = arguments.out / "followed"
    missing = [task for task in tasks if not (folder / f"{task.name}.json").is_file()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        workers = min(arguments.workers or num_cores(), len(missing))
        context = multiprocessing.get_context("spawn")  # fork would copy locks that threads of jax hold
        started = last = time.monotonic()
        with concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_prepare) as pool:
            longest = sorted(missing, key=lambda task: -task.job.weight)
            futures = {pool.submit(follow_one, task): task for task in longest}
            try:
                for number, future in enumerate(concurrent.futures.as_completed(futures), start=1):
                    write_atomically(folder / f"{futures[future].name}.json", json.dumps(future.result()))
                    now = time.monotonic()
                    if now - last > SECONDS_BETWEEN_LINES:
                        last, left = now, (now - started) / number * (len(missing) - number)
                        console.print(f"{number} of {len(missing)} runs followed, {left:.0f} s left", highlight=False)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return [_read(folder / f"{task.name}.json") for task in tasks]


def _prepare() -> None:
    """Prepare a worker process, which ends with this one."""
    end_with_parent()
    prepare_process()


def follow_one(task: RunToFollow) -> dict[str, Any]:
    """Follow one run, in a worker process."""
    from lstm_jax.diagnostics.follow import follow

    settings = task.job.settings
    found = follow(
        settings.cell, task.job.training(), task.seed, task.learning_rate,
        settings.training.clip_norm, task.steps, settings.eval_steps,
    )  # fmt: skip
    return dataclasses.asdict(found)


def _read(path: Path) -> Followed:
    from lstm_jax.analysis.causes import AtDistance, Moment
    from lstm_jax.diagnostics.follow import Followed

    tree = json.loads(path.read_text())
    return Followed(
        tree["solved_step"],
        tuple(Moment(**row) for row in tree["moments"]),
        tuple(AtDistance(**row) for row in tree["by_distance"]),
    )


def _draw(arguments: Why, cell: str, moments: Sequence[Any], chance: float) -> Path:
    from lstm_jax.figures.gaps.why import why_figure
    from lstm_jax.figures.style import save

    own = [moment for moment in moments if moment.cell == cell]
    caption = (
        f"Runs a gap: {arguments.seeds}. Settings of {arguments.sweep}, learning rate {own[0].learning_rate:g}. All is "
        "of the distance from the fact to its answer. Accuracy: on the held-out set. Signal: the fact's share of a "
        "gradient's second moment, the largest among the recurrent weights; below the dashed line it is noise. Memory: "
        "how often a linear probe reads the fact from the state before the answer; quiet memory: from sequences "
        "without distractors. Transport: the gradient that reaches the fact's state over that at the last one. Time "
        "constant: of the values of the state, the 90th percentile. Sharpness: times the learning rate; Adam is "
        "unstable above the dashed line."
    )
    (plot,) = save(
        why_figure(own, chance=chance, caption=caption, title=f"Why does {cell} stop?"),
        arguments.out / f"why_{file_name(cell)}", ["png"],
    )  # fmt: skip
    return plot


if __name__ == "__main__":
    sys.exit(main())
