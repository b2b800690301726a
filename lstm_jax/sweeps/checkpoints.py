"""The states that runs end with, by orbax: one checkpoint for all runs that a job trained in one go."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from lstm_jax.sweeps.jobs import Job, RunKey
from lstm_jax.training import Hypers, RunState


def save(directory: Path, job: Job, states: Mapping[RunKey, Any]) -> None:
    """Save the last states of runs, stacked, beside those of earlier goes at the same job.

    `states` are host copies as `to_host` makes them.
    """
    meta = {
        "cell": job.cell,
        "task": job.task,
        "gap": job.gap,
        "hidden_dim": job.hidden_dim,
        "runs": [run._asdict() for run in states],
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "orbax-checkpoint")},
    }
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *states.values())
    with _manager(directory) as manager:
        number = 1 + max(manager.all_steps(), default=-1)
        manager.save(
            number, args=ocp.args.Composite(state=ocp.args.StandardSave(stacked), meta=ocp.args.JsonSave(meta))
        )
        manager.wait_until_finished()


def restore(directory: Path, job: Job, run: RunKey) -> RunState:
    """The last state of one run, ready to go on from; raises ValueError where no checkpoint has it.

    Training on from it is the same, bit for bit, as never having stopped (on the same machine and versions).
    """
    hypers = Hypers(jnp.uint32(0), jnp.float32(1), jnp.float32(1))
    abstract = jax.eval_shape(lambda: _with_key_data(job.training().init(hypers)))
    with _manager(directory) as manager:
        for number in sorted(manager.all_steps(), reverse=True):
            meta = manager.restore(number, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
            runs = [RunKey(**each) for each in meta["runs"]]
            if run not in runs:
                continue
            target = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(runs), *leaf.shape), leaf.dtype), abstract)  # noqa: B023
            tree = manager.restore(number, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))["state"]
            state: RunState = jax.tree.map(lambda leaf: leaf[runs.index(run)], tree)  # noqa: B023
            return state._replace(key=jax.random.wrap_key_data(state.key))
    raise ValueError(f"{directory}: expected a checkpoint of {job.name}, {run}, found none")


def to_host(state: RunState) -> Any:
    """A copy of a (stacked) state in host memory, its key as the numbers it is made of."""
    return jax.tree.map(np.array, _with_key_data(state))


def _with_key_data(state: RunState) -> RunState:
    return state._replace(key=jax.random.key_data(state.key))


def _manager(directory: Path) -> Any:
    # Keeps every checkpoint: each holds other runs.
    return ocp.CheckpointManager(directory.absolute())
