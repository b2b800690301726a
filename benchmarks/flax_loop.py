"""The gap-length grid as a user of Flax would train it: nnx and optax as in their guides, one run after another.

    python -m benchmarks.flax_loop --json GRID [--cached]    # started by benchmarks.sweeps, which makes GRID

What a sensible user does is done: the learning rate is a traced number (`optax.inject_hyperparams`) and the optimizer
is made once, so that a (cell, gap) compiles once and not for every run, which is asserted; nothing waits for the device
between two evaluations; arrays are time-major, which was as fast as Flax's default. Batches are made by NumPy: on two
cores an update of the LSTM took 1.16 ms at gap 5 and 2.01 ms at gap 80, with a jitted jax.random 1.26 and 2.14 ms.
With `--cached` the step is called through `nnx.cached_partial`, as Flax's guide on performance has it for small models.

Weights start as Flax's cells start them; the forget bias as our `lstm` has it, and spread as in `lstm@chrono=true`.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.equal_work import (
    NUM_FACTS,
    NUM_FILLERS,
    NUM_TOKENS,
    Grid,
    Observed,
    Weights,
    check_equal_work,
    is_solved,
    machine,
)
from benchmarks.options import options
from lstm_jax.sweeps.machine import versions

CELLS: dict[str, Any] = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "rnn": nnx.SimpleCell}
num_traces: collections.Counter[str] = collections.Counter()


class Model(nnx.Module):
    """Embedding, recurrent layer, readout at the last step: `[T, B] -> [B, C]`."""

    def __init__(self, kind: str, embedding_dim: int, hidden_dim: int, rngs: nnx.Rngs) -> None:
        normal = nnx.initializers.normal(1.0)
        self.embedding = nnx.Embed(NUM_TOKENS, embedding_dim, embedding_init=normal, rngs=rngs)
        self.rnn = nnx.RNN(CELLS[kind](embedding_dim, hidden_dim, rngs=rngs), time_major=True)
        self.readout = nnx.Linear(hidden_dim, NUM_FACTS, rngs=rngs)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Logits `[B, C]`."""
        return self.readout(self.rnn(self.embedding(inputs))[-1])


def make_model(grid: Grid, cell: str, gap: int, seed: int) -> Model:
    """A fresh model; an LSTM's forget biases start at 1, or where chrono initialisation draws them."""
    kind, _, settings = cell.partition("@")
    hidden_dim = grid.hidden_dims[cell]
    model = Model(kind, grid.embedding_dim, hidden_dim, nnx.Rngs(seed))
    if kind == "lstm":
        forget, zeros = np.ones(hidden_dim), np.zeros(hidden_dim)
        if settings:
            forget = np.log(np.random.default_rng(seed).uniform(1, max(gap - 1, 1), hidden_dim))
        bias = np.concatenate([-forget if settings else zeros, forget, zeros, zeros])
        lstm: Any = model.rnn.cell
        lstm.dense_h.bias.set_value(jnp.asarray(bias, jnp.float32))
    return model


