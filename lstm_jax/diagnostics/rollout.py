"""A trained model of one recurrent layer, step by step, with its states in view: of any cell, as `Cell.step` has it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from lstm_jax.cells.base import Cell, Params, State
from lstm_jax.models.sequence import SequenceModel


class Rollout(NamedTuple):
    """The states before each step, leaves [T, B, ...]; the state after the last step, and its logits [1, B, C]."""

    states: State
    last: State
    logits: Float[Array, "1 B C"]


def layer_of(model: SequenceModel) -> tuple[Cell, Params]:
    """The cell of the model's only layer, and its parameters; raises ValueError for a model of another kind."""
    if not isinstance(model, SequenceModel) or len(model.stack.layers) != 1 or model.config.bidirectional:
        raise ValueError("model: expected a sequence model of one recurrent layer that runs forwards")
    layer = model.stack.layers[0]
    return layer.cell, layer.params.get_value()


def vectors_of(model: SequenceModel, inputs: Array) -> Float[Array, "T B D"]:
    """What the layer is given: embedded tokens, or the vectors as they are."""
    return inputs if model.config.num_tokens is None else model.embedding(inputs)


def rollout(
    model: SequenceModel, inputs: Integer[Array, "T B"] | Float[Array, "T B D"], perturbation: State | None = None
) -> Rollout:
    """Run the model over time and keep its states; `perturbation`, of their form, is added to those before each step.

    Raises ValueError for a model that is not of one recurrent layer.
    """
    cell, params = layer_of(model)
    vectors = vectors_of(model, inputs)
    start = cell.initial_state(vectors.shape[1:-1], vectors.dtype)
    if perturbation is None:
        perturbation = jax.tree.map(lambda leaf: jnp.zeros((len(vectors), *leaf.shape), leaf.dtype), start)

    def step(carry: tuple[State, Array], at: tuple[Array, State]) -> tuple[tuple[State, Array], State]:
        x, added = at
        state = jax.tree.map(jnp.add, carry[0], added)
        return cell.step(params, state, x), state

    output = jax.eval_shape(lambda: cell.step(params, start, vectors[0]))[1]
    zero = jnp.zeros(output.shape, output.dtype)
    (last, output), states = jax.lax.scan(step, (start, zero), (vectors, perturbation))
    return Rollout(states, last, model.readout(output[None]))


def flat(states: State, batch_axes: int = 2) -> Float[Array, "*B F"]:
    """All numbers of a state side by side; those of several kinds, hidden and cell state, one after the other."""
    leaves = [leaf.reshape(*leaf.shape[:batch_axes], -1) for leaf in jax.tree.leaves(states)]
    return jnp.concatenate(leaves, axis=-1)
