"""What a sweep is: grid, model, budget. A frozen dataclass that is its own command line and file. No jax."""

from __future__ import annotations

import dataclasses
import math
import os
import struct
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from lstm_jax.errors import ConfigError

T = TypeVar("T")
MAX_SEED = 2**32 - 1
"""jax keys are made of 32 bits: a seed beyond would silently repeat another's numbers."""


@dataclasses.dataclass(frozen=True)
class RayOptions:
    """Where jobs run with `--executor ray`."""

    address: str | None = None
    """Address of a Ray cluster, or auto; None: Ray is started on this machine."""
    cpus: float = 1.0
    """CPU cores that a job asks for."""
    gpus: float = 0.0
    """GPUs that a job asks for."""


@dataclasses.dataclass(frozen=True)
class SlurmOptions:
    """Where jobs run with `--executor slurm`."""

    partition: str | None = None
    """Partition. None: the cluster's default."""
    minutes: int = 240
    """Time limit of a job; one that reaches it saves before, and goes on as a new one."""
    cpus: int = 1
    """CPU cores that a job asks for."""
    gpus: int = 0
    """GPUs that a job asks for."""
    memory_gb: int | None = None
    """Memory that a job asks for. None: the cluster's default."""
    cluster: Literal["slurm", "local"] = "slurm"
    """local: submitit's processes on this machine, to try things out where there is no Slurm."""


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """A sweep of trainings: cells x gaps x learning rates x seeds."""

    preset: Literal["smoke", "quick", "full"] = "quick"
    """Defaults for all that follows: smoke (toy size, a minute), quick (minutes on two cores), full (a GPU)."""
    task: str = "gap"
    """Task, with settings as in gap@filler=blank; or package.module:Name of your own."""
    cells: tuple[str, ...] = ("rnn", "gru", "lstm")
    """Cells, with settings as in lstm@forget_bias=5,init=orthogonal; or package.module:Name (Flax cells too)."""
    gaps: tuple[int, ...] | None = (5, 10, 20)
    """Dependency distances, in time steps. None: as the experiment says."""
    learning_rates: tuple[float, ...] = (0.003,)
    """Learning rates; the best is chosen for each cell and gap on the tuning seeds."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds whose results are reported."""
    tuning_seeds: tuple[int, ...] = (100, 101)
    """Seeds that choose the learning rate, and are not reported; with one rate they are not trained."""
    hidden_dim: int | None = None
    """Units a layer, the same for all cells. None: each cell gets the size that comes nearest to num-params."""
    num_params: int | None = 5530
    """Parameters of a model, readout and embedding included, where hidden-dim is None: equal terms for all cells.
    None: as the experiment says."""
    num_layers: int = 1
    """Recurrent layers."""
    dropout: float | None = 0.0
    """Dropout rate in training: of embeddings, between layers, and of the last layer's outputs. None: as the
    experiment says."""
    embedding_dim: int | None = 16
    """Width of the token embedding. None: as the experiment says."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Optimizer."""
    clip_norm: float = 1.0
    """Global norm that gradients are clipped to; inf for none."""
    backward: Literal["autodiff", "activations", "states", "checkpoint"] | None = None
    """What to keep for the backward pass, from the most to the least memory. None: the first after autodiff that fits
    on a CPU, states on an accelerator."""
    truncation: int | None = None
    """Time steps that a gradient goes back (truncated backpropagation), counted from the last. None: all."""
    batch_size: int | None = 32
    """Sequences an update. None: as the experiment says."""
    max_steps: int = 1000
    """The budget of a run, in updates; a run that has solved the task or diverged stops before."""
    chunk_steps: int = 50
    """Updates between two evaluations; at most a third of max-steps, since it takes three to have solved a task."""
    eval_size: int = 256
    """Sequences in the held-out set."""
    stop_when_solved: bool = True
    """End a run that has solved the task; else it trains on to max-steps."""
    lanes: int | None = None
    """Runs trained together in one vmapped program on each device. None: 1 on CPU, what fits on an accelerator."""
    executor: Literal["serial", "process", "ray", "slurm"] = "process"
    """Where jobs run: in this process, in a worker process a core (or GPU), on a Ray cluster, as a Slurm job array."""
    workers: int | None = None
    """Jobs at once. None: one a core or a GPU; all that Ray or Slurm has room for."""
    checkpoint_seconds: float = 30.0
    """Time between two checkpoints of a job, which is what a crash can cost; inf for none but at the end."""
    accept_changes: bool = False
    """Go on in a directory made with other settings or library versions; each row of runs.csv says with which."""
    ray: RayOptions = RayOptions()
    slurm: SlurmOptions = SlurmOptions()
    wandb: Literal["online", "offline", "disabled"] | None = None
    """Weights & Biases: offline needs no account; `wandb sync` uploads later. None: as WANDB_MODE says, or offline."""
    wandb_project: str | None = None
    """Project of the wandb runs. None: as WANDB_PROJECT says, or lstm_jax."""
    out: Path = Path("results/sweep")
    """Directory of the results; a run that is recorded there is not trained again."""


