"""What all experiments share: command line, sweep, numbers, figures, and what the terminal says. No jax at import."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich.console

from lstm_jax.sweeps.config import ConfigError, SweepConfig, num_runs
from lstm_jax.sweeps.grid import parse_commands
from lstm_jax.sweeps.records import Record, write_rows
from lstm_jax.sweeps.signals import Stopped, heard, raise_stopped
from lstm_jax.sweeps.storage import UnwritableError
from lstm_jax.text import TextError

if TYPE_CHECKING:
    from lstm_jax.tasks.base import Task

NUM_EXAMPLES = 3
INTERVALS = (
    "Bands: 95% Wilson intervals. Horizon: the gap that half of the runs still learn, with a 95% bootstrap interval "
    "over seeds."
)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One question: its defaults, and how its figures are called."""

    module: str
    description: str
    title: str
    gap_label: str
    presets: Mapping[str, SweepConfig]
    has_sequence_loss: bool = False
    """Whether the loss over the whole sequence, beside what a memoryless solver reaches, is part of the picture."""
    data: Any = None
    """A dataclass instance whose fields are further options: what data is prepared, and how."""
    prepare: Callable[[SweepConfig, Any, rich.console.Console], SweepConfig] | None = None
    """Makes the data that a sweep needs; returns the sweep with its task complete."""
    report: Callable[[Experiment, SweepConfig, Sequence[Record], rich.console.Console], None] | None = None
    """What is told and drawn in the end, where that is no gap-length plot."""


def main(experiment: Experiment, argv: Sequence[str] | None = None) -> int:
    """Run the experiment as a command; returns its exit status.

    0; 1: a job failed; 2: bad input, or a disk that can't be written; 130 after Ctrl-C, 143 after SIGTERM.
    """
    console = rich.console.Console()
    try:
        with heard(raise_stopped):
            argv = sys.argv[1:] if argv is None else argv
            commands = parse_commands(
                experiment.presets,
                argv,
                prog=f"python -m {experiment.module}",
                description=experiment.description,
                data=experiment.data,
            )
            sweeps = [command.sweep for command in commands]
            if experiment.prepare is not None:
                sweeps = [experiment.prepare(command.sweep, command.data, console) for command in commands]
            if commands[0].show:
                return max(show(sweep, console) for sweep in sweeps)
            return run_all(experiment, sweeps, console)
    except (ConfigError, TextError, UnwritableError) as error:
        return one_line(error)
    except Stopped as stopped:
        print("interrupted: repeat the command to go on", file=sys.stderr)
        return stopped.status


