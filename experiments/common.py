"""The command that all experiments share: options, sweep, report, exit status. No jax at import."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich.console

from experiments.captions import percent
from experiments.cli import program
from lstm_jax.errors import ConfigError, DamagedError, TextError, UnwritableError
from lstm_jax.figures.words import Words
from lstm_jax.signals import Stopped, on_signals, raise_stopped
from lstm_jax.sweeps.config.command_line import Command
from lstm_jax.sweeps.config.grid import parse_commands
from lstm_jax.sweeps.config.options import SweepConfig, known, resolved
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.tasks import corpus_of
from lstm_jax.terminal import lasting_output, make_console

if TYPE_CHECKING:
    from lstm_jax.sweeps.run import Plan
    from lstm_jax.sweeps.store.records import Record
    from lstm_jax.tasks.base import Task

NUM_EXAMPLES = 3
Argv = Sequence[str] | None
"""Arguments of a command; None: those that the process was started with."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One question: its defaults, and the titles of its figures."""

    module: str
    description: str
    title: str
    presets: Mapping[str, SweepConfig]
    limits: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What a preset can't show, by its name: a sentence for the caption of its main figure."""
    has_sequence_loss: bool = False
    """Draw the loss over the whole sequence too, beside that of a solver without memory."""
    data: Any = None
    """A dataclass instance whose fields are further options: what data is prepared, and how."""
    prepare: Callable[[SweepConfig, Any, rich.console.Console], SweepConfig] | None = None
    """Makes the data that a sweep needs; returns the sweep with its task complete."""
    report: Callable[[Experiment, SweepConfig, Sequence[Record], rich.console.Console], None] | None = None
    """Writes the tables and figures of a finished sweep; None: those of `experiments.gaps`."""


def main(experiment: Experiment, argv: Sequence[str] | None = None) -> int:
    """Run the experiment as a command; returns its exit status.

    0; 1: a job failed; 2: bad input, or a disk that can't be written; 130 after Ctrl-C, 143 after SIGTERM, 129 after
    SIGHUP.
    """

    def act(console: rich.console.Console) -> int:
        with on_signals(raise_stopped):
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
            for sweep in sweeps:
                _check_beside(experiment, sweep)
            if experiment.prepare is not None:
                sweeps = [experiment.prepare(command.sweep, command.data, console) for command in commands]
            given, sweeps = sweeps, [resolved(sweep) for sweep in sweeps]
            for line in filter(None, dict.fromkeys(map(chosen, given, sweeps))):
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            if commands[0].show:
                return max(show(sweep, console) for sweep in sweeps)
            return run_all(experiment, sweeps, console)

    return command(act)


def _check_beside(experiment: Experiment, sweep: SweepConfig) -> None:
    """Raise ConfigError for a directory that the sweep can't stand beside."""
    if sweep.beside is None:
        return
    if experiment.report is not None:
        raise ConfigError(f"beside: got {sweep.beside}; expected none, as this experiment has a report of its own")
    from experiments import beside

    beside.check(sweep)


def chosen(given: SweepConfig, found: SweepConfig) -> str:
    """Name the options that were left open, as they were filled in; empty without any."""
    values = {name: value for name, value in found.flat.items() if given.flat[name] is None and value is not None}
    if given.model.hidden_dim is not None:
        values.pop("num_params", None)
    texts = (" ".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values.values())
    words = ", ".join(f"{name} {text}" for name, text in zip(values, texts, strict=True))
    return f"chosen, as not given: {words}" if words else ""


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


def measure(options: type[Any], name: str, run: Callable[[Any, rich.console.Console], int], argv: Argv) -> int:
    """Parse the options of a command that measures, and run it with them; returns its exit status.

    `options` is a dataclass with a field `out`, the directory of the results.
    """

    def act(console: rich.console.Console) -> int:
        arguments = parse_options(options, sys.argv[1:] if argv is None else argv, program(name), str(options.__doc__))
        try:
            return run(arguments, console)
        except OSError as error:
            raise UnwritableError.of(arguments.out, error) from error

    return command(act)


def _find_corpus(command: Command) -> None:
    """Have the text that a `--config` file's task names in the cache: the sweep whose file it is has a copy beside."""
    digest = corpus_of(command.sweep.task)
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

    tasks = [checked_task(config, gap) for gap in known(config.grid.gaps)]
    import jax
    import numpy as np

    jax.config.update("jax_platforms", "cpu")
    for task in tasks:
        measure = "" if task.outputs.score_name == "accuracy" else f" ({task.outputs.score_name})"
        unit = " nats" if task.outputs.loss_name.endswith("(nats)") else f" ({task.outputs.loss_name})"
        batch = jax.tree.map(np.asarray, task.sample(jax.random.key(config.grid.seeds[0]), NUM_EXAMPLES))
        console.print(
            f"{config.task}, {Words(task.axis).gap} {task.gap}: {task.num_steps} time steps, "
            f"chance level {task.chance:.3g}{measure}, memoryless loss {task.memoryless_loss:.3g}{unit}"
            f"{_size_of(task, config)}",
            style="bold",
        )
        for index in range(NUM_EXAMPLES):
            inputs, targets = jax.tree.map(lambda leaf: leaf[:, index], (batch.inputs, batch.targets))  # noqa: B023
            text = task.show(inputs, targets)
            console.print(text)
    return 0


def _size_of(task: Task, config: SweepConfig) -> str:
    """Describe the number of sequences, and the share of the held-out ones in training."""
    if task.num_sequences is None:
        return ""
    number = f"{task.num_sequences:,}" if task.num_sequences < 10**9 else f"10^{math.log10(task.num_sequences):.0f}"
    share = task.seen_share(config.training.eval_size, config.training.max_steps * known(config.training.batch_size))
    seen = "" if share is None else f", {percent(share)} of the held-out ones seen in training"
    return f"; {number} sequences{seen}"


def run_all(experiment: Experiment, sweeps: Sequence[SweepConfig], console: rich.console.Console) -> int:
    """Run one sweep after another, until one is interrupted; returns the highest exit status."""
    if len(sweeps) == 1:
        return run(experiment, sweeps[0], console)
    from lstm_jax.sweeps.run import plan_sweep

    plans = [plan_sweep(sweep) for sweep in sweeps]  # a bad last one is refused before hours go into the first
    statuses = []
    for number, plan in enumerate(plans, start=1):
        console.print(f"sweep {number} of {len(plans)}: {plan.config.out}", style="bold")
        statuses.append(run(experiment, plan, console))
        if statuses[-1] >= 128:
            break
    return max(statuses)


def run(experiment: Experiment, sweep: SweepConfig | Plan, console: rich.console.Console) -> int:
    """Train what is missing, and report on the directory; returns the exit status."""
    from experiments.report import report
    from lstm_jax.sweeps.run import run_sweep
    from lstm_jax.sweeps.stages.asked import num_runs

    result = run_sweep(sweep, console)
    config = result.config
    if result.stopped_by:
        console.print(
            f"interrupted: {len(result.records)} of {num_runs(config.grid)} runs are kept in {config.out}; "
            "repeat the command to go on"
        )
        return 128 + result.stopped_by
    try:
        report(result, console, experiment)
    except OSError as error:
        raise UnwritableError.of(Path(config.out), error) from error
    for name, reason in result.failures:
        print(f"error: job {name} failed: {reason}", file=sys.stderr)
    return 1 if result.failures else 0