GRID = ("cells", "gaps", "learning_rates", "seeds", "tuning_seeds")
"""Fields that a later command on the same directory may extend."""
HOUSEKEEPING = (
    *("preset", "executor", "workers", "checkpoint_seconds", "accept_changes", "ray", "slurm"),
    *("wandb", "wandb_project", "out"),
)
"""Fields that change no number."""

MIN_STEPS = 3
"""A run counts as solved after three evaluations: a smaller budget would show that nothing can be learned."""
MAX_COUNT = 2**31 - 1
MAX_LAYERS = 100
_COUNTS = ("max_steps", "chunk_steps", "eval_size")
_COUNTS_OR_NONE = ("hidden_dim", "num_params", "embedding_dim", "batch_size", "lanes", "workers", "truncation")
ALLOWED: dict[str, str] = {
    **dict.fromkeys(_COUNTS, f"a whole number in 1 to {MAX_COUNT}"),
    "max_steps": f"a whole number in {MIN_STEPS} to {MAX_COUNT}, for the three evaluations that solved means",
    **dict.fromkeys(_COUNTS_OR_NONE, f"a whole number in 1 to {MAX_COUNT}, or None"),
    "backward": "autodiff, activations, states, checkpoint or None",
    "stop_when_solved": "true or false",
    "num_layers": f"a whole number in 1 to {MAX_LAYERS}",
    "task": "gap, copy, name@field=value or package.module:Name",
    "wandb_project": r"the name of a project: at most 128 characters, none of / \ # ? % :",
    "out": "a directory",
    "config": "a YAML file",
    "cells": "one or more of rnn, gru, lstm, name@field=value or package.module:Name, each once",
    "gaps": "one or more whole numbers of at least 1, each once",
    "learning_rates": "one or more positive finite numbers, each once, in single precision too (1.2e-38 to 3.4e38)",
    "seeds": f"one or more whole numbers in 0 to {MAX_SEED} (2^32 - 1), each once",
    "tuning_seeds": f"whole numbers in 0 to {MAX_SEED} (2^32 - 1), each once, none of them in seeds",
    "dropout": "a number in [0, 1), in single precision too, or None",
    "clip_norm": "a positive number, or inf; in single precision too (1.2e-38 to 3.4e38)",
    "preset": "smoke, quick or full",
    "optimizer": "adam or rmsprop",
    "wandb": "online, offline or disabled",
    "grid": "a YAML file of the form that `wandb sweep` reads, with method: grid",
    "executor": "serial, process, ray or slurm",
    "accept_changes": "true or false",
    "checkpoint_seconds": "a positive number of seconds, or inf",
    **dict.fromkeys(("ray.cpus", "ray.gpus"), "a number of at least 0"),
    **dict.fromkeys(("slurm.minutes", "slurm.cpus"), f"a whole number in 1 to {MAX_COUNT}"),
    "slurm.gpus": f"a whole number in 0 to {MAX_COUNT}",
    "slurm.memory_gb": f"a whole number in 1 to {MAX_COUNT}, or None",
    "slurm.cluster": "slurm or local",
    "ray.address": "the address of a Ray cluster, auto, or None",
    "slurm.partition": "the name of a partition, or None",
    **dict.fromkeys(("min_count", "max_tokens"), "a whole number of at least 1"),
}
"""What each field admits, in words, for error messages."""


def known(value: T | None) -> T:
    """A field that was left open and has been filled in by now (`resolved`)."""
    assert value is not None, "expected a configuration that `resolved` has filled in"
    return value


