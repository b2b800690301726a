"""The options of a sweep, by concern. A new option is one annotated field here, and nothing anywhere else.

Its default, constraint, `--help`, place in sweep.yaml, part in a run's identity, settings in records and config in
wandb all follow from the field and from the class that it is in: `ModelOptions` and `TrainingOptions` make numbers,
`Grid` says which runs there are, `ExecutionOptions` and `LoggingOptions` change no number.
"""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from lstm_jax.choices import Precision, ScheduleName
from lstm_jax.errors import ConfigError
from lstm_jax.registry import nearest, parse
from lstm_jax.sweeps.config import fields
from lstm_jax.sweeps.config.execution import ExecutionOptions, LoggingOptions
from lstm_jax.sweeps.config.fields import (
    AT_LEAST_ONE,
    Allowed,
    Checked,
    Count,
    admitted,
    fields_of,
    in_words,
    is_positive_single,
    single,
    whole,
)

T = TypeVar("T")
MAX_SEED = 2**32 - 1
"""jax keys are made of 32 bits: a seed beyond would silently repeat another's numbers."""
MIN_STEPS = 3
"""A run counts as solved after three evaluations: a smaller budget would show that nothing can be learned."""

# Constraints, each said once. (A lambda in an annotation would not see the names of this file.)
NAMES = Allowed(
    "one or more of rnn, gru, lstm, name@field=value or package.module:Name, each once", bool, 1, parse=parse
)
GAPS = Allowed("one or more whole numbers of at least 1, each once", whole(1).admits, 1)
RATES = Allowed(
    "one or more positive finite numbers, each once, in single precision too (1.2e-38 to 3.4e38)", is_positive_single, 1
)
_SEEDS = f"whole numbers in 0 to {MAX_SEED} (2^32 - 1), each once"
SEEDS = Allowed(f"one or more {_SEEDS}", whole(0, MAX_SEED).admits, 1)
TUNING_SEEDS = Allowed(f"{_SEEDS}, none of them in seeds", whole(0, MAX_SEED).admits)
DROPOUT = Allowed("a number in [0, 1), in single precision too", lambda rate: 0 <= single(rate) < 1, metavar="[0,1)")
NORM = Allowed(
    "a positive number, or inf; in single precision too (1.2e-38 to 3.4e38)",
    lambda norm: norm == math.inf or is_positive_single(norm),
    metavar="FLOAT>0",
)
STEPS = whole(MIN_STEPS, reason=", for the three evaluations that solved means")
OPTIMIZER = Allowed(
    "adam, adamw, sgd, rmsprop, lion, optax:name, name@field=value or package.module:Name", bool, parse=parse
)
TASK = Allowed("gap, copy, name@field=value or package.module:Name", bool, parse=parse)
DIRECTORY = Allowed("a directory", lambda path: "\0" not in str(path))


