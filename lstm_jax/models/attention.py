"""Attention of a decoder over what an encoder left at every word of the source."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from lstm_jax.choices import Score
from lstm_jax.models.common import linear


class KeysValues(NamedTuple):
    """What attention compares queries with, what it reads, and where there is a word (None: decided elsewhere)."""

    keys: Float[Array, "B T H"]
    values: Float[Array, "B T E"]
    mask: Bool[Array, "B T"] | None = None


class Attention(nnx.Module):
    """Global attention after the recurrent layers (Luong et al. 2015, section 3.1, without input feeding):

        k_s = e_s W_k        α_ts = softmax_s(score(h_t, k_s))        c_t = Σ_s α_ts e_s
        output_t = tanh([c_t; h_t] W_c)
        dot:      score(h, k) = h · k / √H
        additive: score(h, k) = v · tanh(h W_q + k)          (Bahdanau et al. 2015, appendix A.1.2)

    with h_t the decoder's output and e_s the encoder's. Luong's "general" score has no 1/√H; Bahdanau's decoder reads
    c_t inside its step, from the output before: here the recurrence stays one scan, and attention one product for all
    steps.
    """

    def __init__(
        self, score: Score, output_dim: int, encoder_dim: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32
    ) -> None:
        self.score = score
        self.key = linear(encoder_dim, output_dim, use_bias=False, rngs=rngs, dtype=dtype)
        self.combine = linear(encoder_dim + output_dim, output_dim, rngs=rngs, dtype=dtype)
        if score == "additive":
            self.query = linear(output_dim, output_dim, use_bias=False, rngs=rngs, dtype=dtype)
            self.energy = linear(output_dim, 1, use_bias=False, rngs=rngs, dtype=dtype)

    def project_memory(self, outputs: Float[Array, "T B E"], is_word: Bool[Array, "T B"]) -> KeysValues:
        """Keys and values of the encoder's outputs."""
        values = jnp.moveaxis(outputs, 0, 1)
        return KeysValues(self.key(values), values, is_word.T)

    def __call__(
        self, outputs: Float[Array, "S B H"], memory: KeysValues
    ) -> tuple[Float[Array, "S B H"], Float[Array, "S B T"]]:
        """The decoder's outputs with what they found in the source, and the weights α: no word, no weight."""
        assert memory.mask is not None
        if self.score == "dot":
            scores = jnp.einsum("sbh,bth->sbt", outputs, memory.keys) / outputs.shape[-1] ** 0.5
        else:
            scores = self.energy(jnp.tanh(self.query(outputs)[:, :, None] + memory.keys[None]))[..., 0]
        # Finite: a source of padding alone has no word to look at, and must not make NaN.
        scores = jnp.where(memory.mask, scores, jnp.finfo(scores.dtype).min)
        weights = jax.nn.softmax(scores, axis=-1)
        context = jnp.einsum("sbt,bte->sbe", weights, memory.values)
        return jnp.tanh(self.combine(jnp.concatenate([context, outputs], axis=-1))), weights