def resolved(config: SweepConfig, **suggested: Any) -> SweepConfig:
    """The configuration with `suggested` values, and after them those of this file, in the fields that are None.

    A field that was given stays as it is, whatever its value; one for which None means something of its own too.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(SweepConfig)}
    left_open = [name for name in {**defaults, **suggested} if getattr(config, name) is None]
    return dataclasses.replace(config, **{name: suggested.get(name, defaults[name]) for name in left_open})


def trained_seeds(config: SweepConfig) -> tuple[int, ...]:
    """The seeds of each learning rate; those for tuning where there are several rates to choose from.

    In a call of a wandb agent they are trained for one rate too, since the other rates may be other calls'.
    """
    is_chosen_from = len(config.learning_rates) > 1 or bool(os.environ.get("WANDB_SWEEP_ID"))
    return (*config.tuning_seeds, *config.seeds) if is_chosen_from else config.seeds


def num_runs(config: SweepConfig) -> int:
    """Trainings in a sweep."""
    return len(config.cells) * len(known(config.gaps)) * len(config.learning_rates) * len(trained_seeds(config))


def validate(config: SweepConfig) -> None:
    """Raise ConfigError for the first field whose value is not allowed. Cells and tasks are checked where made."""
    for name in _COUNTS:
        _require(config, name, [getattr(config, name)], _at_least_one)
    for name in _COUNTS_OR_NONE:
        _require(config, name, [value for value in [getattr(config, name)] if value is not None], _at_least_one)
    _require(config, "max_steps", [config.max_steps], lambda number: number >= MIN_STEPS)
    _require(config, "num_layers", [config.num_layers], lambda number: 1 <= number <= MAX_LAYERS)
    _require(config, "cells", config.cells, bool, at_least=1)
    if config.gaps is not None:
        _require(config, "gaps", config.gaps, _at_least_one, at_least=1)
    _require(config, "learning_rates", config.learning_rates, _is_positive_single, at_least=1)
    singles = [single(rate) for rate in config.learning_rates]
    alike = [rate for rate, its in zip(config.learning_rates, singles, strict=True) if singles.count(its) > 1]
    if alike:
        raise expected("learning_rates", f"{_text(alike)}, which are one number in single precision")
    _require(config, "seeds", config.seeds, lambda seed: 0 <= seed <= MAX_SEED, at_least=1)
    _require(config, "tuning_seeds", config.tuning_seeds, lambda seed: 0 <= seed <= MAX_SEED)
    _require(config, "dropout", [config.dropout], lambda rate: rate is None or 0 <= single(rate) < 1)
    _require(config, "clip_norm", [config.clip_norm], lambda norm: norm == math.inf or _is_positive_single(norm))
    _require(config, "checkpoint_seconds", [config.checkpoint_seconds], lambda seconds: seconds > 0)
    _require(config, "ray.cpus", [config.ray.cpus], lambda number: 0 <= number < math.inf)
    _require(config, "ray.gpus", [config.ray.gpus], lambda number: 0 <= number < math.inf)
    for name, value in (("minutes", config.slurm.minutes), ("cpus", config.slurm.cpus)):
        _require(config, f"slurm.{name}", [value], _at_least_one)
    _require(config, "slurm.gpus", [config.slurm.gpus], lambda number: 0 <= number <= MAX_COUNT)
    _require(config, "slurm.memory_gb", [config.slurm.memory_gb], lambda size: size is None or _at_least_one(size))
    _require(config, "out", [str(config.out)], lambda out: "\0" not in out)
    both = sorted(set(config.seeds) & set(config.tuning_seeds))
    if both:
        raise ConfigError(f"tuning_seeds: got {_text(both)}, which seeds has too; expected {ALLOWED['tuning_seeds']}")
    if len(config.learning_rates) > 1 and not config.tuning_seeds:
        raise ConfigError(
            f"tuning_seeds: got none; expected at least one, to choose from {len(config.learning_rates)} learning_rates"
        )


def expected(name: str, given: str) -> ConfigError:
    """The error that says what `name` admits."""
    return ConfigError(f"{name}: got {given}; expected {ALLOWED.get(name, 'a value of another type')}")


def single(number: float) -> float:
    """The number in single precision (float32), which is what is computed with."""
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


def _is_positive_single(number: float) -> bool:
    return 2.0**-126 <= single(number) < math.inf  # what is smaller counts as 0 on many machines


def _require(
    config: SweepConfig, name: str, values: Sequence[Any], allowed: Callable[[Any], Any], at_least: int = 0
) -> None:
    if len(values) < at_least:
        raise expected(name, "none")
    wrong = [value for value in values if not allowed(value)]
    if wrong:
        raise expected(name, _text(wrong))
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise expected(name, f"{_text(twice)} more than once")


def _at_least_one(value: Any) -> bool:
    return isinstance(value, int) and 1 <= value <= MAX_COUNT


def _text(values: Collection[Any]) -> str:
    return ", ".join(repr(value) for value in values)


def differences(old: SweepConfig, new: SweepConfig) -> list[str]:
    """What keeps `new` from going on in the directory of `old`, a line each; a larger grid is welcome."""
    lines = []
    for field in dataclasses.fields(SweepConfig):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if field.name in HOUSEKEEPING or was == now:
            continue
        if field.name in GRID:
            missing = [value for value in was if value not in now]
            if missing:
                lines.append(f"{field.name}: {_text(missing)} is there but not in this command")
        else:
            lines.append(f"{field.name}: {was} there, {now} in this command")
    return lines
