"""What all experiments share: command line, sweep, numbers, figures, and what the terminal says. No jax at import."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich.console

from experiments.cli import program
from lstm_jax.errors import ConfigError, DamagedError, TextError, UnwritableError
from lstm_jax.signals import Stopped, heard, raise_stopped
from lstm_jax.sweeps.config.command_line import Command
from lstm_jax.sweeps.config.grid import parse_commands
from lstm_jax.sweeps.config.options import SweepConfig, known, num_runs, resolved
from lstm_jax.sweeps.store.records import Record, write_rows
from lstm_jax.tasks import corpus_of
from lstm_jax.terminal import lasting_output, make_console

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

    0; 1: a job failed; 2: bad input, or a disk that can't be written; 130 after Ctrl-C, 143 after SIGTERM, 129 after
    SIGHUP.
    """

    def act(console: rich.console.Console) -> int:
        with heard(raise_stopped):
            commands = parse_commands(
                experiment.presets,
                sys.argv[1:] if argv is None else argv,
                prog=program(experiment.module.rpartition(".")[2].replace("_", "-")),
                description=experiment.description,
                data=experiment.data,
            )
            for command in commands:
                _find_corpus(command)
            sweeps = [command.sweep for command in commands]
            if experiment.prepare is not None:
                sweeps = [experiment.prepare(command.sweep, command.data, console) for command in commands]
            sweeps = [resolved(sweep) for sweep in sweeps]
            if commands[0].show:
                return max(show(sweep, console) for sweep in sweeps)
            return run_all(experiment, sweeps, console)

    return command(act)


def command(act: Callable[[rich.console.Console], int]) -> int:
    """Act as a command; returns its exit status, and says bad input in one line.

    All commands print with the console that they get here, and go on where nobody reads that any more.
    """
    with lasting_output():
        try:
            try:
                Path.cwd()
            except OSError:
                raise ConfigError("the working directory is not there any more; expected one: cd to another") from None
            return act(make_console())
        except (ConfigError, TextError, DamagedError, UnwritableError) as error:
            return one_line(error)
        except Stopped as stopped:
            print("interrupted: repeat the command to go on", file=sys.stderr)
            return stopped.status
        except KeyboardInterrupt:
            return 130


def _find_corpus(command: Command) -> None:
    """Have the text that a `--config` file's task names in the cache: the sweep whose file it is has a copy beside."""
    try:
        digest = corpus_of(command.sweep.task)
    except ValueError:  # told where tasks are made
        return
    if digest is not None and command.config is not None:
        from lstm_jax.sweeps.store.directory import Directory
        from lstm_jax.text import store

        for root in (Path(command.sweep.out), command.config.parent):
            store.ensure(digest, Directory(root).corpus)


