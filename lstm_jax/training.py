"""One run as pure functions: init, advance one chunk of updates, evaluate.

A run's state and its hyperparameters say everything that happens next: batches are made on the device from the
state's own key. What differs between the runs of a job (seed, learning rate, clip norm) is traced, so that a job
compiles once; tasks, models and sizes are static.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int32, Key, UInt32

from lstm_jax.choices import Precision
from lstm_jax.lanes import switch
from lstm_jax.models import Config
from lstm_jax.models.base import params_of, with_params
from lstm_jax.optimizers import Schedule, clipped, make_optimizer
from lstm_jax.precision import matrix_products
from lstm_jax.tasks.base import MANY, Batch, Task, fingerprints

MAX_EVAL_STEPS, MAX_EVAL_LOGITS = 2**21, 2**26
"""Time steps, over all sequences, and logits that an evaluation holds in memory at once."""
DIVERGED_LOSS = 1e6
"""Nats of held-out loss from which a run counts as diverged, as it does where a number is not finite at all."""


class Hypers(NamedTuple):
    """What is traced: the runs of a job differ in nothing else."""

    seed: UInt32[Array, ""]
    learning_rate: Float[Array, ""]
    clip_norm: Float[Array, ""]


class RunState(NamedTuple):
    """All that a run is between two updates."""

    params: Any
    opt_state: Any
    key: Key[Array, ""]
    step: Int32[Array, ""]
    carry: Any = ()
    """Where the task's sequences go on from batch to batch: the states that the model ended the last one in."""
    average: Any = ()
    """The mean of the parameters so far, of a model that is used with it."""

    @property
    def used(self) -> Any:
        """The parameters that the run is scored with."""
        return self.params if self.average == () else self.average


class ChunkMetrics(NamedTuple):
    """Means over the updates of a chunk, and the first update whose loss or gradient was not finite (0: none).

    They go from call to call where a chunk is made in several, and come out the same, bit for bit, as made in one.
    """

    train_loss: Float[Array, ""]
    grad_norm: Float[Array, ""]
    diverged_step: Int32[Array, ""]
    num_updates: Int32[Array, ""]


_NOTHING: list[Any] = [np.float32(0), np.float32(0), np.int32(0), np.int32(0)]  # NumPy's: importing makes no array
NO_UPDATES = ChunkMetrics(*_NOTHING)
"""The metrics at the start of a chunk."""


_PLAIN: Mapping[str, Any] = {}


