"""Tasks as a user would bring them: named `own_tasks:Name` wherever a task is named."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

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


@dataclasses.dataclass(frozen=True)
class Answers(Gap):
    """Answers in tables of names and columns that ours have too, and in others at another gap."""

    def answers(self, model):
        del model
        mine = {"gap": "mine", "own": np.float32(0.5), 3: jnp.int32(self.gap)}
        return {
            "runs": [mine, {"more": None, "job": b"x"}],
            "a/../b\0": [{"at": self.gap, f"only{self.gap}": True}],
            "numbers": [1, 2],
            "nothing": [],
            "empty": [{}],
        }


@dataclasses.dataclass(frozen=True)
class Rare(Gap):
    """Draws the first fact nine times in ten."""

    @property
    def chance(self):
        return 0.9 + 0.1 / self.num_facts

    def sample(self, key, batch_size):
        key, rare_key = jax.random.split(key)
        batch = super().sample(key, batch_size)
        is_rare = jax.random.bernoulli(rare_key, 0.9, (batch_size,))
        return batch._replace(targets=jnp.where(is_rare, 0, batch.targets))


@dataclasses.dataclass(frozen=True)
class Few(Gap):
    """Says nothing of how few sequences it has."""

    @property
    def num_sequences(self):
        return None
