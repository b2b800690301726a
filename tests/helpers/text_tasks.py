"""Tasks on text, the small models that read them, and batches as NumPy has them."""

from __future__ import annotations

import jax
import numpy as np
from flax import nnx

from lstm_jax.models import Sizes, make_model
from lstm_jax.tasks import make_task
from lstm_jax.training import Hypers, Training


def language(digest, form="decoder", gap=8):
    return make_task(f"language@corpus={digest}", gap, form)


def model_of(task, label="gru", hidden_dim=6):
    sizes = Sizes(hidden_dim, 5)
    tokens = {"num_tokens": task.num_tokens, "num_outputs": task.num_classes}
    return make_model(label, sizes, form=task.form, gap=task.gap, **tokens)


def built(config, seed=0):
    return config.build(rngs=nnx.Rngs(seed))


def training_of(task, label="gru", batch_size=4, **options):
    return Training(task, model_of(task, label, **options), "adam", batch_size, 8)


def hypers_of(seed=0, learning_rate=0.01):
    return Hypers(np.uint32(seed), np.float32(learning_rate), np.float32(1.0))


def begun(training, hypers=None):
    """A run's first state, as one program."""
    return jax.jit(training.init)(hypers or hypers_of())


def sampled(task, seed, batch_size):
    return jax.jit(lambda key: task.sample(key, batch_size))(jax.random.key(seed))


def held_out(task, size):
    return numbers(jax.jit(lambda: task.held_out(size))())


def numbers(batch):
    return jax.tree.map(np.asarray, batch)
