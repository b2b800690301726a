"""A grid to jobs: all runs of one cell at one gap share one compiled program. Sizes are checked before it compiles."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.options import MIN_STEPS, SweepConfig, known, trained_seeds
from lstm_jax.sweeps.environment import environment
from lstm_jax.sweeps.machine import available_bytes, has_accelerator, num_workers, versions
from lstm_jax.sweeps.sources import code_digest
from lstm_jax.sweeps.store.files import file_name
from lstm_jax.sweeps.store.records import Run, Status
from lstm_jax.tasks.solved import check_guessing

if TYPE_CHECKING:
    from lstm_jax.scanning import Backward
    from lstm_jax.tasks.base import Task
    from lstm_jax.training import Training

FLOATS_PER_STEP = {"autodiff": 16, "activations": 12, "states": 7, "checkpoint": 4}
"""Arrays of [batch, hidden_dim] that backpropagation keeps for a time step of an LSTM, with room to spare."""
FASTEST_FIRST: tuple["Backward", ...] = ("activations", "states", "checkpoint")
"""In this order they are mostly faster on a CPU, and take more memory: docs/performance.md."""
FLOAT_BYTES = 4
_CHANGES_NO_NUMBER = {"changes_numbers": False}
"""Said of the few fields of a job that its settings leave out: what is not marked is part of a run's identity."""


class RunKey(NamedTuple):
    """What tells the runs of a job apart."""

    seed: int
    learning_rate: float


