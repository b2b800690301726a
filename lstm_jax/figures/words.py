"""The words of figures and tables for what a sweep spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lstm_jax.tasks.base import Task


class Words(NamedTuple):
    """The task's axis, its unit in brackets, what is compared on it (cells, or models), its score and its loss."""

    axis: str = "gap (time steps)"
    cell: str = "cell"
    score: str = "accuracy"
    loss: str = "loss (nats)"

    @classmethod
    def of(cls, task: Task) -> Words:
        """The words of a task's sweeps: cells are compared, or models where it is of pairs or text."""
        outputs = task.outputs
        return cls(task.axis, "cell" if task.form == "sequence" else "model", outputs.score_name, outputs.loss_name)

    @property
    def gap(self) -> str:
        """The axis without its unit."""
        return self.axis.partition(" (")[0]

    @property
    def gaps(self) -> str:
        """Several values of the axis."""
        return self.gap if self.gap.endswith("s") else f"{self.gap}s"


GAP_SWEEP = Words()