def sample(rng: np.random.Generator, gap: int, num_sequences: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs `[T, B]`: fact, distractors, query; and targets `[B]`."""
    facts = rng.integers(0, NUM_FACTS, num_sequences, np.int32)
    fillers = rng.integers(NUM_FACTS, NUM_FACTS + NUM_FILLERS, (gap, num_sequences), np.int32)
    query = np.full((1, num_sequences), NUM_TOKENS - 1, np.int32)
    return np.concatenate([facts[None], fillers, query]), facts


def loss_fn(model: Model, inputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean cross-entropy at the query."""
    return optax.softmax_cross_entropy_with_integer_labels(model(inputs), targets).mean()


@nnx.jit
def train_step(model: Model, optimizer: nnx.Optimizer, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
    """One update, in place; the loss before it."""
    num_traces["train_step"] += 1
    loss, gradients = nnx.value_and_grad(loss_fn)(model, *batch)
    optimizer.update(model, gradients)
    return loss


@nnx.jit
def evaluate(model: Model, batch: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Loss and accuracy."""
    inputs, targets = batch
    logits = model(inputs)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()
    return loss, (logits.argmax(axis=-1) == targets).mean()


def train(grid: Grid, cached: bool) -> dict[str, Any]:
    """Train the grid; what came of it, and the time that the first update and evaluation of each (cell, gap) took."""

    def make_optimizer(learning_rate: float) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(grid.clip_norm), optax.adam(learning_rate))

    tx = optax.inject_hyperparams(make_optimizer)(learning_rate=0.0)
    started, first_seconds, num_updates, num_solved = time.perf_counter(), 0.0, 0, 0
    for cell, gap in itertools.product(grid.hidden_dims, grid.gaps):
        begun: float | None = time.perf_counter()
        held_out = jax.device_put(sample(np.random.default_rng(2**32), gap, grid.eval_size))
        for learning_rate, seed in itertools.product(grid.learning_rates, grid.seeds):
            model = make_model(grid, cell, gap, seed)
            optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
            optimizer.opt_state.hyperparams["learning_rate"].set_value(jnp.float32(learning_rate))
            step = nnx.cached_partial(train_step, model, optimizer) if cached else None
            rng = np.random.default_rng(seed)
            accuracies = []
            for update in range(1, grid.max_steps + 1):
                batch = sample(rng, gap, grid.batch_size)
                loss = step(batch) if step else train_step(model, optimizer, batch)
                num_updates += 1
                if begun is not None:
                    jax.block_until_ready((loss, evaluate(model, held_out)))
                    first_seconds += time.perf_counter() - begun
                    begun = None
                if update % grid.chunk_steps == 0 or update == grid.max_steps:
                    accuracies.append(float(evaluate(model, held_out)[1]))
            num_solved += is_solved(accuracies)
    seconds = time.perf_counter() - started
    num_pairs = len(grid.hidden_dims) * len(grid.gaps)
    if num_traces["train_step"] > num_pairs:
        raise SystemExit(f"train_step was compiled {num_traces['train_step']} times; expected at most {num_pairs}")
    return {
        "num_updates": num_updates,
        "num_solved": num_solved,
        "training_seconds": seconds - first_seconds,
        "machine": machine(versions(), jax.devices()[0].device_kind),
    }


def observe(grid: Grid, cell: str, gap: int, inputs: np.ndarray, targets: np.ndarray) -> Observed:
    """Weights, loss and gradient of a fresh model, in our form."""
    from lstm_jax.cells.convert import from_flax

    model = make_model(grid, cell, gap, seed=0)

    def in_our_form() -> Weights:
        params: Any = from_flax(model.rnn.cell)[1]
        readout = model.readout
        assert readout.bias is not None
        return Weights(
            model.embedding.embedding.get_value(), params, readout.kernel.get_value(), readout.bias.get_value()
        )

    weights = in_our_form()
    num_params = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    loss, gradients = nnx.value_and_grad(loss_fn)(model, jnp.asarray(inputs), jnp.asarray(targets))
    nnx.update(model, gradients)  # in the places of the weights, for from_flax to read
    gradient = in_our_form()
    if cell.startswith("gru"):
        gradient = gradient._replace(cell=gradient.cell._replace(bias_hn=None))  # nnx.GRUCell has none
    return Observed(weights, float(loss), gradient, num_params)


@dataclasses.dataclass(frozen=True)
class FlaxLoop:
    """Train the gap-length grid in a loop, with Flax."""

    json: str
    """The grid."""
    check: bool = False
    """Check that the work is ours, and train nothing."""
    cached: bool = False
    """Call the step through nnx.cached_partial."""


def main() -> None:
    """Check, or train and print one line of JSON."""
    arguments = options(FlaxLoop, "flax_loop")
    grid = Grid(**json.loads(arguments.json))
    if arguments.check:
        rng = np.random.default_rng(0)
        check_equal_work("Flax", grid, lambda gap, num: sample(rng, gap, num), observe)
        print(json.dumps({}))
    else:
        print(json.dumps(train(grid, arguments.cached)))


if __name__ == "__main__":
    main()
