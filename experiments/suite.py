"""A small suite: all cells, on tasks that differ in kind, under one budget; docs/leaderboard.md is made from it.

python -m experiments.suite                             # repeated, it goes on
python -m experiments.suite --tasks gap parity --cells lstm gru
python -m experiments.suite --cells mine:Cell --beside docs/results/suite     # yours alone is trained

Each task is an ordinary sweep in OUT/TASK: equal parameters, the learning rate of each cell chosen on a tuning seed,
other seeds reported. Cells are all that are registered, and models that no recurrence binds. OUT/leaderboard.md
(experiments.leaderboard) ranks them by horizon.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import rich.console
import tyro

from experiments import common
from experiments.cli import program
from experiments.common import Experiment
from lstm_jax.cells import CELLS
from lstm_jax.errors import ConfigError
from lstm_jax.signals import on_signals, raise_stopped
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.execution import ExecutionOptions, LoggingOptions
from lstm_jax.sweeps.config.fields import Allowed, Checked
from lstm_jax.sweeps.config.options import DIRECTORY, NAMES, SweepConfig
from lstm_jax.sweeps.config.parsing import parse_options

REFERENCES = ("transformer", "tcn")
"""Models without a recurrence, which stand beside the cells."""


class Entry(NamedTuple):
    """A task of the suite, with gaps that some cells reach within the budget and some do not."""

    task: str
    axis: str
    """What the task calls its gap, as `Task.axis`: a page can say so without jax."""
    gaps: tuple[int, ...]


TASKS = {
    "gap": Entry("gap", "gap (time steps)", (5, 15, 45)),
    "selective_copy": Entry("selective_copy@num_symbols=4,num_recalled=2", "blanks (time steps)", (4, 12, 36)),
    "parity": Entry("parity@asked=every", "length (bits)", (4, 12, 36)),
}
"""By their names, in the order in which they are trained."""

EXPERIMENT = Experiment(
    module="experiments.suite",
    description="How far cells reach on tasks of several kinds.",
    title="How far back do they learn to look?",
    limits={
        "smoke": "Toy size: it shows that all runs, and nothing else.",
        "quick": "A sketch: few gaps, seeds and updates.",
    },
    presets={
        "quick": SweepConfig.of(
            preset="quick",
            seeds=tuple(range(6)),
            tuning_seeds=(100,),
            embedding_dim=8,
            num_params=2056,
            max_steps=600,
        ),
        "smoke": SweepConfig.of(
            preset="smoke",
            learning_rates=(0.01,),
            seeds=(0, 1),
            tuning_seeds=(),
            embedding_dim=4,
            num_params=400,
            max_steps=30,
            eval_size=32,
        ),
    },
)
"""How a sweep of it is reported; the settings that all tasks share, by preset."""
_flat = tyro.conf.arg(name="")


@dataclasses.dataclass(frozen=True)
class Suite(Checked):
    """Train all cells on a small set of tasks, and rank them by how far they reach on each."""

    preset: Literal["quick", "smoke"] | None = None
    """quick (docs/leaderboard.md says how long it took) or smoke (toy size). None: quick."""
    tasks: Annotated[
        tuple[str, ...] | None, Allowed(f"some of {', '.join(TASKS)}, each once", TASKS.__contains__, 1)
    ] = None
    """Tasks of the suite. None: all."""
    cells: Annotated[tuple[str, ...] | None, NAMES] = None
    """Cells and models. None: all that are registered. Your own: package.module:Name."""
    beside: Annotated[Path | None, DIRECTORY] = None
    """Directory of a finished suite, such as docs/results/suite, whose settings are taken: the cells given here are
    trained alone, and ranked among its own."""
    execution: Annotated[ExecutionOptions, _flat] = dataclasses.field(default_factory=ExecutionOptions)
    logging: Annotated[LoggingOptions, _flat] = dataclasses.field(default_factory=LoggingOptions)
    out: Annotated[Path | None, DIRECTORY] = None
    """Directory of the results. Runs recorded there are not trained again. None: results/suite, or results/beside_NAME
    beside the suite in a directory NAME."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status, as that of experiments.gap_length."""
    from experiments import leaderboard

    def act(console: rich.console.Console) -> int:
        given = sys.argv[1:] if argv is None else argv
        sweeps = sweeps_of(parse_options(Suite, given, program("suite"), str(Suite.__doc__)))
        with on_signals(raise_stopped):
            status = common.run_all(EXPERIMENT, sweeps, console)
            return status if status >= 128 else max(status, leaderboard.make(sweeps[0].out.parent, None, console))

    return common.command(act)


def sweeps_of(options: Suite) -> list[SweepConfig]:
    """The sweep of each task; raises ConfigError."""
    if options.beside is not None:
        return _sweeps_beside(options, options.beside)
    shared = EXPERIMENT.presets[options.preset or "quick"]
    cells = (*CELLS, *REFERENCES) if options.cells is None else options.cells
    sweeps = []
    for name in options.tasks or TASKS:
        entry = TASKS[name]
        gaps = entry.gaps if shared.preset == "quick" else entry.gaps[:2]
        sweeps.append(_of(options, shared, "results/suite", name, task=entry.task, cells=cells, gaps=gaps))
    return sweeps


def _sweeps_beside(options: Suite, beside: Path) -> list[SweepConfig]:
    """The sweep of each task with the settings of a finished suite."""
    from experiments import leaderboard
    from experiments.beside import check

    if options.preset is not None:
        raise ConfigError(f"preset: expected none with --beside, which takes the settings of {beside}")
    if options.cells is None:
        raise ConfigError("cells: none given; expected those to train beside the suite, such as package.module:Name")
    there = leaderboard.tasks_in(beside, "beside")
    unknown = [name for name in options.tasks or () if name not in there]
    if unknown:
        raise ConfigError(f"tasks: got {', '.join(unknown)}; expected some of {', '.join(there)}, which {beside} has")
    sweeps = []
    for name in options.tasks or there:
        shared = from_yaml(beside / name / "sweep.yaml")
        out = f"results/beside_{beside.resolve().name}"
        sweeps.append(_of(options, shared, out, name, cells=options.cells, beside=beside / name))
        check(sweeps[-1])
    return sweeps


def _of(options: Suite, shared: SweepConfig, out: str, name: str, **changes: Any) -> SweepConfig:
    given = dataclasses.replace(shared, execution=options.execution, logging=options.logging)
    return given.replace(out=(options.out or Path(out)) / name, **changes)


if __name__ == "__main__":
    sys.exit(main())