@dataclasses.dataclass(frozen=True)
class Grid(Checked):
    """The runs of a sweep: models x gaps x learning rates x seeds. A later command on a directory may extend it."""

    cells: Annotated[tuple[str, ...], NAMES] = ("rnn", "gru", "lstm")
    """Models to compare, with their settings: lstm@forget_bias=5,init=orthogonal. Your own cell or model, or a Flax
    cell: package.module:Name."""
    gaps: Annotated[tuple[int, ...] | None, GAPS] = (5, 10, 20)
    """Dependency distances, in time steps unless the task says otherwise. Default: as the experiment says."""
    learning_rates: Annotated[tuple[float, ...] | None, RATES] = None
    """Learning rates, each for all seeds; the tuning seeds choose the best for each cell. Default: in two stages, the
    tuning seeds from 0.003, 0.01 and 0.03 on to where the best has a worse one on both sides, the others at the
    best."""
    seeds: Annotated[tuple[int, ...], SEEDS] = (0, 1, 2)
    """Seeds of the reported runs."""
    tuning_seeds: Annotated[tuple[int, ...], TUNING_SEEDS] = (100, 101)
    """Seeds that choose the learning rate; their runs are not reported. Not trained if there is only one rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = self.learning_rates or ()
        singles = [single(rate) for rate in rates]
        alike = [rate for rate, its in zip(rates, singles, strict=True) if singles.count(its) > 1]
        if alike:
            raise expected("learning_rates", f"{in_words(alike)}, which are one number in single precision")
        both = sorted(set(self.seeds) & set(self.tuning_seeds))
        if both:
            raise ConfigError(
                f"tuning_seeds: got {in_words(both)}, which seeds has too; a seed can be in only one of the two"
            )
        if len(rates) != 1 and not self.tuning_seeds:
            several = f"from {len(rates)} learning_rates" if rates else "a learning rate, as none is given"
            raise ConfigError(f"tuning_seeds: got none; expected at least one, to choose {several}")

    @property
    def trained_seeds(self) -> tuple[int, ...]:
        """The seeds per learning rate; those for tuning only where there are several rates to choose from.

        A call of a wandb agent trains them for one rate too, since other calls may have the other rates.
        """
        is_chosen_from = len(self.learning_rates or ()) != 1 or bool(os.environ.get("WANDB_SWEEP_ID"))
        return (*self.tuning_seeds, *self.seeds) if is_chosen_from else self.seeds


@dataclasses.dataclass(frozen=True)
class ModelOptions(Checked):
    """The size of each model. All of it makes numbers."""

    hidden_dim: Count | None = None
    """Units per layer, the same for all cells. Default: per cell, the size nearest to num-params."""
    num_params: Annotated[int | None, AT_LEAST_ONE] = 5530
    """Parameters per model, readout and embedding included; used if hidden-dim is not given. Default: as the experiment
    says."""
    num_layers: Annotated[int, whole(1, 100)] = 1
    """Recurrent layers."""
    dropout: Annotated[float | None, DROPOUT] = 0.0
    """Dropout rate in training, applied to embeddings, between layers and to the last layer's outputs. Default: as the
    experiment says."""
    embedding_dim: Count | None = 16
    """Width of the token embedding. Default: as the experiment says."""


@dataclasses.dataclass(frozen=True)
class TrainingOptions(Checked):
    """How each run trains. All of it makes numbers, if only in their last bits."""

    optimizer: Annotated[str, OPTIMIZER] = "adam"
    """Optimizer of all runs, with its settings: adam, adamw@weight_decay=0.01, sgd@momentum=0.9, rmsprop, lion. Any of
    optax: optax:name. Your own: package.module:Name."""
    schedule: ScheduleName = dataclasses.field(default="constant", metadata={"before": "constant"})
    """How the learning rate goes on after its warm-up. cosine, linear: down to 0 at max-steps."""
    warmup_steps: Annotated[int, whole(0)] = dataclasses.field(default=0, metadata={"before": 0})
    """Updates in which the learning rate rises from 0, in a line; fewer than max-steps."""
    precision: Precision = dataclasses.field(default="float32", metadata={"before": "float32"})
    """What an accelerator may round the factors of a model's matrix products to. Sums, states, parameters and all else
    stay float32. A CPU always computes in float32."""
    clip_norm: Annotated[float, NORM] = 1.0
    """Clip gradients to this global norm. inf: no clipping."""
    backward: Literal["autodiff", "activations", "states", "checkpoint", "parallel"] | None = None
    """What to store for the backward pass, from most to least memory. parallel: all steps at once of a cell that is
    linear in its state, autodiff of any other. Default: on a CPU the first of activations, states, checkpoint that fits
    in memory; on an accelerator parallel for linear cells, states for others."""
    truncation: Count | None = None
    """Stop gradients after so many time steps, counted from the last (truncated backpropagation). Default: no limit."""
    batch_size: Count | None = 32
    """Sequences per update. Default: as the experiment says."""
    max_steps: Annotated[int, STEPS] = 1000
    """Budget per run, in updates. A run that solves the task or diverges stops earlier."""
    chunk_steps: Count = 50
    """Updates between evaluations, at most a third of max-steps: solving a task takes three evaluations."""
    eval_size: Count = 256
    """Sequences in the held-out set."""
    stop_when_solved: bool = True
    """Stop a run when it solves the task. Off: train to max-steps."""
    lanes: Count | None = None
    """Runs per vmapped program and device. Default: 1 on a CPU, as many as fit in memory on an accelerator."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup_steps >= self.max_steps:
            raise ConfigError(f"warmup_steps: got {self.warmup_steps}; expected fewer than max_steps, {self.max_steps}")

    @property
    def eval_steps(self) -> int:
        """Updates between two evaluations: every budget has those that solved means."""
        return max(1, min(self.chunk_steps, self.max_steps // MIN_STEPS))


_flat = tyro.conf.arg(name="")


@dataclasses.dataclass(frozen=True)
class SweepConfig(Checked):
    """A sweep of trainings of one task. Options have one flat list of names on the command line and in sweep.yaml."""

    preset: Literal["smoke", "quick", "reference", "full"] = "quick"
    """Default values of the other options: smoke (toy size, a minute), quick (minutes on two cores), reference (hours
    on two cores), full (a GPU)."""
    task: Annotated[str, TASK] = "gap"
    """Task, with its settings: gap@filler=blank. Your own: package.module:Name."""
    grid: Annotated[Grid, _flat] = dataclasses.field(default_factory=Grid)
    model: Annotated[ModelOptions, _flat] = dataclasses.field(default_factory=ModelOptions)
    training: Annotated[TrainingOptions, _flat] = dataclasses.field(default_factory=TrainingOptions)
    execution: Annotated[ExecutionOptions, _flat] = dataclasses.field(default_factory=ExecutionOptions)
    logging: Annotated[LoggingOptions, _flat] = dataclasses.field(default_factory=LoggingOptions)
    beside: Annotated[Path | None, DIRECTORY] = None
    """Directory of a finished sweep, such as docs/results/quick, whose settings are taken, and whose runs are shown
    beside those of the cells given here. These alone are trained."""
    out: Annotated[Path, DIRECTORY] = Path("results/sweep")
    """Directory of the results. Runs recorded there are not trained again."""

    @classmethod
    def of(cls, **options: Any) -> SweepConfig:
        """A configuration from options by their flat names: `SweepConfig.of(cells=("rnn",), max_steps=100)`.

        Raises ConfigError for a name that is no option and for a value that an option does not admit.
        """
        return cls().replace(**options)

    def replace(self, **options: Any) -> SweepConfig:
        """The same with other values, by their flat names; raises ConfigError as `of` does."""
        for name in options.keys() - FIELDS.keys():
            raise ConfigError(f"unknown option {name!r}; {nearest(name, list(FIELDS), '--help lists all options')}")
        return replaced(self, **options)

    @property
    def flat(self) -> dict[str, Any]:
        """All options by their flat names, in the order of the command line."""
        return flat(self)


FIELDS = fields_of(SweepConfig)
"""The options of a sweep by their flat names, with their annotations."""


def expected(name: str, given: str) -> ConfigError:
    """The error that says what the option `name` admits."""
    return fields.expected(name, given, FIELDS[name])


def flat(options: Any, prefix: str = "") -> dict[str, Any]:
    """The values of a dataclass of options by their flat names."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            found |= flat(value, getattr(value, "GROUP", ""))
        else:
            found[prefix + field.name] = value
    return found


def replaced(options: T, **changes: Any) -> T:
    """A dataclass of options, and those in it, with other values, by their flat names."""
    given: Any = options
    own: dict[str, Any] = {}
    for field in dataclasses.fields(given):
        value, name = getattr(given, field.name), getattr(given, "GROUP", "") + field.name
        if dataclasses.is_dataclass(value):
            own[field.name] = replaced(value, **changes)
        elif name in changes:  # checked before the constructor, so that one error comes under pytest's checks of types
            own[field.name] = admitted(type(options), field.name, changes[name])
    changed: T = dataclasses.replace(given, **own)
    return changed


def known(value: T | None) -> T:
    """A field that was left open and has been filled in by now (`resolved`)."""
    assert value is not None, "expected a configuration that `resolved` has filled in"
    return value


def resolved(config: SweepConfig, **suggested: Any) -> SweepConfig:
    """The configuration with `suggested` values, and after them the defaults above, in the options that are None.

    A given option stays as it is, whatever its value; so does one for which None has a meaning of its own.
    """
    now, defaults = config.flat, SweepConfig().flat
    left_open = [name for name in {**defaults, **suggested} if now[name] is None]
    return config.replace(**{name: suggested.get(name, defaults[name]) for name in left_open})
