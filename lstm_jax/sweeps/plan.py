"""From a configuration to jobs: sizes and memory are checked before anything compiles. Imports jax where it counts."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.options import SweepConfig, known
from lstm_jax.sweeps.job import Job, Settings
from lstm_jax.sweeps.machine import available_bytes, has_accelerator, num_workers
from lstm_jax.sweeps.sources import code_digest
from lstm_jax.sweeps.stages.asked import possible_runs
from lstm_jax.tasks import corpus_of

if TYPE_CHECKING:
    from lstm_jax.scan import Backward
    from lstm_jax.tasks.base import Task

T = TypeVar("T")
FLOATS_PER_STEP = {"autodiff": 16, "activations": 12, "states": 7, "checkpoint": 4, "parallel": 16}
"""Arrays of [batch, hidden_dim] that backpropagation stores per time step of an LSTM, with room to spare."""
FASTEST_FIRST: tuple["Backward", ...] = ("activations", "states", "checkpoint")
"""In this order they are mostly faster on a CPU, and take more memory: docs/performance.md."""
FLOAT_BYTES = 4
GATED_WEIGHTS = 8
"""Times the square of its units: an LSTM's parameters where inputs are as wide. Where a search for a size begins."""


def make_jobs(config: SweepConfig, *, to_train: bool = True) -> tuple[list[Job], list[str]]:
    """The jobs of a sweep, the most expensive first, each with all runs that may be asked for (`stages`), and warnings,
    one line each. Computes shapes only.

    Raises ConfigError for a cell or task that can't be made and, for jobs `to_train`, a size that does not fit in
    memory.
    """
    grid = config.grid
    if grid.learning_rates is None and corpus_of(config.task) is not None and len(known(grid.gaps)) > 1:
        raise ConfigError("gaps: got several; expected one on text where the learning rate is chosen in two stages")
    runs = possible_runs(grid)
    for gap in known(grid.gaps):
        checked_task(config, gap)
    warnings = _without_effect(config) if to_train else []
    jobs: list[Job] = []
    for cell in grid.cells:
        near: Settings | None = None
        for gap in known(grid.gaps):
            before, near = near, sized(config, cell, gap, near)
            if before is None or near.model != before.model:
                warnings += off_terms(config, near)
            job = Job(near, runs, config.execution.checkpoint_seconds)
            if not jobs:
                _check_optimizer(job)
            job = dataclasses.replace(job, settings=dataclasses.replace(near, code=code_digest(job.training())))
            if to_train:
                _check_memory(config, job)
            jobs.append(job)
    _check_alike(jobs)
    return sorted(jobs, key=lambda job: -job.weight), warnings


def in_order(config: SweepConfig, jobs: Iterable[Job]) -> list[Job]:
    """Jobs in the order of the grid, not in that of their cost."""
    cells, gaps = config.grid.cells, known(config.grid.gaps)
    return sorted(jobs, key=lambda job: (cells.index(job.settings.cell), gaps.index(job.settings.gap)))


def off_terms(config: SweepConfig, settings: Settings) -> list[str]:
    """A warning where cells are to have equal parameters, and this one is more than 1% off."""
    wanted, found = config.model.num_params, settings.num_params
    if config.model.hidden_dim is not None or abs(found / known(wanted) - 1) <= 0.01:
        return []
    return [
        f"{settings.cell}: the nearest to {wanted} parameters at gap {settings.gap} is {found} "
        f"({found / known(wanted) - 1:+.1%}, hidden_dim {settings.hidden_dim}); equal terms mean within 1%: try "
        "another --num-params"
    ]


def _check_optimizer(job: Job) -> None:
    """Raise ConfigError where it can't train the job's model."""
    from lstm_jax.optimizers import check_optimizer

    name = job.settings.training.optimizer
    _attempt(lambda: check_optimizer(name, job.training().model), "optimizer", name)


def _without_effect(config: SweepConfig) -> list[str]:
    """A warning where runs would be called what they are not: a CPU has matrix products of float32 alone."""
    precision = config.training.precision
    if precision == "float32" or config.execution.executor in ("ray", "slurm") or has_accelerator():
        return []
    return [f"precision: {precision} is for accelerators; on this machine's CPU all is float32"]


def checked_task(config: SweepConfig, gap: int) -> Task:
    """The task at that gap; raises ConfigError where it can't be made, whatever a user's own does."""
    from lstm_jax.tasks import make_task
    from lstm_jax.tasks.solved import check_batch, check_guessing

    def make() -> tuple[Task, int, int]:
        task = make_task(config.task, gap)
        num_steps, *_ = (task.num_steps, task.chance, task.memoryless_loss)
        task.segments(known(config.training.batch_size))
        if task.readout not in ("every", "last"):
            raise ValueError(f"task {config.task!r}: readout: expected 'every' or 'last', got {task.readout!r}")
        task.outputs  # noqa: B018 - or an error that says what is missing
        return task, num_steps, task.inputs.width or 1

    task, num_steps, width = _attempt(make, "task", config.task)
    num_bytes = FLOAT_BYTES * num_steps * width * max(known(config.training.batch_size), config.training.eval_size)
    if num_bytes > available_bytes():
        raise ConfigError(f"gaps: a batch at gap {gap} needs {num_bytes / 2**30:.0f} GiB; expected a smaller gap")
    check_guessing(task, config.training.eval_size)
    check_batch(task)
    return task