class Evaluation(NamedTuple):
    """On the held-out set: loss and score at recall positions, and the loss over all trained positions."""

    loss: Float[Array, ""]
    score: Float[Array, ""]
    sequence_loss: Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class Training:
    """One cell on one task: everything static about a run. Its methods are pure and jit with `self` static."""

    task: Task
    model: Config
    optimizer: str = "adam"
    batch_size: int = 32
    eval_size: int = 256
    schedule: Schedule = dataclasses.field(default=Schedule(), metadata={"before": Schedule()})
    precision: Precision = dataclasses.field(default="float32", metadata={"before": "float32"})

    def init(self, hypers: Hypers) -> RunState:
        """The state before the first update."""
        init_key, data_key = jax.random.split(jax.random.fold_in(jax.random.key(hypers.seed), 0))
        params = params_of(self.model.build(rngs=nnx.Rngs(init_key)))
        carry = () if self._segments is None else self.model.initial_states(self.batch_size)
        average = params if self.model.average_decay else ()
        return RunState(params, self._optimizer(hypers, 0).init(params), data_key, jnp.int32(0), carry, average)

    def advance(
        self,
        state: RunState,
        hypers: Hypers,
        num_updates: Int32[Array, ""] | int,
        metrics: ChunkMetrics = NO_UPDATES,
    ) -> tuple[RunState, ChunkMetrics]:
        """Make `num_updates` updates; the number is traced, so that calls for any number share one program."""
        apart = self._apart()

        def update(_: Any, carry: tuple[RunState, ChunkMetrics]) -> tuple[RunState, ChunkMetrics]:
            state, metrics = carry
            key, batch_key, dropout_key = jax.random.split(state.key, 3)
            (loss, model_carry), gradient = self._gradient(state, batch_key, dropout_key, apart)
            grad_norm = optax.tree.norm(gradient)
            with jax.numpy_dtype_promotion("standard"):  # optax raises a float to the power of its integer count
                optimizer = self._optimizer(hypers, state.step)
                updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
            step = state.step + 1
            is_first = ~(jnp.isfinite(loss) & jnp.isfinite(grad_norm)) & (metrics.diverged_step == 0)
            count = metrics.num_updates + 1
            average = self._averaged(state, params)
            return RunState(params, opt_state, key, step, model_carry, average), ChunkMetrics(
                metrics.train_loss + (loss - metrics.train_loss) / count.astype(loss.dtype),
                metrics.grad_norm + (grad_norm - metrics.grad_norm) / count.astype(grad_norm.dtype),
                jnp.where(is_first, step, metrics.diverged_step),
                count,
            )

        metrics = jax.tree.map(jnp.asarray, metrics)
        end: tuple[RunState, ChunkMetrics] = jax.lax.fori_loop(0, num_updates, update, (state, metrics))
        return end

    def evaluate(self, state: RunState) -> Evaluation:
        """Score the state on the held-out set: `eval_size` sequences, the same for every run."""
        batch = self.task.held_out(self.eval_size)

        def totals(batch: Batch) -> tuple[Array, ...]:
            with matrix_products(self.precision):
                logits = self._merge(state.used)(batch.inputs)
            losses = self.task.outputs.losses(logits, batch.targets)
            scores = self.task.outputs.scores(logits, batch.targets)
            sums = (losses * batch.recall, scores * batch.recall, losses * batch.weights, batch.recall, batch.weights)
            return tuple(map(jnp.sum, sums))

        width = self.eval_width
        if width == self.eval_size:
            loss, score, sequence_loss, recall, weights = totals(batch)
        else:  # one part after another, so that memory doesn't grow with the gap
            slices = jax.tree.map(lambda leaf: jnp.stack(jnp.split(leaf, self.eval_size // width, axis=1)), batch)
            loss, score, sequence_loss, recall, weights = (sums.sum() for sums in jax.lax.map(totals, slices))
        return Evaluation(loss / recall, score / recall, sequence_loss / weights)

    def loss(self, params: Any, batch: Batch) -> Float[Array, ""]:
        """The training loss of a batch, from the first states and without dropout."""
        return self._train_loss(params, batch, (), None)[0]

    @property
    def eval_width(self) -> int:
        """How many sequences of the held-out set are scored at once, with at most so many time steps and logits."""
        num_steps = self.task.num_steps
        num_logits = self.task.outputs.width * (num_steps if self.task.readout == "every" else 1)
        wanted = max(1, min(self.eval_size, MAX_EVAL_STEPS // num_steps, MAX_EVAL_LOGITS // num_logits))
        return next(width for width in range(wanted, 0, -1) if self.eval_size % width == 0)

    def trained(self, state: RunState) -> Any:
        """The model, a flax.nnx module, with the parameters of this state."""
        return self._merge(state.used)

    def answers(self, state: RunState) -> dict[str, list[dict[str, Any]]]:
        """What the model of this state answers, as tables for the record: the task's choice."""
        with matrix_products(self.precision):
            return self.task.answers(self._merge(state.used))

    @property
    def _segments(self) -> int | None:
        return self.task.segments(self.batch_size)

    def train_batch(
        self, key: Key[Array, ""], step: Int32[Array, ""], shape: int = 0, apart: UInt32[Array, " E"] | None = None
    ) -> Batch:
        """The batch of an update, in which sequences with the fingerprints `apart` have no weight."""
        batch = self.task.train_batch(key, step, self.batch_size, shape)
        if apart is None:
            return batch
        is_held_out = (fingerprints(batch)[:, None] == apart).any(axis=1)
        return batch._replace(weights=jnp.where(is_held_out, 0.0, batch.weights))

    def _apart(self) -> UInt32[Array, " E"] | None:
        """The fingerprints of what no run trains on: the held-out set of a task that has many more sequences."""
        keeps_apart = self.task.keeps_apart(self.eval_size)
        if keeps_apart is False:
            return None
        found = jnp.sort(fingerprints(self.task.held_out(self.eval_size)))
        if keeps_apart:
            return found
        # Of N sequences, E^2 / 2 N pairs of E are alike: E / 2 MANY where there are MANY times as many.
        num_alike = (found[1:] == found[:-1]).sum()
        return jnp.where(2 * MANY * num_alike <= self.eval_size, found, 0)

    def _gradient(
        self, state: RunState, batch_key: Array, dropout_key: Array, apart: UInt32[Array, " E"] | None = None
    ) -> tuple[tuple[Array, Any], Any]:
        """((loss, the model's states after it), gradient) of a batch, whose shape is drawn where there are several."""

        def of_shape(
            state: RunState, batch_key: Array, dropout_key: Array, apart: Array | None, *, shape: int
        ) -> tuple[tuple[Array, Any], Any]:
            batch = self.train_batch(batch_key, state.step, shape, apart)
            gradient: Any = jax.value_and_grad(self._train_loss, has_aux=True)
            key = dropout_key if self.model.uses_rng else None
            kwargs = self.model.training_kwargs(state.step)
            with matrix_products(self.precision):
                value, of_params = gradient(state.params, batch, self._carry(state), key, kwargs)
            return value, of_params

        shares = self.task.shape_shares
        if len(shares) == 1:
            return of_shape(state, batch_key, dropout_key, apart, shape=0)
        drawn = jax.random.choice(self.task.shape_key(batch_key, state.step), len(shares), p=jnp.array(shares))
        branches = [functools.partial(of_shape, shape=shape) for shape in range(len(shares))]
        value, gradient = switch(drawn, branches, state, batch_key, dropout_key, apart)
        return value, gradient

    def _carry(self, state: RunState) -> Any:
        """The states that the model goes on from: zeros where the sequences begin anew."""
        if self._segments is None:
            return ()
        begins = state.step % self._segments == 0
        first = self.model.initial_states(self.batch_size)
        return jax.tree.map(lambda start, now: jnp.where(begins, start, now), first, state.carry)

    def _train_loss(
        self,
        params: Any,
        batch: Batch,
        carry: Any,
        dropout_key: Array | None,
        training_kwargs: Mapping[str, Any] = _PLAIN,
    ) -> tuple[Array, Any]:
        model = self._merge(params)
        if carry:
            logits, carry = model.advance(batch.inputs, carry, dropout_key=dropout_key)
        else:
            logits = model(batch.inputs, dropout_key=dropout_key, **training_kwargs)
        losses = self.model.train_losses(self.task.outputs.losses(logits, batch.targets), logits)
        return _mean(losses, batch.weights), carry

    def _averaged(self, state: RunState, params: Any) -> Any:
        """The mean after an update: quick at first, so that it does not hold to where the run began."""
        if state.average == ():
            return ()
        step = state.step.astype(jnp.float32)
        decay = jnp.minimum(self.model.average_decay, (1.0 + step) / (10.0 + step))
        return optax.incremental_update(params, state.average, 1.0 - decay)

    def _merge(self, params: Any) -> Any:
        return with_params(self.model, params)

    def _optimizer(self, hypers: Hypers, step: Int32[Array, ""] | int) -> optax.GradientTransformation:
        # Clipping is part of a run: applied to stacked runs it would couple them.
        peak, max_norm = jnp.asarray(hypers.learning_rate), jnp.asarray(hypers.clip_norm)
        return clipped(make_optimizer(self.optimizer, self.schedule.rate(peak, step)), max_norm)


def _mean(values: Float[Array, "S B"], weights: Float[Array, "S B"]) -> Float[Array, ""]:
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1.0)  # of nothing: 0