def one_line(error: Exception) -> int:
    """Print the error in one line; returns the exit status."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def show(config: SweepConfig, console: rich.console.Console) -> int:
    """Print a few examples of the task at each gap, as a person would read them."""
    from lstm_jax.sweeps.plan import checked_task

    tasks = [checked_task(config, gap) for gap in known(config.gaps)]
    import jax
    import numpy as np

    jax.config.update("jax_platforms", "cpu")
    for task in tasks:
        batch = jax.tree.map(np.asarray, task.sample(jax.random.key(config.seeds[0]), NUM_EXAMPLES))
        console.print(
            f"{config.task}, gap {task.gap}: {task.num_steps} time steps, chance level {task.chance:.3g}, "
            f"memoryless loss {task.memoryless_loss:.3g} nats{_size_of(task, config)}",
            style="bold",
        )
        for index in range(NUM_EXAMPLES):
            inputs, targets = jax.tree.map(lambda leaf: leaf[:, index], (batch.inputs, batch.targets))  # noqa: B023
            text = task.show(inputs, targets)
            console.print(text)
    return 0


def _size_of(task: Task, config: SweepConfig) -> str:
    """What `--show` says of how many sequences there are, and of the held-out ones in training."""
    if task.num_sequences is None:
        return ""
    number = f"{task.num_sequences:,}" if task.num_sequences < 10**9 else f"10^{math.log10(task.num_sequences):.0f}"
    share = task.seen_share(config.eval_size, config.max_steps * known(config.batch_size))
    seen = "" if share is None else f", {_percent(share)} of the held-out ones seen in training"
    return f"; {number} sequences{seen}"


def seen_in_training(config: SweepConfig) -> str:
    """For captions: at which gaps the task is too small for a held-out set that no run has seen."""
    from lstm_jax.tasks import make_task

    gaps: dict[tuple[str, str], list[str]] = {}
    for gap in known(config.gaps):
        task = make_task(config.task, gap)
        share = task.seen_share(config.eval_size, config.max_steps * known(config.batch_size))
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
    from lstm_jax.sweeps.run import check_sweep

    for sweep in sweeps:  # a bad last one is told before hours go into the first
        check_sweep(sweep)
    statuses = []
    for number, sweep in enumerate(sweeps, start=1):
        console.print(f"sweep {number} of {len(sweeps)}: {sweep.out}", style="bold")
        statuses.append(run(experiment, sweep, console))
        if statuses[-1] >= 128:
            break
    return max(statuses)


def run(experiment: Experiment, config: SweepConfig, console: rich.console.Console) -> int:
    """Sweep, summarise, draw; returns the exit status."""
    from lstm_jax.sweeps.run import run_sweep

    outcome = run_sweep(config, console)
    config = outcome.config
    if outcome.stopped_by:
        console.print(
            f"interrupted: {len(outcome.records)} of {num_runs(config)} runs are kept in {config.out}; "
            "repeat the command to go on"
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
    from lstm_jax.analysis.gaps.horizon import Contrast, Horizon, contrasts, horizons
    from lstm_jax.analysis.gaps.summary import Summary, summarise
    from lstm_jax.figures.gaps.gap_length import draw_gap_length
    from lstm_jax.figures.gaps.table import print_summary
    from lstm_jax.figures.learning_curves import draw_learning_curves

    out = Path(config.out)
    runs = [record.run for record in records]
    summaries = summarise(runs, config.tuning_seeds)
    if not summaries:
        console.print("no run has ended: there is nothing to summarise")
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
    for line in off_terms(config, records):
        console.print(f"not on equal terms: {line}")
    console.print(f"plot: {plots[0]}")


def describe(config: SweepConfig, records: Sequence[Record], text: str | None = None) -> str:
    """What was measured, for captions: budget, seeds, tuning, sizes, and what solved means; or on which `text`.

    As the records say it, which are all of one way of training.
    """
    made = {**dataclasses.asdict(config), **next((record.settings for record in records), {})}
    others = _count(len(config.tuning_seeds), "other seed")
    rates = ", ".join(f"{rate:g}" for rate in sorted({record.run.learning_rate for record in records}))
    tuning = (
        f"learning rate chosen from {{{rates}}} for each cell and gap on {others}"
        if len(config.learning_rates) > 1
        else f"learning rate {rates}, not tuned"
    )
    clip_norm = float(made["clip_norm"])
    clipping = f"clipped at {clip_norm:g}" if math.isfinite(clip_norm) else "not clipped"
    task = f"Task {made['task']}" if text is None else text
    solved = " Solved: recall accuracy of at least 0.99 at three evaluations in a row." if text is None else ""
    versions = {(record.run.versions, record.run.environment) for record in records}
    mixed = f" Made with {len(versions)} sets of versions or environments (runs.csv)." if len(versions) > 1 else ""
    return (
        f"{task}: trained from scratch with {made['optimizer']} on at most "
        f"{made['max_steps']} updates of {made['batch_size']} sequences, gradients {clipping}; "
        f"{_count(len(config.seeds), 'seed')} a point, {tuning}. {_terms(config, records)}{solved}{mixed}"
        f"{seen_in_training(config) if text is None else ''}"
    )


def _terms(config: SweepConfig, records: Sequence[Record]) -> str:
    """On which terms cells meet, and where they don't."""
    sizes: dict[str, dict[tuple[int, int], None]] = {}
    for record in records:
        sizes.setdefault(record.run.cell, {})[record.run.hidden_dim, record.run.num_params] = None

    def of_each(place: int) -> str:
        values = {cell: sorted({size[place] for size in found}) for cell, found in sizes.items()}
        return ", ".join(
            f"{cell} {' to '.join(map(str, dict.fromkeys((its[0], its[-1]))))}" for cell, its in values.items()
        )

    if config.hidden_dim is not None:
        return f"Equal hidden size, {config.hidden_dim} (parameters: {of_each(1)})."
    off = off_terms(config, records)
    but = f" But {'; '.join(off)}." if off else ""
    return f"Equal parameter count, about {config.num_params} (hidden units: {of_each(0)}).{but}"


def off_terms(config: SweepConfig, records: Sequence[Record]) -> list[str]:
    """The cells, and gaps, whose parameters are more than 1% off the number that all are to have."""
    if config.hidden_dim is not None:
        return []
    wanted = known(config.num_params)
    gaps: dict[tuple[str, int], list[str]] = {}
    for record in records:
        if abs(record.run.num_params / wanted - 1) > 0.01:
            its = gaps.setdefault((record.run.cell, record.run.num_params), [])
            if str(record.run.gap) not in its:
                its.append(str(record.run.gap))
    return [
        f"{cell} has {num_params} parameters ({num_params / wanted - 1:+.1%}) at gap {', '.join(its)}"
        for (cell, num_params), its in gaps.items()
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
