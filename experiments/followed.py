"""The runs that experiments.why looks at: a sweep's own, by their last states, or new ones along their training.

No jax but in the worker processes.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.recorded import record_name
from experiments.tuned import Tuned, tuned_sweep
from lstm_jax.errors import ConfigError, DamagedError
from lstm_jax.sweeps.config.options import SweepConfig, known, resolved
from lstm_jax.sweeps.job import Job, RunKey, run_weight
from lstm_jax.sweeps.store import checkpoints
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.files import MANIFEST, check_directory

if TYPE_CHECKING:
    from experiments.why import Why
    from lstm_jax.diagnostics.follow import Followed

FIRST_SEED = 1000
"""Seeds of new runs from here on: not those of a sweep, whose runs chose the rates."""


class LastState(NamedTuple):
    """The last state of a run of the sweep: in the checkpoints of its job, after so many updates."""

    checkpoints: Path
    digest: str
    """Of the checkpoint that has it."""
    step: int
    solved_step: int | None


@dataclasses.dataclass(frozen=True)
class RunToFollow:
    """One run: trained and looked at after `steps` updates, or, of a last state, at its start and its end alone."""

    job: Job
    seed: int
    learning_rate: float
    steps: tuple[int, ...]
    last: LastState | None = None

    @property
    def name(self) -> str:
        """Its file, without the ending."""
        facts = [self.job.settings.flat, self.seed, self.learning_rate, self.steps, self.last and self.last.digest]
        return record_name(f"{self.job.name}-seed{self.seed}", facts)

    @property
    def weight(self) -> float:
        """Its expected cost."""
        return self.job.weight if self.last is None else run_weight(self.job.settings.gap, 100)


class Found(NamedTuple):
    """The runs to follow, in the order of the grid, and a line for each thing that a reader has to know of them."""

    runs: list[RunToFollow]
    lines: list[str]


def runs_of(arguments: Why) -> Found:
    """The runs to follow; raises ConfigError for what can't be had."""
    from lstm_jax.sweeps.plan import in_order, make_jobs

    tuned = tuned_sweep(arguments.sweep)
    config = _config_of(arguments, tuned)
    jobs = in_order(config, make_jobs(config, to_train=False)[0])
    rates = {cell: arguments.learning_rate or tuned.rates[cell] for cell in config.grid.cells}
    if arguments.anew:
        return Found(list(_runs(arguments, jobs, rates, {}, ())), [])
    found, lines = _last_states(arguments.sweep, jobs, tuned)
    report = tuple(seed for seed in tuned.config.grid.seeds if seed not in tuned.config.grid.tuning_seeds)
    runs = list(_runs(arguments, jobs, rates, found, report))
    own = [run for run in runs if run.last is not None]
    if not own:
        none = f"sweep: {arguments.sweep} has no last states of these runs; new ones are trained"
        return Found(list(_runs(arguments, jobs, rates, {}, ())), [*lines, none])
    trained = [f"{run.job.settings.cell} at {run.job.settings.gap} seed {run.seed}" for run in runs if not run.last]
    lines.append(f"sweep: {len(own)} runs are its own, measured at their start and in their last states")
    if trained:
        lines.append(f"sweep: no last state there, trained now: {', '.join(trained)}")
    return Found(runs, lines)


def _runs(
    arguments: Why, jobs: Sequence[Job], rates: Mapping[str, float],
    last_states: Mapping[tuple[str, RunKey], LastState], report: Sequence[int],
) -> Iterator[RunToFollow]:  # fmt: skip
    """Of each job the first runs of the report seeds, by their last states where those are kept; then new ones."""
    for job in jobs:
        training = job.settings.training
        doubled = [training.eval_steps * 2**power for power in range(16)]
        steps = (0, *(step for step in doubled if step < training.max_steps), training.max_steps)
        rate = rates[job.settings.cell]
        for number in range(arguments.seeds):
            seed = report[number] if number < len(report) else FIRST_SEED + number
            last = last_states.get((job.name, RunKey(seed, rate)))
            yield RunToFollow(job, seed, rate, steps if last is None else (0, last.step), last)


def _config_of(arguments: Why, tuned: Tuned) -> SweepConfig:
    """The sweep with what was given in place of its own."""
    sweep, rates = tuned.config, tuned.rates
    cells = arguments.cells or tuple(rates)
    unknown = [cell for cell in cells if cell not in rates]
    if unknown and arguments.learning_rate is None:
        raise ConfigError(
            f"learning_rate: none given; expected one, as {arguments.sweep} has none for {', '.join(unknown)}"
        )
    config = sweep.replace(
        cells=cells, gaps=arguments.gaps or known(sweep.grid.gaps), beside=None, out=arguments.out,
        max_steps=arguments.max_steps or sweep.training.max_steps,
    )  # fmt: skip
    return resolved(config)


def _last_states(
    sweep: Path, jobs: Iterable[Job], tuned: Tuned
) -> tuple[dict[tuple[str, RunKey], LastState], list[str]]:
    """The last states of recorded runs with the settings of these jobs, and a line for each checkpoint that is none."""
    recorded = {(run.cell, run.gap, run.seed, run.learning_rate): run for run in (each.run for each in tuned.records)}
    found: dict[tuple[str, RunKey], LastState] = {}
    lines = []
    for job in jobs:
        place, settings = Directory(sweep).checkpoints(job), job.settings
        for name in checkpoints.names(place, "ended"):
            try:
                facts = check_directory(place / name)
            except DamagedError as error:
                lines.append(f"sweep: damaged: {error}; it is left out")
                continue
            if facts["settings"] != settings.hash:
                lines.append(f"sweep: {place / name} is of other settings, code or updates; it is left out")
                continue
            digest = hashlib.sha256((place / name / MANIFEST).read_bytes()).hexdigest()
            for key in (RunKey(*each) for each in facts["runs"]):
                run = recorded.get((settings.cell, settings.gap, *key))
                if run is not None and run.status != "diverged":  # of numbers that are none nothing is to be seen
                    found.setdefault((job.name, key), LastState(place, digest, run.steps, run.solved_step))
    return found, lines


def follow_one(task: RunToFollow) -> dict[str, Any]:
    """Follow one run, or diagnose its last state, in a worker process."""
    from lstm_jax.diagnostics.follow import at_ends, follow
    from lstm_jax.sweeps.worker import states

    settings, training = task.job.settings, task.job.training()
    clip_norm = settings.training.clip_norm
    if task.last is None:
        found = follow(
            settings.cell, training, task.seed, task.learning_rate, clip_norm, task.steps, settings.eval_steps
        )
    else:
        last = states.restore(task.last.checkpoints, task.job, RunKey(task.seed, task.learning_rate))
        found = at_ends(
            settings.cell, training, task.seed, task.learning_rate, clip_norm, last, task.last.solved_step
        )  # fmt: skip
    return dataclasses.asdict(found)


def followed(tree: dict[str, Any]) -> Followed:
    """The inverse of `follow_one`'s dataclasses.asdict."""
    from lstm_jax.analysis.causes import AtDistance, Moment
    from lstm_jax.diagnostics.follow import Followed

    return Followed(
        tree["solved_step"],
        tuple(Moment(**row) for row in tree["moments"]),
        tuple(AtDistance(**row) for row in tree["by_distance"]),
    )
