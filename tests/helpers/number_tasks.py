"""Tasks of other numbers than tokens and classes, as a user would bring them: `number_tasks:Name`."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from lstm_jax.tasks.base import Batch, Task
from lstm_jax.tasks.kinds import Labels, Reals, Vectors


class OfNumbers(Task):
    """What these have in common: the number at the first step is asked for at the last one."""

    inputs = Vectors(1)
    readout = "last"

    @property
    def num_steps(self):
        return self.gap + 1

    def show(self, inputs, targets):
        return f"{np.round(inputs.ravel(), 2)}: {targets}"


@dataclasses.dataclass(frozen=True)
class FirstNumber(OfNumbers):
    """Numbers of mean 0 and variance `scale` squared: which was the first?"""

    scale: float = dataclasses.field(default=1.0, kw_only=True)
    outputs = Reals(1)

    @property
    def chance(self):
        return self.scale**2

    @property
    def memoryless_loss(self):
        return self.scale**2

    def sample(self, key, batch_size):
        inputs = self.scale * jax.random.normal(key, (self.num_steps, batch_size, 1))
        ones = jnp.ones((1, batch_size))
        return Batch(inputs, inputs[:1], ones, ones)

    def solve(self, inputs):
        return inputs[:1]


@dataclasses.dataclass(frozen=True)
class Parts(OfNumbers):
    """Two numbers a step, of the first of which three things are asked: either's sign, and whether both have one."""

    inputs = Vectors(2)
    outputs = Labels(3)
    chance = 0.5
    memoryless_loss = math.log(2)

    def sample(self, key, batch_size):
        inputs = jax.random.normal(key, (self.num_steps, batch_size, 2))
        ones = jnp.ones((1, batch_size))
        return Batch(inputs, self.solve(inputs), ones, ones)

    def solve(self, inputs):
        first, second = inputs[:1, :, 0] > 0, inputs[:1, :, 1] > 0
        return jnp.stack([first, second, first == second], axis=-1)


@dataclasses.dataclass(frozen=True)
class Pixels(OfNumbers):
    """Two kinds of image, pixel by pixel: a bright point, the rest faint noise, in its first half or in its second."""

    num_classes = 2
    chance = 0.5
    memoryless_loss = math.log(2)

    @property
    def num_steps(self):
        return 2 * self.gap

    def sample(self, key, batch_size):
        keys = jax.random.split(key)
        place = jax.random.randint(keys[0], (batch_size,), 0, self.num_steps)
        noise = 0.1 * jax.random.uniform(keys[1], (self.num_steps, batch_size))
        images = jnp.where(jnp.arange(self.num_steps)[:, None] == place, 1.0, noise)
        ones = jnp.ones((1, batch_size))
        return Batch(images[..., None], (place[None] >= self.gap).astype(jnp.int32), ones, ones)

    def solve(self, inputs):
        return (jnp.argmax(jnp.asarray(inputs)[..., 0], axis=0, keepdims=True) >= self.gap).astype(np.int32)


@dataclasses.dataclass(frozen=True)
class EveryNumber(FirstNumber):
    """The number `gap` steps before, at every step that has one."""

    readout = "every"

    @property
    def num_steps(self):
        return self.gap + 3

    def sample(self, key, batch_size):
        inputs = self.scale * jax.random.normal(key, (self.num_steps, batch_size, 1))
        is_asked = jnp.broadcast_to(jnp.arange(self.num_steps)[:, None] >= self.gap, inputs.shape[:2])
        weights = is_asked.astype(jnp.float32)
        return Batch(inputs, jnp.roll(inputs, self.gap, axis=0), weights, weights)

    def solve(self, inputs):
        return np.roll(inputs, self.gap, axis=0)


@dataclasses.dataclass(frozen=True)
class FlatTargets(FirstNumber):
    """Targets [S, B], of which outputs [S, B, 1] would make [S, B, B]."""

    def sample(self, key, batch_size):
        batch = super().sample(key, batch_size)
        return batch._replace(targets=batch.targets[..., 0])


@dataclasses.dataclass(frozen=True)
class WrongWidth(FirstNumber):
    """Says two numbers a step, and has one."""

    inputs = Vectors(2)


@dataclasses.dataclass(frozen=True)
class NoInputs(Task):
    """Says nothing of its inputs."""

    num_classes = 2
    readout = "last"
    chance = 0.5
    memoryless_loss = 1.0
    num_steps = 2

    def sample(self, key, batch_size):
        ones = jnp.ones((1, batch_size))
        return Batch(jnp.zeros((2, batch_size), jnp.int32), jnp.zeros((1, batch_size), jnp.int32), ones, ones)

    def show(self, inputs, targets):
        return ""


@dataclasses.dataclass(frozen=True)
class OwnLevel(FirstNumber):
    """Half of chance is enough."""

    solved_at = 0.5
