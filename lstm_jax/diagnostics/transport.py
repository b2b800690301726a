"""How much of the gradient of the answer reaches a state d steps before it (Hochreiter 1991; Pascanu et al. 2013)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lstm_jax.diagnostics.rollout import rollout
from lstm_jax.models.base import Pair
from lstm_jax.models.sequence import SequenceModel
from lstm_jax.tasks.base import Batch
from lstm_jax.tasks.kinds import Outputs


class Transport(NamedTuple):
    """By distance d = 0 ... T - 1 from the last step, means over the batch.

    norms[d] = E |dL / d eps_(T-d)|, eps_t a zero perturbation of the state before step t, L the loss of the answer at
    the last step T, a sequence's own. `relative` is norms / norms[0]. `vanished` says where a part of the gradient is
    lost in float32: less than half a unit in the last place of the sum over all steps.
    """

    norms: Float[Array, " T"]

    @property
    def relative(self) -> Float[Array, " T"]:
        """G(d); of no gradient at all, zeros."""
        return self.norms / jnp.where(self.norms[0] > 0.0, self.norms[0], 1.0)

    @property
    def vanished(self) -> Bool[Array, " T"]:
        """Where the gradient of d steps before can't be told from rounding."""
        return self.norms <= 0.5 * jnp.finfo(jnp.float32).eps * self.norms.sum()


def transport(model: SequenceModel, batch: Batch, outputs: Outputs) -> Transport:
    """Measure it on a batch whose last step has an answer; by reverse mode, once for all distances."""
    if isinstance(batch.inputs, Pair):
        raise ValueError("batch: expected sequences, got pairs of them")
    inputs = batch.inputs
    shapes = jax.eval_shape(lambda: rollout(model, inputs)).states

    def loss(perturbation: object) -> Array:
        logits = rollout(model, inputs, perturbation).logits
        return outputs.losses(logits, batch.targets[-1:]).sum()

    gradients = jax.grad(loss)(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))
    squares = sum(jnp.sum(jnp.square(leaf), axis=tuple(range(2, leaf.ndim))) for leaf in jax.tree.leaves(gradients))
    return Transport(jnp.flip(jnp.sqrt(jnp.asarray(squares)).mean(axis=1)))
