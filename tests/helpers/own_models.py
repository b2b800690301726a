"""Models as a user would write them outside of the package: named `own_models:Window` wherever a cell is named."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from lstm_jax.choices import Backward, Form
from lstm_jax.models.base import Config


@dataclasses.dataclass(frozen=True)
class Window(Config):
    """Logits of the last step, from the last `width` tokens, each embedded and all put side by side."""

    forms: ClassVar = ("sequence",)
    hidden_dim: int
    num_tokens: int
    num_outputs: int
    dropout: float
    width: int = 8

    def build(self, *, rngs, dtype=jnp.float32):
        return WindowModel(self, rngs=rngs, dtype=dtype)


class WindowModel(nnx.Module):
    def __init__(self, config, *, rngs, dtype):
        self.config = config
        dim = config.hidden_dim
        self.embedding = nnx.Embed(config.num_tokens, dim, param_dtype=dtype, rngs=rngs)
        self.hidden = nnx.Linear(config.width * dim, dim, param_dtype=dtype, rngs=rngs)
        self.readout = nnx.Linear(dim, config.num_outputs, param_dtype=dtype, rngs=rngs)

    def __call__(self, inputs, *, dropout_key=None):
        padded = jnp.concatenate([jnp.zeros((self.config.width, inputs.shape[1]), inputs.dtype), inputs])
        vectors = jnp.moveaxis(self.embedding(padded[-self.config.width :]), 0, 1)
        hidden = jnp.tanh(self.hidden(vectors.reshape(inputs.shape[1], -1)))
        if dropout_key is not None:
            keep = jax.random.bernoulli(dropout_key, 1.0 - self.config.dropout, hidden.shape)
            hidden = jnp.where(keep, hidden / (1.0 - self.config.dropout), 0.0)
        return self.readout(hidden)[None]


@dataclasses.dataclass(frozen=True)
class Everything(Config):
    """Has a field for all that a job and its task say, none with a default."""

    hidden_dim: int
    input_dim: int
    num_layers: int
    dropout: float
    backward: Backward
    truncation: int | None
    form: Form
    num_tokens: int
    num_outputs: int
    readout: str
    gap: int | None
    num_steps: int | None
    base: float

    def build(self, *, rngs, dtype=jnp.float32):
        return nnx.Linear(self.input_dim, self.num_outputs, rngs=rngs)


@dataclasses.dataclass(frozen=True)
class Bare(Config):
    """Has no field at all."""

    def build(self, *, rngs, dtype=jnp.float32):
        raise RuntimeError("no luck")
