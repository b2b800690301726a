"""Tasks and an optimizer whose outcome is known beforehand, named as a user's own would be."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Integer, Key

from lstm_jax.tasks.base import Batch
from lstm_jax.tasks.gap import Gap


@dataclasses.dataclass(frozen=True)
class Shuffled(Gap):
    """The gap task with the answers of a batch permuted among its sequences: there is nothing to learn."""

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """As the gap task, but for the order of the targets."""
        batch = super().sample(key, batch_size)
        order = jax.random.permutation(jax.random.fold_in(key, 1), batch_size)
        return batch._replace(targets=batch.targets[:, order])


@dataclasses.dataclass(frozen=True)
class Present(Gap):
    """The gap task with the fact right before the query: the fillers stand before it, so that nothing is far away.

    With a `length` the gap is a name alone; each has batches of its own, or runs of one seed would be the same run.
    """

    axis = "fillers before the fact"

    @property
    def distance(self) -> int:
        """One step, whatever the length."""
        return 1

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """As the gap task, with draws of this gap's own."""
        return super().sample(jax.random.fold_in(key, self.gap), batch_size)

    def _batch(self, facts: Integer[Array, "1 B"], filler_key: Key[Array, ""]) -> Batch:
        batch = super()._batch(facts, filler_key)
        inputs: Any = batch.inputs
        place = self.num_steps - self.gap - 2
        moved = [inputs[:place], inputs[place + 1 : -1], inputs[place : place + 1], inputs[-1:]]
        return batch._replace(inputs=jnp.concatenate(moved))


def readout_adam(learning_rate: Any) -> optax.GradientTransformation:
    """Adam for the readout; embedding and recurrence stay as they began."""

    def labels(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, _: "trained" if "readout" in jax.tree_util.keystr(path) else "frozen", params
        )

    return optax.multi_transform({"trained": optax.adam(learning_rate), "frozen": optax.set_to_zero()}, labels)
