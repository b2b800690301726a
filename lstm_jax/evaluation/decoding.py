"""Decoding with any model that has `begin` and `step`: greedy, by beam search, by sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Integer, Key

from lstm_jax.models.base import Writer
from lstm_jax.text.vocabulary import BOS, EOS, MASK, PAD, UNK


class Decoded(NamedTuple):
    """Decoded texts, one per column: tokens up to EOS (or cut where it did not come), then PAD.

    `lengths` count EOS. `log_probs` are the model's own, in nats, summed over a text and EOS; no temperature, length
    penalty or forbidden token changes them. `alignments` are weights of attention per token; None without attention.
    """

    tokens: Int32[Array, "S B"]
    lengths: Int32[Array, " B"]
    log_probs: Float[Array, " B"]
    alignments: Float[Array, "S B T"] | None


def greedy(
    model: Writer, source: Integer[Array, "T B"], *, max_steps: int, allow_unk: bool = True, ends: bool = True
) -> Decoded:
    """Write the likeliest token at every step. PAD, BOS and MASK are never written, nor is UNK unless allowed.

    Unless `ends`, EOS is a token as others are: of running text, where a line ends.
    """
    first = jnp.full(source.shape[1], BOS, jnp.int32)
    memory, state = model.begin(source, len(first), max_steps)

    def choose(log_probs: Array, _: Array) -> Array:
        return log_probs.argmax(axis=-1)

    return _write(model, memory, state, first, choose, max_steps, allow_unk, ends)


def sample(
    model: Writer,
    prompt: Integer[Array, "P B"],
    *,
    key: Key[Array, ""],
    num_steps: int,
    temperature: float | Float[Array, ""] = 1.0,
    top_k: int | None = None,
    allow_unk: bool = True,
    ends: bool = True,
) -> Decoded:
    """Continue prompts (BOS first, as in training) with tokens drawn from softmax(logits / temperature).

    Temperature 0 takes the likeliest. With `top_k` only the likeliest k tokens are drawn from (Fan et al. 2018,
    section 5.1). Unless `ends`, EOS is a token as others are: of running text, where a line ends. The prompt is no part
    of what is returned.
    """
    num_prompt, batch_size = prompt.shape
    if num_prompt == 0 or num_steps < 1 or (top_k is not None and top_k < 1):
        raise ValueError(f"expected a prompt, num_steps and top_k of 1 or more, got {num_prompt}, {num_steps}, {top_k}")
    memory, state = model.begin(None, batch_size, num_prompt - 1 + num_steps)
    state, _ = jax.lax.scan(lambda state, tokens: (model.step(memory, state, tokens).state, None), state, prompt[:-1])

    def choose(log_probs: Array, step: Array) -> Array:
        if top_k is not None:
            log_probs, index = jax.lax.top_k(log_probs, min(top_k, log_probs.shape[-1]))
        is_cold = jnp.asarray(temperature) == 0
        scale = jnp.where(is_cold, 1, temperature).astype(log_probs.dtype)
        drawn = jax.random.categorical(jax.random.fold_in(key, step), log_probs / scale)
        place = jnp.where(is_cold, log_probs.argmax(axis=-1), drawn)
        return place if top_k is None else _rows(index, place[:, None])[:, 0]

    return _write(model, memory, state, prompt[-1].astype(jnp.int32), choose, num_steps, allow_unk, ends)


class _Hypotheses(NamedTuple):
    """The hypotheses of each sentence, best first; one that may not be chosen has log probability -inf."""

    tokens: Int32[Array, "B K S"]
    lengths: Int32[Array, "B K"]
    log_probs: Float[Array, "B K"]
    alignments: Float[Array, "B K S T"] | None

    def at(self, index: Array) -> _Hypotheses:
        """Take the hypotheses at `index` [B, K']."""
        hypotheses: _Hypotheses = jax.tree.map(lambda leaf: _rows(leaf, index), self)
        return hypotheses

    def scores(self, length_penalty: float, lengths: Array | int | None = None) -> Array:
        """Return log probabilities with the length penalty, at `lengths` or else their own."""
        lengths = jnp.asarray(self.lengths if lengths is None else lengths, self.log_probs.dtype)
        return self.log_probs / ((5 + lengths) / 6) ** length_penalty


def beam_search(
    model: Writer,
    source: Integer[Array, "T B"],
    *,
    beam_size: int,
    length_penalty: float,
    max_steps: int,
    allow_unk: bool = True,
) -> Decoded:
    """Write the text of the best `log P(Y) / ((5 + |Y|)^α / 6^α)` that a beam finds: Wu et al. 2016, equation 14.

    α is the `length_penalty`, 0 or more, and |Y| counts EOS. A hypothesis is finished by EOS among the `beam_size` best
    continuations, and then kept apart: the beam goes on with that many which are not. A sentence's search ends where no
    live hypothesis can come to a better score, or at `max_steps`; the best live one is written only if none has
    finished. A beam of 1 at α = 0 is greedy; a wider one finds a better score often, not always.
    """
    if beam_size < 1 or max_steps < 1 or length_penalty < 0:
        raise ValueError(
            "expected beam_size and max_steps of 1 or more and a length_penalty of 0 or more, got "
            f"{beam_size}, {max_steps}, {length_penalty}"
        )
    batch_size = source.shape[1]
    shape = (batch_size, beam_size)
    begun = model.begin(source, batch_size, max_steps)
    memory, state = jax.tree.map(lambda leaf: jnp.repeat(leaf, beam_size, axis=0), begun)
    first = jnp.full(shape, BOS, jnp.int32)
    _, logits, alignment = jax.eval_shape(model.step, memory, state, first.reshape(-1))

    def goes_on(carry: tuple[Array, Array, Any, _Hypotheses, _Hypotheses]) -> Array:
        step, _, _, live, best = carry
        can_win = live.scores(length_penalty, max_steps)[:, 0] > best.scores(length_penalty)[:, 0]
        return (step < max_steps) & can_win.any()

    def advance(
        carry: tuple[Array, Array, Any, _Hypotheses, _Hypotheses],
    ) -> tuple[Array, Array, Any, _Hypotheses, _Hypotheses]:
        step, last, state, live, best = carry
        state, logits, alignment = model.step(memory, state, last.reshape(-1))
        log_probs = live.log_probs[..., None] + _log_probs(logits, allow_unk).reshape(*shape, -1)
        # Of these at most beam_size end, one for each hypothesis: as many don't.
        log_probs, index = jax.lax.top_k(log_probs.reshape(batch_size, -1), 2 * beam_size)
        parent, token = index // logits.shape[-1], (index % logits.shape[-1]).astype(jnp.int32)
        if live.alignments is not None and alignment is not None:
            live = live._replace(alignments=live.alignments.at[:, :, step].set(alignment.reshape(*shape, -1)))
        continued = live.at(parent)
        continued = continued._replace(
            tokens=continued.tokens.at[:, :, step].set(token), lengths=continued.lengths + 1, log_probs=log_probs
        )

        is_end = token == EOS
        finished = continued.at(jnp.argmax(is_end, axis=1)[:, None])  # the first is the best
        can_end = is_end[:, :beam_size].any(axis=1, keepdims=True)
        is_better = can_end & (finished.scores(length_penalty) > best.scores(length_penalty))
        best = _where(is_better[:, 0], finished, best)

        alive = jnp.argsort(is_end, axis=1)[:, :beam_size]  # stable: the best first
        origin = (jnp.arange(batch_size)[:, None] * beam_size + _rows(parent, alive)).reshape(-1)
        state = jax.tree.map(lambda leaf: leaf[origin], state)
        return step + 1, _rows(token, alive), state, continued.at(alive), best

    nothing = _Hypotheses(
        jnp.full((*shape, max_steps), PAD, jnp.int32),
        jnp.zeros(shape, jnp.int32),
        jnp.full(shape, -jnp.inf, logits.dtype),
        None if alignment is None else jnp.zeros((*shape, max_steps, alignment.shape[-1]), alignment.dtype),
    )
    live = nothing._replace(log_probs=nothing.log_probs.at[:, 0].set(0))  # one, since equal ones would fill the beam
    best = nothing.at(jnp.zeros((batch_size, 1), jnp.int32))
    *_, live, best = jax.lax.while_loop(goes_on, advance, (jnp.int32(0), first, state, live, best))
    chosen = _where(best.log_probs[:, 0] > -jnp.inf, best, live.at(jnp.zeros((batch_size, 1), jnp.int32)))
    tokens, lengths, log_probs, alignments = jax.tree.map(lambda leaf: leaf[:, 0], chosen)
    return Decoded(tokens.T, lengths, log_probs, None if alignments is None else jnp.moveaxis(alignments, 0, 1))


def _write(
    model: Writer,
    memory: Any,
    state: Any,
    first: Array,
    choose: Callable[[Array, Array], Array],
    num_steps: int,
    allow_unk: bool,
    ends: bool = True,
) -> Decoded:
    """Write what `choose(log_probs, step)` picks, from the first token on, until all texts have ended."""
    batch_size = len(first)
    _, logits, alignment = jax.eval_shape(model.step, memory, state, first)
    nothing = Decoded(
        jnp.full((num_steps, batch_size), PAD, jnp.int32),
        jnp.zeros(batch_size, jnp.int32),
        jnp.zeros(batch_size, logits.dtype),
        None if alignment is None else jnp.zeros((num_steps, *alignment.shape), alignment.dtype),
    )

    def goes_on(carry: tuple[Array, Any, Array, Array, Decoded]) -> Array:
        step, _, _, has_ended, _ = carry
        return (step < num_steps) & ~has_ended.all()

    def advance(carry: tuple[Array, Any, Array, Array, Decoded]) -> tuple[Array, Any, Array, Array, Decoded]:
        step, state, last, has_ended, done = carry
        state, logits, alignment = model.step(memory, state, last)
        log_probs = _log_probs(logits, allow_unk)
        tokens = jnp.where(has_ended, PAD, choose(log_probs, step)).astype(jnp.int32)
        gained = jnp.take_along_axis(log_probs, tokens[:, None], axis=1)[:, 0]
        alignments = done.alignments
        if alignments is not None and alignment is not None:
            alignments = alignments.at[step].set(jnp.where(has_ended[:, None], 0, alignment))
        done = Decoded(
            done.tokens.at[step].set(tokens),
            done.lengths + (~has_ended).astype(done.lengths.dtype),
            jnp.where(has_ended, done.log_probs, done.log_probs + gained),
            alignments,
        )
        return step + 1, state, tokens, has_ended | (ends & (tokens == EOS)), done

    start = (jnp.int32(0), state, first, jnp.zeros(batch_size, bool), nothing)
    return jax.lax.while_loop(goes_on, advance, start)[-1]


def _log_probs(logits: Array, allow_unk: bool) -> Array:
    """Return the model's log probabilities, -inf at tokens that are never written; they are not normalised again."""
    forbidden = jnp.array([PAD, BOS, MASK] if allow_unk else [PAD, BOS, MASK, UNK])
    return jax.nn.log_softmax(logits).at[:, forbidden].set(-jnp.inf)


def _rows(values: Array, index: Array) -> Array:
    """`values[b, index[b, k]]`: [B, N, ...] and [B, K] -> [B, K, ...]."""
    return values[jnp.arange(len(index))[:, None], index]


def _where(condition: Array, new: _Hypotheses, old: _Hypotheses) -> _Hypotheses:
    """Choose new or old hypotheses by sentence."""

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(condition.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    hypotheses: _Hypotheses = jax.tree.map(choose, new, old)
    return hypotheses