def sized(config: SweepConfig, cell: str, gap: int, near: Settings | None = None) -> Settings:
    """The settings of a cell's model at a gap, its size as given or nearest to `num_params`.

    The size of `near`, at another gap, is taken where it has as many parameters here. Raises ConfigError for a cell
    that can't be made.
    """
    from lstm_jax.models import count_params, unit_of

    @functools.cache
    def with_size(hidden_dim: int) -> Settings:
        model = dataclasses.replace(config.model, hidden_dim=hidden_dim, num_params=None)
        settings = Settings(cell, config.task, gap, model, config.training)
        num_params = _attempt(lambda: count_params(Job(settings).training().model), "cells", cell)
        return dataclasses.replace(settings, model=dataclasses.replace(model, num_params=num_params))

    if config.model.hidden_dim is not None:
        return with_size(config.model.hidden_dim)
    if near is not None and (same := with_size(near.hidden_dim)).model == near.model:
        return same
    wanted = known(config.model.num_params)
    unit = _attempt(lambda: unit_of(cell), "cells", cell)
    low, high = 1, max(2, math.isqrt(wanted // GATED_WEIGHTS))
    while (found := with_size(high * unit)).num_params < wanted:
        if high * unit > wanted:  # a unit has at least one parameter
            raise ConfigError(
                f"cells: {cell!r} has {found.num_params} parameters with hidden_dim {high * unit}; expected it to "
                f"grow to num_params, {wanted}: give --hidden-dim"
            )
        low, high = high, 2 * high
    while high - low > 1:  # each size is a model to trace: the root of their numbers grows almost evenly
        least, most = (math.sqrt(with_size(size * unit).num_params) for size in (low, high))
        share = (math.sqrt(wanted) - least) / (most - least) if most > least else 0.5
        middle = low + round((high - low) * min(max(share, 1 / 8), 7 / 8))
        middle = min(max(middle, low + 1), high - 1)
        low, high = (middle, high) if with_size(middle * unit).num_params < wanted else (low, middle)
    return min((with_size(low * unit), with_size(high * unit)), key=lambda size: abs(size.num_params - wanted))


def _attempt(function: Callable[[], T], option: str, name: str) -> T:
    """What the function gives; raises ConfigError where it fails, since a user's cell or task may in any way."""
    try:
        return function()
    except Exception as error:
        text = " ".join(str(error).split())
        if isinstance(error, ValueError):
            raise ConfigError(f"{option}: {text}") from None
        raise ConfigError(f"{option}: {name!r} can't be made ({type(error).__name__}: {text})") from error


def _check_alike(jobs: list[Job]) -> None:
    """Two labels for one cell would train the same runs twice and look like a finding."""
    seen: dict[object, str] = {}
    for job in jobs:
        training, cell = job.training(), job.settings.cell
        first = seen.setdefault((training.task, training.model), cell)
        if first != cell:
            raise ConfigError(f"cells: {first!r} and {cell!r} are the same cell; expected each once")


def memory_bytes(job: Job, backward: Backward) -> int:
    """About how much memory a run takes: residuals of the backward pass, the optimizer's state, data."""
    training, settings = job.training(), job.settings
    task, attention = training.task, training.model.attention_floats(training.task.num_steps)
    num_outputs = task.outputs.width if task.readout == "every" else 0
    hidden, embedded = settings.hidden_dim, task.inputs.width or known(settings.model.embedding_dim)
    step = FLOATS_PER_STEP[backward] * settings.model.num_layers * hidden + 2 * embedded + 3 * num_outputs
    update = (task.num_steps * step + 2 * attention) * settings.batch_size
    eval_step = embedded + 2 * hidden + 2 * num_outputs
    evaluation = (task.num_steps * eval_step + attention) * training.eval_width
    return FLOAT_BYTES * (max(update, evaluation) + 6 * settings.num_params)


def _check_memory(config: SweepConfig, job: Job) -> None:
    # What an accelerator has, only its worker knows: that one takes fewer lanes where they don't fit.
    if config.execution.executor in ("ray", "slurm") or has_accelerator():
        return
    settings, workers = job.settings, num_workers(config.execution)
    least = settings.training.backward or FASTEST_FIRST[-1]
    needed, available = memory_bytes(job, least) * (settings.training.lanes or 1), available_bytes() / workers
    if needed > available:
        raise ConfigError(
            f"hidden_dim, batch_size, eval_size, gaps: {settings.cell} with hidden_dim {settings.hidden_dim}, "
            f"batch_size {settings.batch_size} at gap {settings.gap} needs about {needed / 2**30:.1f} GiB a worker; "
            f"expected at most {available / 2**30:.1f} GiB with {workers} workers"
        )