def one_line(error: Exception) -> int:
    """Print the error in one line; returns the exit status."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def show(config: SweepConfig, console: rich.console.Console) -> int:
    """Print a few examples of the task at each gap, as a person would read them."""
    from lstm_jax.sweeps.jobs import checked_task

    tasks = [checked_task(config, gap) for gap in config.gaps]
    import jax
    import numpy as np

    jax.config.update("jax_platforms", "cpu")
    for task in tasks:
        batch = jax.tree.map(np.asarray, task.sample(jax.random.key(config.seeds[0]), NUM_EXAMPLES))
        console.print(
            f"{config.task}, gap {task.gap}: {task.num_steps} time steps, chance level {task.chance:.3g}, "
            f"memoryless loss {task.memoryless_loss:.3g} nats{_size_of(task, config)}",
            style="bold",
            highlight=False,
            soft_wrap=True,
        )
        for index in range(NUM_EXAMPLES):
            inputs, targets = jax.tree.map(lambda leaf: leaf[:, index], (batch.inputs, batch.targets))  # noqa: B023
            text = task.show(inputs, targets)
            console.print(text, highlight=False, markup=False, soft_wrap=True)
    return 0


def _size_of(task: Task, config: SweepConfig) -> str:
    """What `--show` says of how many sequences there are, and of the held-out ones in training."""
    if task.num_sequences is None:
        return ""
    number = f"{task.num_sequences:,}" if task.num_sequences < 10**9 else f"10^{math.log10(task.num_sequences):.0f}"
    share = task.seen_share(config.eval_size, config.max_steps * config.batch_size)
    seen = "" if share is None else f", {_percent(share)} of the held-out ones seen in training"
    return f"; {number} sequences{seen}"


def seen_in_training(config: SweepConfig) -> str:
    """For captions: at which gaps the task is too small for a held-out set that no run has seen."""
    from lstm_jax.tasks import make_task

    gaps: dict[tuple[str, str], list[str]] = {}
    for gap in config.gaps:
        task = make_task(config.task, gap)
        share = task.seen_share(config.eval_size, config.max_steps * config.batch_size)
        if share:
            gaps.setdefault((f"{task.num_sequences:,}", _percent(share)), []).append(str(gap))
    parts = [
        f"{number} sequences at gap{'' if len(its) == 1 else 's'} {', '.join(its)} ({share} of the held-out ones seen)"
        for (number, share), its in gaps.items()
    ]
    return f" Within its budget a run trains on held-out sequences: the task has {'; '.join(parts)}." if parts else ""


def _percent(share: float) -> str:
    return "none" if share == 0.0 else "all" if share > 0.9995 else f"{share:.0%}"


def run_all(experiment: Experiment, sweeps: Sequence[SweepConfig], console: rich.console.Console) -> int:
    """Run one sweep after another, until one is interrupted; returns the highest exit status."""
    if len(sweeps) == 1:
        return run(experiment, sweeps[0], console)
    from lstm_jax.sweeps.sweep import check_sweep

    for sweep in sweeps:  # a bad last one is told before hours go into the first
        check_sweep(sweep)
    statuses = []
    for number, sweep in enumerate(sweeps, start=1):
        console.print(f"sweep {number} of {len(sweeps)}: {sweep.out}", style="bold", highlight=False, soft_wrap=True)
        statuses.append(run(experiment, sweep, console))
        if statuses[-1] >= 128:
            break
    return max(statuses)


def run(experiment: Experiment, config: SweepConfig, console: rich.console.Console) -> int:
    """Sweep, summarise, draw; returns the exit status."""
    from lstm_jax.sweeps.sweep import run_sweep

    outcome = run_sweep(config, console)
    if outcome.stopped_by:
        console.print(
            f"interrupted: {len(outcome.records)} of {num_runs(config)} runs are kept in {config.out}; "
            "repeat the command to go on",
            highlight=False,
            soft_wrap=True,
        )
        return 128 + outcome.stopped_by
    try:
        (experiment.report or report)(experiment, config, outcome.records, console)
    except OSError as error:
        raise UnwritableError.of(Path(config.out), error) from error
    for name, reason in outcome.failures:
        print(f"error: job {name} failed: {reason}", file=sys.stderr)
    return 1 if outcome.failures else 0


def report(
    experiment: Experiment, config: SweepConfig, records: Sequence[Record], console: rich.console.Console
) -> None:
    """Write summary.csv, horizon.csv, contrasts.csv and the figures; print the summary and where the plot is."""
    from lstm_jax.analysis.horizon import Contrast, Horizon, contrasts, horizons
    from lstm_jax.analysis.summary import Summary, summarise
    from lstm_jax.report.gap_length import draw_gap_length
    from lstm_jax.report.learning_curves import draw_learning_curves
    from lstm_jax.report.table import print_summary

    out = Path(config.out)
    runs = [record.run for record in records]
    summaries = summarise(runs, config.tuning_seeds)
    if not summaries:
        console.print("no run has ended: there is nothing to summarise", highlight=False)
        return
    found = horizons(runs, config.tuning_seeds)
    write_rows(out / "summary.csv", Summary, summaries)
    write_rows(out / "horizon.csv", Horizon, found)
    write_rows(out / "contrasts.csv", Contrast, contrasts(runs, config.tuning_seeds))
    protocol = describe(config, records)
    plots = draw_gap_length(
        summaries,
        found,
        caption=f"{protocol} {INTERVALS}",
        title=experiment.title,
        stem=out / experiment.module.rpartition(".")[2],
        gap_label=experiment.gap_label,
    )
    draw_learning_curves(
        records,
        summaries,
        caption=protocol,
        title=f"Learning curves. {experiment.title}",
        path=out / "learning_curves.png",
        tuning_seeds=config.tuning_seeds,
        loss_panels=experiment.has_sequence_loss,
    )
    print_summary(console, summaries, found, config.learning_rates)
    console.print(f"plot: {plots[0]}", highlight=False, soft_wrap=True)


def describe(config: SweepConfig, records: Sequence[Record], text: str | None = None) -> str:
    """What was measured, for captions: budget, seeds, tuning, sizes, and what solved means; or on which `text`."""
    sizes = dict.fromkeys((record.run.cell, record.run.hidden_dim, record.run.num_params) for record in records)
    if config.hidden_dim is None:
        units = ", ".join(f"{cell} {hidden_dim}" for cell, hidden_dim, _ in sizes)
        terms = f"Equal parameter count, about {config.num_params} (hidden units: {units})."
    else:
        counts = ", ".join(f"{cell} {num_params}" for cell, _, num_params in sizes)
        terms = f"Equal hidden size, {config.hidden_dim} (parameters: {counts})."
    rates = ", ".join(f"{rate:g}" for rate in sorted(config.learning_rates))
    others = _count(len(config.tuning_seeds), "other seed")
    tuning = (
        f"learning rate chosen from {{{rates}}} for each cell and gap on {others}"
        if len(config.learning_rates) > 1
        else f"learning rate {rates}, not tuned"
    )
    clipping = f"clipped at {config.clip_norm:g}" if math.isfinite(config.clip_norm) else "not clipped"
    task = f"Task {config.task}" if text is None else text
    solved = " Solved: recall accuracy of at least 0.99 at three evaluations in a row." if text is None else ""
    return (
        f"{task}: trained from scratch with {config.optimizer} on at most "
        f"{config.max_steps} updates of {config.batch_size} sequences, gradients {clipping}; "
        f"{_count(len(config.seeds), 'seed')} a point, {tuning}. {terms}{solved}"
        f"{seen_in_training(config) if text is None else ''}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
