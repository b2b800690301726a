"""Tasks as a user would bring them: named `own_tasks:Name` wherever a task is named."""

from __future__ import annotations

import dataclasses

import jax

from lstm_jax.tasks.gap import Gap


@dataclasses.dataclass(frozen=True)
class Shuffled(Gap):
    """A negative control: the targets of `gap`, shuffled within the batch. Nothing can learn it."""

    def sample(self, key, batch_size):
        shuffle_key, key = jax.random.split(key)
        batch = super().sample(key, batch_size)
        return batch._replace(targets=jax.random.permutation(shuffle_key, batch.targets, axis=1))


@dataclasses.dataclass(frozen=True)
class ShortOnly(Gap):
    """Refuses gaps of more than five."""

    def __post_init__(self):
        super().__post_init__()
        if self.gap > 5:
            raise ValueError(f"gap: expected at most 5, got {self.gap}")


@dataclasses.dataclass(frozen=True)
class Broken(Gap):
    """Fails where a task is asked how long it is."""

    @property
    def num_steps(self):
        raise AttributeError("no\nsteps")


@dataclasses.dataclass(frozen=True)
class GrowingVocabulary(Gap):
    """As many kinds of filler as the gap is long."""

    def __post_init__(self):
        object.__setattr__(self, "num_fillers", self.gap)
        super().__post_init__()
