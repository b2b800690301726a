"""States of runs by orbax, under checksums of our own: orbax restores a flipped bit without a word."""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from lstm_jax.errors import DamagedError
from lstm_jax.sweeps.job import Job, RunKey
from lstm_jax.sweeps.store import checkpoints
from lstm_jax.sweeps.store.files import check_directory
from lstm_jax.training import Hypers, RunState


def save(directory: Path, kind: checkpoints.Kind, states: Sequence[Any], facts: dict[str, Any]) -> str:
    """Save the states of runs (host copies as `to_host` makes them), on disk when this returns; returns its name."""
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    return checkpoints.save(directory, kind, lambda path: _write(path, _on_disk(stacked)), facts)


def _write(path: Path, tree: Any) -> None:
    """By orbax, whose errors of the system are ValueErrors of many lines: they become an OSError again."""
    _quieten()
    try:
        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
            checkpointer.save(path, args=ocp.args.StandardSave(tree))
    except ValueError as error:
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error


@functools.cache
def _quieten() -> None:
    """Silence the tracebacks that orbax's threads print when a save fails: its exception says so."""
    hook = sys.unraisablehook

    def without_late_errors(unraisable: sys.UnraisableHookArgs) -> None:
        # Threads of tensorstore call an event loop that orbax has closed with the first error.
        if "Event loop is closed" not in str(unraisable.exc_value):
            hook(unraisable)

    sys.unraisablehook = without_late_errors
    logging.getLogger("asyncio").addFilter(lambda record: "orbax" not in record.getMessage())  # tasks nobody awaits
    logging.getLogger("absl").setLevel(logging.CRITICAL)


class _Bare(NamedTuple):
    """A run's state without a carry, which most have none of: as checkpoints had it before there was one."""

    params: Any
    opt_state: Any
    key: Any
    step: Any


class _Carried(NamedTuple):
    """One without a mean of its parameters, likewise."""

    params: Any
    opt_state: Any
    key: Any
    step: Any
    carry: Any


def _on_disk(tree: Any) -> Any:
    """Leaves in the same order: an empty carry and mean have none, and come last."""

    def bare(state: Any) -> Any:
        if not isinstance(state, RunState) or state.average != ():
            return state
        return _Carried(*state[:5]) if state.carry else _Bare(*state[:4])

    return jax.tree.map(bare, tree, is_leaf=lambda node: isinstance(node, RunState))


def read(checkpoint: Path, abstract: Any, num_runs: int) -> list[Any]:
    """The states in a checkpoint of `num_runs`, each of the form `abstract`; raises DamagedError.

    The files must have been checked (`check_directory`): orbax would restore a flipped bit.
    """
    target = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((num_runs, *leaf.shape), leaf.dtype), abstract)
    try:
        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
            tree = checkpointer.restore(checkpoint.absolute(), args=ocp.args.StandardRestore(_on_disk(target)))
    except (ValueError, KeyError) as error:
        raise DamagedError(f"{checkpoint}: expected the states of {num_runs} runs ({error})") from None
    tree = jax.tree.unflatten(jax.tree.structure(target), jax.tree.leaves(tree))
    return [jax.tree.map(lambda leaf: np.asarray(leaf[index]), tree) for index in range(num_runs)]  # noqa: B023


def restore(directory: Path, job: Job, run: RunKey) -> RunState:
    """The last state of one run that has ended, ready to go on from: `restore_all` of one."""
    (state,) = restore_all(directory, job, (run,))
    return state


def restore_all(directory: Path, job: Job, runs: Sequence[RunKey]) -> list[RunState]:
    """The last states of runs that have ended, ready to go on from.

    Raises ValueError where no checkpoint has one, or the one that has it is damaged. Training on from it is the same,
    bit for bit, as never having stopped (on the same machine and versions).
    """
    found: dict[RunKey, RunState] = {}
    for name in checkpoints.names(directory, "ended"):
        facts = check_directory(directory / name)
        there = [RunKey(*each) for each in facts["runs"]]
        if wanted := [run for run in runs if run in there and run not in found]:
            states: list[RunState] = read(directory / name, abstract_state(job), len(there))
            found |= {run: states[there.index(run)] for run in wanted}
    for run in runs:
        if run not in found:
            raise ValueError(f"{directory}: expected a checkpoint of {job.name}, {run}, found none")
    keyed = (found[run]._replace(key=jax.random.wrap_key_data(found[run].key)) for run in runs)
    return [jax.tree.map(jnp.asarray, state) for state in keyed]


def abstract_state(job: Job) -> RunState:
    """Shapes and dtypes of what `to_host` makes of a run's state."""
    hypers = Hypers(jnp.uint32(0), jnp.float32(1), jnp.float32(1))
    state: RunState = jax.eval_shape(lambda: _with_key_data(job.training().init(hypers)))
    return state


def to_host(state: RunState) -> Any:
    """A copy of a (stacked) state in host memory, its key as the numbers it is made of."""
    return jax.tree.map(np.array, _with_key_data(state))


def _with_key_data(state: RunState) -> RunState:
    return state._replace(key=jax.random.key_data(state.key))
