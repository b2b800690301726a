"""A job: all runs of one model at one gap, which share one compiled program. Plain values for any worker. No jax."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lstm_jax.files import file_name
from lstm_jax.sweeps.config.options import ModelOptions, TrainingOptions, flat, known

if TYPE_CHECKING:
    from lstm_jax.scan import Backward
    from lstm_jax.training import Training

AS_BEFORE: dict[str, Any] = {
    field.name: field.metadata["before"]
    for part in (ModelOptions, TrainingOptions)
    for field in dataclasses.fields(part)
    if "before" in field.metadata
}
"""What runs had that were made before there was the option: `registry.is_as_before`."""


class RunKey(NamedTuple):
    """Which run of a job."""

    seed: int
    learning_rate: float


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the numbers of a run depend on beside its key and the versions: its identity is the hash of all fields.

    An option that came later is not part of it where it has the value that all runs had before it: `is_as_before` in
    registry.py.
    """

    cell: str
    task: str
    gap: int
    model: ModelOptions
    training: TrainingOptions
    code: str = ""
    """`sources.code_digest` of its training: fields as they are, defaults included, and the user's own source."""

    @property
    def flat(self) -> dict[str, Any]:
        """All of it as JSON has it, by the names of the options."""
        return {
            name: str(value)
            if isinstance(value, str) or (isinstance(value, float) and not math.isfinite(value))
            else value
            for name, value in flat(self).items()
        }

    @property
    def hash(self) -> str:
        """The identity."""
        its = {name: value for name, value in self.flat.items() if name not in AS_BEFORE or value != AS_BEFORE[name]}
        return hashlib.sha256(json.dumps(its, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def hidden_dim(self) -> int:
        """Units per layer, as planned."""
        return known(self.model.hidden_dim)

    @property
    def num_params(self) -> int:
        """Parameters of the model, as counted."""
        return known(self.model.num_params)

    @property
    def batch_size(self) -> int:
        """Sequences per update."""
        return known(self.training.batch_size)

    @property
    def eval_steps(self) -> int:
        """Updates between two evaluations."""
        return self.training.eval_steps


@dataclasses.dataclass(frozen=True)
class Job:
    """All runs of the same settings, and how often they are checkpointed."""

    settings: Settings
    runs: tuple[RunKey, ...] = ()
    checkpoint_seconds: float = math.inf
    num_more: int = 0
    """About how many runs will be asked for beside these, when they have ended (`stages`)."""

    @property
    def num_expected(self) -> int:
        """How many runs it will have, as far as is known by now."""
        return len(self.runs) + self.num_more

    @property
    def name(self) -> str:
        """The job's name, which is a file name too."""
        return job_name(self.settings.cell, self.settings.gap)

    @property
    def weight(self) -> float:
        """The expected cost of one of its runs."""
        return run_weight(self.settings.gap, self.settings.training.max_steps)

    def training(self, backward: Backward = "autodiff") -> Training:
        """The static part of its runs (imports jax); raises ValueError where cell or task can't be made."""
        model = dataclasses.replace(self.settings.model, num_params=None)  # which makes no other model
        return build(dataclasses.replace(self.settings, model=model, code=""), backward)


class JobResult(NamedTuple):
    """How a job ended in a worker, and why.

    done: all its runs are recorded; stopped: asked to, and saved; busy: another worker has it; failed: an error of
    cell or task; unwritable: of the disk.
    """

    status: Literal["done", "stopped", "busy", "failed", "unwritable"]
    reason: str = ""


@functools.lru_cache(maxsize=64)
def build(settings: Settings, backward: Backward) -> Training:
    """Task and model that the settings name; each name is looked up once per process."""
    from lstm_jax.models import Sizes, form_of, make_model
    from lstm_jax.optimizers import Schedule
    from lstm_jax.tasks import make_task
    from lstm_jax.training import Training

    sizes, training = settings.model, settings.training
    task = make_task(settings.task, settings.gap, form_of(settings.cell))
    model = make_model(
        settings.cell,
        Sizes(
            known(sizes.hidden_dim),
            task.inputs.width or known(sizes.embedding_dim),
            sizes.num_layers,
            known(sizes.dropout),
            backward,
            training.truncation,
        ),
        form=task.form,
        num_tokens=task.inputs.num_tokens,
        num_outputs=task.outputs.width,
        readout=task.readout,
        gap=task.distance,
        num_steps=task.num_steps,
    )
    return Training(
        task,
        model,
        training.optimizer,
        settings.batch_size,
        training.eval_size,
        Schedule.over(training.max_steps, training.schedule, training.warmup_steps),
        training.precision,
    )


def job_name(cell: str, gap: int) -> str:
    """The name of a job, which is a file name too: `lstm@forget_bias=5-gap40`."""
    return file_name(f"{cell}-gap{gap}")


def run_weight(gap: int, max_steps: int) -> float:
    """The expected cost of a run, in time steps; a part of it does not depend on the gap."""
    return float(gap + 10) * max_steps
