"""Tasks by name. To add one: a new file beside this one, and a line in `TASKS`.

A task of your own needs no registration: `package.module:Name` is its name wherever a task is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lstm_jax import registry

if TYPE_CHECKING:
    from lstm_jax.tasks.base import Task

TASKS: Mapping[str, str] = {
    "gap": "lstm_jax.tasks.gap:Gap",
    "copy": "lstm_jax.tasks.copy:Copy",
}


def make_task(text: str, gap: int) -> Task:
    """The task that `text` names, `gap@filler=blank` say, at a distance of `gap` time steps.

    Raises ValueError that names the field, what was given and what is allowed.
    """
    from lstm_jax.tasks import base  # jax is imported where a task is made, not where it is named

    spec = registry.parse(text)
    task: Task = registry.construct("task", spec, registry.load("task", spec.name, TASKS), base.Task, {"gap": gap})
    return task
