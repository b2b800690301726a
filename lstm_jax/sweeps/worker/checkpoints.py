"""Checkpoints by orbax, under a manifest of checksums: orbax itself restores a flipped bit without a word.

A checkpoint holds the states of several runs of a job, stacked. There are two kinds, by name: `ended-0` has the last
states of runs that have ended, and is kept; `running-3` has what runs in the middle need to go on, and the latest two
of them are kept. A directory of that name is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from lstm_jax.errors import DamagedError
from lstm_jax.files import make_directory, sync
from lstm_jax.sweeps.plan import Job, RunKey
from lstm_jax.sweeps.store.files import check_directory, seal_directory
from lstm_jax.training import Hypers, RunState

Kind = Literal["ended", "running"]
NUM_RUNNING = 2
"""How many checkpoints of runs in the middle are kept."""


def save(directory: Path, kind: Kind, states: Sequence[Any], facts: dict[str, Any]) -> str:
    """Save the states of runs (host copies as `to_host` makes them), on disk when this returns; returns its name.

    `facts` go to the manifest, which is what says whose states they are.
    """
    make_directory(directory)
    name = f"{kind}-{1 + max(_numbers(directory, kind), default=-1)}"
    temporary = (directory / f".{name}.{os.getpid()}").absolute()
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
        _save(temporary, _on_disk(stacked))
        seal_directory(temporary, facts)
        os.replace(temporary, directory / name)
        sync(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if kind == "running":
        for number in _numbers(directory, kind)[NUM_RUNNING:]:
            remove(directory / f"{kind}-{number}")
    return name


def remove(checkpoint: Path) -> None:
    """Remove a checkpoint, so that what is left of it after a crash is not taken for one."""
    hidden = checkpoint.with_name(f".{checkpoint.name}.{os.getpid()}.old")
    with contextlib.suppress(OSError):
        os.replace(checkpoint, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _save(path: Path, tree: Any) -> None:
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
    """Have a save that fails say so once, by what it raises: its other parts would print tracebacks, some before it."""
    hook = sys.unraisablehook

    def without_late_news(unraisable: sys.UnraisableHookArgs) -> None:
        # Threads of tensorstore tell an event loop that orbax has closed with the first error.
        if "Event loop is closed" not in str(unraisable.exc_value):
            hook(unraisable)

    sys.unraisablehook = without_late_news
    logging.getLogger("asyncio").addFilter(lambda record: "orbax" not in record.getMessage())  # tasks nobody awaits
    logging.getLogger("absl").setLevel(logging.CRITICAL)


class _Bare(NamedTuple):
    """A run's state without a carry, which most have none of: as checkpoints had it before there was one."""

    params: Any
    opt_state: Any
    key: Any
    step: Any


def _on_disk(tree: Any) -> Any:
    """Leaves in the same order: an empty carry has none, and comes last."""

    def bare(state: Any) -> Any:
        return _Bare(*state[:4]) if isinstance(state, RunState) and not state.carry else state

    return jax.tree.map(bare, tree, is_leaf=lambda node: isinstance(node, RunState))


def names(directory: Path, kind: Kind) -> list[str]:
    """The checkpoints of a kind, the latest first."""
    return [f"{kind}-{number}" for number in _numbers(directory, kind)]


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
    """The last state of one run that has ended, ready to go on from.

    Raises ValueError where no checkpoint has it, or the one that has it is damaged. Training on from it is the same,
    bit for bit, as never having stopped (on the same machine and versions).
    """
    for name in names(directory, "ended"):
        facts = check_directory(directory / name)
        runs = [RunKey(*each) for each in facts["runs"]]
        if run in runs:
            state: RunState = read(directory / name, abstract_state(job), len(runs))[runs.index(run)]
            key = jax.random.wrap_key_data(state.key)
            state = jax.tree.map(jnp.asarray, state)
            return state._replace(key=key)
    raise ValueError(f"{directory}: expected a checkpoint of {job.name}, {run}, found none")


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


def _numbers(directory: Path, kind: Kind) -> list[int]:
    if not directory.is_dir():
        return []
    found = (path.name.removeprefix(f"{kind}-") for path in directory.glob(f"{kind}-*"))
    return sorted((int(number) for number in found if number.isdecimal()), reverse=True)
