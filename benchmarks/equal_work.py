"""What the loops of users share: the grid they are given, and the check that their work is ours before it is timed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.machine import processor
from experiments.gap_length import EXPERIMENT
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.machine import num_cores

RATES = (0.003, 0.01, 0.03)
QUICK = EXPERIMENT.presets["quick"].replace(gaps=(5, 10, 20, 40, 80, 160), learning_rates=RATES, max_steps=600)
"""A full grid: which runs there are may not depend on the numbers that a contestant gets."""
NUM_FACTS, NUM_FILLERS = 8, 8
NUM_TOKENS = NUM_FACTS + NUM_FILLERS + 1
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Grid:
    """What a loop trains: all that it is told, in plain values."""

    hidden_dims: dict[str, int]
    gaps: Sequence[int]
    learning_rates: Sequence[float]
    seeds: Sequence[int]
    max_steps: int
    chunk_steps: int
    batch_size: int
    eval_size: int
    embedding_dim: int
    clip_norm: float


class Weights(NamedTuple):
    """All weights, or their gradients, in our form; None for what a contestant has not."""

    embedding: Any
    cell: Any
    kernel: Any
    bias: Any


class Observed(NamedTuple):
    """What a contestant's fresh model gives on one batch."""

    weights: Weights
    loss: float
    gradients: Weights
    num_params: int


def is_solved(accuracies: Sequence[float]) -> bool:
    """At least 0.99 at three evaluations in a row, as in lstm_jax/training.py."""
    return "111" in "".join(str(int(accuracy >= 0.99)) for accuracy in accuracies)


def machine(versions: str, device: str, lanes: int = 1) -> dict[str, Any]:
    """Columns that say under what the times hold."""
    name = processor() if device == "cpu" else device
    return {"lanes": lanes, "device": name, "cores": num_cores(), "versions": versions}


def check_equal_work(
    name: str, grid: Grid, sample: Callable[[int, int], Sequence[Any]], observe: Callable[..., Observed]
) -> None:
    """Exit where a loop does other work than we do: other sequences, sizes, or loss or gradient for the same weights.

    Sequences at all gaps, the rest at the largest, for each cell. A gradient's distance is relative, weight by weight.
    """
    import jax
    import numpy as np
    from flax import nnx

    from lstm_jax.models import SequenceModel
    from lstm_jax.models.base import params_of
    from lstm_jax.parameters import as_variables
    from lstm_jax.sweeps.plan import make_jobs

    jax.config.update("jax_platforms", "cpu")
    jobs, _ = make_jobs(sweep_config(cells=list(grid.hidden_dims), gaps=grid.gaps))
    for job in jobs:
        training, settings = job.training(), job.settings
        task, key = training.task, jax.random.key(1)
        batch = jax.tree.map(np.asarray, task.sample(key, 4096))
        inputs, targets = (np.asarray(each) for each in sample(settings.gap, 4096))
        _expect(inputs.shape == batch.inputs.shape, f"{name}, gap {settings.gap}: the sequences have another length")
        same = all(np.array_equal(np.unique(inputs[t]), np.unique(batch.inputs[t])) for t in (0, 1, -1))
        _expect(same and (task.solve(inputs)[0] == targets).all(), f"{name}, gap {settings.gap}: the task is another")
        _expect(
            settings.hidden_dim == grid.hidden_dims[settings.cell],
            f"{name}, {settings.cell}: the size is another",
        )
        if settings.gap != max(grid.gaps):
            continue
        batch = task.sample(key, settings.batch_size)
        theirs = observe(grid, settings.cell, settings.gap, np.asarray(batch.inputs), np.asarray(batch.targets[0]))
        model: Any = SequenceModel(training.model, rngs=nnx.Rngs(0))

        def places(model: Any) -> list[Any]:
            return [model.embedding.embedding, model.stack.layers[0].params, model.readout.kernel, model.readout.bias]

        for place, value in zip(places(model), theirs.weights, strict=True):
            shapes = [jax.tree.map(np.shape, tree) for tree in (place.get_value(), value)]
            _expect(shapes[0] == shapes[1], f"{name}, {settings.cell}: weights have other shapes: {shapes}")
            place.set_value(jax.tree.map(jax.numpy.asarray, value))
        train_loss = jax.value_and_grad(training._train_loss, has_aux=True)
        (loss, _), gradients = train_loss(params_of(model), batch, (), None)
        nnx.update(model, as_variables(gradients, model))
        distances = {"loss": abs(theirs.loss / float(loss) - 1)}
        for part, place, value in zip(Weights._fields, places(model), theirs.gradients, strict=True):
            for path, ours in jax.tree.leaves_with_path(place.get_value()):
                leaf = getattr(value, path[-1].name) if path else value
                if leaf is not None:
                    norm = np.linalg.norm(leaf - np.asarray(ours)) / np.linalg.norm(np.asarray(ours))
                    distances[part + jax.tree_util.keystr(path)] = float(norm)
        worst = max(distances, key=lambda part: math.inf if math.isnan(distances[part]) else distances[part])
        print(
            f"{name}, {settings.cell}: {settings.hidden_dim} units, {theirs.num_params} parameters (ours: "
            f"{settings.num_params}); "
            f"loss and gradient agree within {distances[worst]:.0e} ({worst})"
        )
        _expect(distances[worst] < TOLERANCE, f"{name}, {settings.cell}: {worst} differs by {distances[worst]:.1e}")


def _expect(holds: Any, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"not the same work, so nothing is timed: {otherwise}")


def sweep_config(**changes: Any) -> SweepConfig:
    """The quick preset with changes, given as JSON has them; never in wandb."""
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    return QUICK.replace(wandb="disabled", **changes)