@dataclasses.dataclass(frozen=True)
class Job:
    """All runs that share one compiled program; plain values, so that it can be sent to any worker."""

    cell: str
    task: str
    gap: int
    hidden_dim: int
    num_params: int
    num_layers: int
    dropout: float
    embedding_dim: int
    optimizer: Literal["adam", "rmsprop"]
    clip_norm: float
    backward: Backward | None
    truncation: int | None
    batch_size: int
    max_steps: int
    chunk_steps: int
    eval_size: int
    stop_when_solved: bool
    lanes: int | None
    code: str = ""
    """`sources.code_digest` of its training: fields as they are, defaults included, and the user's own source."""
    checkpoint_seconds: float = dataclasses.field(default=math.inf, metadata=_CHANGES_NO_NUMBER)
    runs: tuple[RunKey, ...] = dataclasses.field(default=(), metadata=_CHANGES_NO_NUMBER)

    @property
    def name(self) -> str:
        """The job's name, which is a file name too."""
        return job_name(self.cell, self.gap)

    @property
    def settings(self) -> dict[str, Any]:
        """What the numbers of its runs depend on, beside a run's own key and the versions: plain values."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata != _CHANGES_NO_NUMBER
        }
        return {
            name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }

    @property
    def settings_hash(self) -> str:
        """A hash of `settings`."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def eval_steps(self) -> int:
        """Updates between two evaluations: no budget is too small for those that solved means."""
        return max(1, min(self.chunk_steps, self.max_steps // MIN_STEPS))

    @property
    def weight(self) -> float:
        """What one of its runs may cost."""
        return run_weight(self.gap, self.max_steps)

    def training(self, backward: Backward = "autodiff") -> Training:
        """The static part of its runs (imports jax); raises ValueError where cell or task can't be made."""
        from lstm_jax.models import Sizes, form_of, make_model
        from lstm_jax.tasks import make_task
        from lstm_jax.training import Training

        task = make_task(self.task, self.gap, form_of(self.cell))
        model = make_model(
            self.cell,
            Sizes(self.hidden_dim, self.embedding_dim, self.num_layers, self.dropout, backward, self.truncation),
            form=task.form,
            num_tokens=task.num_tokens,
            num_outputs=task.num_classes,
            readout=task.readout,
            gap=self.gap,
        )
        return Training(task, model, self.optimizer, self.batch_size, self.eval_size)


def job_name(cell: str, gap: int) -> str:
    """The name of a job, which is a file name too: `lstm@forget_bias=5-gap40`."""
    return file_name(f"{cell}-gap{gap}")


def run_weight(gap: int, max_steps: int) -> float:
    """What a run may cost, in time steps; a part of it does not depend on the gap."""
    return float(gap + 10) * max_steps


def run_row(job: Job, training: Training, run: RunKey, status: Status, **outcome: Any) -> Run:
    """The row of runs.csv of one run of `job`; without an outcome, that of a run which never came to train."""
    never: dict[str, Any] = {"solved_step": None, "steps": 0, "accuracy": None, "loss": None, "duration_seconds": 0.0}
    return Run(
        job=job.name,
        cell=job.cell,
        task=job.task,
        gap=job.gap,
        seed=run.seed,
        learning_rate=run.learning_rate,
        hidden_dim=job.hidden_dim,
        num_params=job.num_params,
        forget_bias=training.model.initial_forget_bias,
        status=status,
        chance=training.task.chance,
        settings=job.settings_hash,
        versions=versions(),
        environment=environment(),
        **never | outcome,
    )


def make_jobs(config: SweepConfig, *, to_train: bool = True) -> tuple[list[Job], list[str]]:
    """The jobs of a sweep, the most expensive first, and warnings a line each.

    Imports jax, computes shapes only. Raises ConfigError for a cell or task that can't be made and, of jobs `to_train`,
    for a size that would not fit in memory.
    """
    runs = tuple(RunKey(seed, rate) for rate in config.learning_rates for seed in trained_seeds(config))
    gaps = known(config.gaps)
    for gap in gaps:
        checked_task(config, gap)
    warnings = []
    jobs = []
    for cell in config.cells:
        size: tuple[int, int] | None = None
        for gap in gaps:
            before, size = size, size_of(config, cell, gap, near=size)
            if size != before:
                warnings += off_terms(config, cell, gap, *size)
            job = _job(config, cell, gap, *size, runs)
            job = dataclasses.replace(job, code=code_digest(job.training()))
            if to_train:
                _check_memory(config, job)
            jobs.append(job)
    _check_alike(jobs)
    return sorted(jobs, key=lambda job: -job.weight), warnings


def off_terms(config: SweepConfig, cell: str, gap: int, hidden_dim: int, num_params: int) -> list[str]:
    """A warning where cells are to have equal parameters, and this one is more than 1% off."""
    deviation = num_params / known(config.num_params) - 1
    if config.hidden_dim is not None or abs(deviation) <= 0.01:
        return []
    return [
        f"{cell}: the nearest to {config.num_params} parameters at gap {gap} is {num_params} ({deviation:+.1%}, "
        f"hidden_dim {hidden_dim}); equal terms mean within 1%: try another --num-params"
    ]


def _job(
    config: SweepConfig, cell: str, gap: int, hidden_dim: int, num_params: int, runs: tuple[RunKey, ...] = ()
) -> Job:
    shared = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(Job)
        if hasattr(config, field.name) and field.name not in ("cell", "gap", "hidden_dim", "num_params")
    }
    return Job(cell=cell, gap=gap, hidden_dim=hidden_dim, num_params=num_params, runs=runs, **shared)


def checked_task(config: SweepConfig, gap: int) -> Task:
    """The task at that gap; raises ConfigError where it can't be made, whatever a user's own does (imports jax)."""
    from lstm_jax.tasks import make_task

    try:
        task = make_task(config.task, gap)
        sizes = (task.num_steps, task.num_tokens, task.num_classes, task.chance, task.memoryless_loss)
        task.segments(known(config.batch_size))
        if task.readout not in ("every", "last"):
            raise ValueError(f"task {config.task!r}: readout: expected 'every' or 'last', got {task.readout!r}")
    except ValueError as error:
        raise ConfigError(f"task: {error}") from None
    except Exception as error:
        raise ConfigError(f"task: {config.task!r} can't be made ({type(error).__name__}: {error})") from error
    num_bytes = FLOAT_BYTES * sizes[0] * max(known(config.batch_size), config.eval_size)
    if num_bytes > available_bytes():
        raise ConfigError(f"gaps: a batch at gap {gap} needs {num_bytes / 2**30:.0f} GiB; expected a smaller gap")
    check_guessing(task, config.eval_size)
    return task


def size_of(config: SweepConfig, cell: str, gap: int, near: tuple[int, int] | None = None) -> tuple[int, int]:
    """(hidden_dim, number of parameters) of a cell's model at a gap: as given, or nearest to `config.num_params`.

    `near` is the size at another gap, which is taken where it has as many parameters here. Raises ConfigError for a
    cell that can't be made.
    """

    from lstm_jax.models import count_params, unit_of

    def attempt(function: Callable[[], int]) -> int:
        try:
            return function()
        except Exception as error:  # a user's cell may fail in any way
            text = " ".join(str(error).split())
            if isinstance(error, ValueError):
                raise ConfigError(f"cells: {text}") from None
            raise ConfigError(f"cells: {cell!r} can't be made ({type(error).__name__}: {text})") from error

    def count(hidden_dim: int) -> int:
        return attempt(lambda: count_params(_job(config, cell, gap, hidden_dim, 0).training().model))

    if config.hidden_dim is not None:
        return config.hidden_dim, count(config.hidden_dim)
    if near is not None and count(near[0]) == near[1]:
        return near
    wanted = known(config.num_params)
    unit = attempt(lambda: unit_of(cell))
    low, high = 1, 2
    while count(high * unit) < wanted:
        if high * unit > wanted:  # a unit has at least one parameter
            raise ConfigError(
                f"cells: {cell!r} has {count(high * unit)} parameters with hidden_dim {high * unit}; expected it to "
                f"grow to num_params, {wanted}: give --hidden-dim"
            )
        low, high = high, 2 * high
    nearest = unit * _bisect(lambda units: count(units * unit), low, high, wanted)
    return nearest, count(nearest)


def _bisect(count: Callable[[int], int], low: int, high: int, wanted: int) -> int:
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < wanted else (low, middle)
    return min((low, high), key=lambda size: abs(count(size) - wanted))


def _check_alike(jobs: list[Job]) -> None:
    """Two labels for one cell would train the same runs twice and look like a finding."""
    seen: dict[object, str] = {}
    for job in jobs:
        training = job.training()
        cell = (training.task, training.model)
        if seen.setdefault(cell, job.cell) != job.cell:
            raise ConfigError(f"cells: {seen[cell]!r} and {job.cell!r} are the same cell; expected each once")


def memory_bytes(job: Job, backward: Backward) -> int:
    """About what a run of the job takes: what is kept for the backward pass, the optimizer's state, data."""
    training = job.training()
    task, of_pairs = training.task, training.model.floats_of_pairs(training.task.num_steps)
    num_classes = task.num_classes if task.readout == "every" else 0
    a_step = FLOATS_PER_STEP[backward] * job.num_layers * job.hidden_dim + 2 * job.embedding_dim + 3 * num_classes
    update = (task.num_steps * a_step + 2 * of_pairs) * job.batch_size
    eval_step = job.embedding_dim + 2 * job.hidden_dim + 2 * num_classes
    evaluation = (task.num_steps * eval_step + of_pairs) * training.eval_width
    return FLOAT_BYTES * (max(update, evaluation) + 6 * job.num_params)


def _check_memory(config: SweepConfig, job: Job) -> None:
    # What an accelerator has, only its worker knows: that one takes fewer lanes where they don't fit.
    if config.executor in ("ray", "slurm") or has_accelerator():
        return
    least = job.backward or FASTEST_FIRST[-1]
    needed, available = memory_bytes(job, least) * (job.lanes or 1), available_bytes() / num_workers(config)
    if needed > available:
        raise ConfigError(
            f"hidden_dim, batch_size, eval_size, gaps: {job.cell} with hidden_dim {job.hidden_dim}, batch_size "
            f"{job.batch_size} at gap {job.gap} needs about {needed / 2**30:.1f} GiB a worker; expected at most "
            f"{available / 2**30:.1f} GiB with {num_workers(config)} workers"
        )
