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
    "reverse": "lstm_jax.tasks.reverse:Reverse",
    "memory_update": "lstm_jax.tasks.memory_update:MemoryUpdate",
    "addition": "lstm_jax.tasks.addition:Addition",
    "adding": "lstm_jax.tasks.adding:Adding",
    "variable_copy": "lstm_jax.tasks.variable_copy:VariableCopy",
    "selective_copy": "lstm_jax.tasks.selective_copy:SelectiveCopy",
    "temporal_order": "lstm_jax.tasks.temporal_order:TemporalOrder",
    "embedded_reber": "lstm_jax.tasks.embedded_reber:EmbeddedReber",
    "parity": "lstm_jax.tasks.parity:Parity",
    "state_tracking": "lstm_jax.tasks.state_tracking:StateTracking",
    "dyck": "lstm_jax.tasks.dyck:Dyck",
    "associative_recall": "lstm_jax.tasks.associative_recall:AssociativeRecall",
    "induction_heads": "lstm_jax.tasks.induction_heads:InductionHeads",
    "listops": "lstm_jax.tasks.listops:ListOps",
    "sequential_image": "lstm_jax.tasks.sequential_image:SequentialImage",
    "translation": "lstm_jax.tasks.translation:Translation",
    "language": "lstm_jax.tasks.language:Language",
}


def corpus_of(text: str) -> str | None:
    """The digest of the corpus that a task names, as translation@corpus=... does; raises ValueError."""
    return dict(registry.parse(text).settings).get("corpus")


def make_task(text: str, gap: int, form: str | None = None) -> Task:
    """The task that `text` names, `gap@filler=blank` say, at a distance of `gap` time steps.

    `form` is the form that a model asks for, of a task that has several. Raises ValueError that names the field, what
    was given and what is allowed.
    """
    from lstm_jax.tasks import base  # jax is imported where a task is made, not where it is named

    spec = registry.parse(text)
    fixed = {"gap": gap} | ({} if form is None else {"form": form})
    task: Task = registry.construct("task", spec, registry.load("task", spec.name, TASKS), base.Task, fixed)
    if form is not None and task.form != form:
        raise ValueError(f"task {text!r}: its models are of the form {task.form}, not {form}")
    return task
