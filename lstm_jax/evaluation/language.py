"""Evaluation of a trained language model on the test text: its loss by context, and continuations.

As Khandelwal et al. 2018, section 4: the same words are predicted again and again, each time with fewer of the words
before them, by a model that was trained with all. A decoder reads the last `context` words from a zero state, an
encoder-decoder has them as its source, an encoder reads as many on either side of the masked word.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Integer

from lstm_jax.choices import Form
from lstm_jax.evaluation.decoding import greedy, sample
from lstm_jax.models.base import Pair
from lstm_jax.text.corpus import TextCorpus
from lstm_jax.text.tokens import straighten
from lstm_jax.text.vocabulary import BOS, EOS, MASK, UNK

CONTEXTS = (1, 2, 5, 10, 20, 50, 100, 200)
"""Numbers of tokens that a model may see."""
NUM_PREDICTED = 2000
"""Number of words of the test split that are predicted, evenly spread."""
BLOCK = 10
"""Number of neighbours among them that are resampled together."""
_BATCH = 250
_SEGMENT = 64
NUM_PROMPTS = 4
PROMPT_TOKENS = 20
SAMPLE_TOKENS = 40
TEMPERATURE, TOP_K = 0.8, 40


def answers_of(model: Any, corpus: TextCorpus, form: Form, gap: int) -> dict[str, list[dict[str, Any]]]:
    """Make the tables of a language model: `contexts`, `perplexity` and `samples`.

    `contexts` are sums of losses in nats by context and block, context 0 being all that the form can see. `perplexity`
    is of all words of the test split, for decoders alone.
    """
    graphdef, params = nnx.split(model)
    pieces = _pieces(corpus)
    margin = min(CONTEXTS[-1], (len(pieces[0]) - 1) // 3)
    at = _positions([len(piece) for piece in pieces], margin)
    carries = bool(form == "decoder" and model.config.initial_states(1))
    most = margin if carries else min(margin, gap if form == "decoder" else max(1, gap // 2))
    # A model that has never seen more than `most` words is not asked to: that is its uncut context.
    contexts = [context for context in CONTEXTS if (context <= most if carries else context < most)]
    losses = {context: _losses(graphdef, params, pieces, at, form, context) for context in contexts}
    tables: dict[str, list[dict[str, Any]]] = {}
    if carries:
        all_losses = _all_losses(graphdef, params, pieces)
        losses[0] = np.array([all_losses[piece][place] for piece, place in at])
        total = float(sum(loss.sum() for loss in all_losses))
        tables["perplexity"] = [{"split": "test", "loss": total, "count": sum(map(len, all_losses))}]
        tables["perplexity"][0]["unk"] = int(sum((piece == UNK).sum() for piece in pieces))
    else:
        losses[0] = _losses(graphdef, params, pieces, at, form, most)
    is_unk = np.array([pieces[piece][place] == UNK for piece, place in at])
    cuts = range(BLOCK, len(at), BLOCK)
    tables["contexts"] = [
        {"context": context, "block": block, "loss": float(loss.sum()), "count": len(loss), "unk": int(unk.sum())}
        for context, of_all in losses.items()
        for block, (loss, unk) in enumerate(zip(np.split(of_all, cuts), np.split(is_unk, cuts), strict=True))
    ]
    if form != "encoder":
        # No longer than what was trained, where a model might not know what comes after that.
        num_written = SAMPLE_TOKENS if carries else min(SAMPLE_TOKENS, max(1, gap // 2))
        tables["samples"] = _continuations(
            graphdef, params, corpus, pieces, form, min(PROMPT_TOKENS, most), num_written
        )
    return tables


def _pieces(corpus: TextCorpus) -> list[np.ndarray]:
    """Cut the pieces of the test split to one length, the least: at most a token or two less than the others.

    They are one piece where they are too short for a context of 200 words on both sides.
    """
    length = min(map(len, corpus.test))
    if length < 3 * CONTEXTS[-1]:
        return [np.concatenate(corpus.test)]
    return [piece[:length] for piece in corpus.test]


def _positions(lengths: Sequence[int], margin: int) -> list[tuple[int, int]]:
    """Choose the words to predict, as (piece, place): each has `margin` words on both sides."""
    places = [(piece, place) for piece, length in enumerate(lengths) for place in range(margin, length - margin)]
    chosen = np.unique(np.linspace(0, len(places) - 1, NUM_PREDICTED).astype(int))
    return [places[index] for index in chosen]


def _losses(
    graphdef: Any, params: Any, pieces: Sequence[np.ndarray], at: Sequence[tuple[int, int]], form: Form, context: int
) -> np.ndarray:
    """Return the loss of each predicted word, in nats, given `context` words."""
    after = context if form == "encoder" else 0
    windows = np.stack([pieces[piece][place - context : place + after + 1] for piece, place in at], axis=1)
    found = []
    for start in range(0, windows.shape[1], _BATCH):
        batch = windows[:, start : start + _BATCH]
        filled = np.pad(batch, ((0, 0), (0, _BATCH - batch.shape[1])), mode="edge")  # one program for all batches
        found.append(np.asarray(_batch_losses(graphdef, params, filled, form))[: batch.shape[1]])
    return np.concatenate(found)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _batch_losses(graphdef: Any, params: Any, windows: Integer[Array, "L B"], form: Form) -> Float[Array, " B"]:
    model = nnx.merge(graphdef, params)
    if form == "encoder":
        middle = len(windows) // 2
        targets = windows[middle]
        logits = model.at(windows.at[middle].set(MASK), middle)
    elif form == "decoder":
        targets = windows[-1]
        logits = model.at(windows[:-1], -1)
    else:
        targets = windows[-1]
        end = jnp.full_like(windows[:1], EOS)
        logits = model.at(Pair(jnp.concatenate([windows[:-1], end]), jnp.full_like(end, BOS)), 0)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], axis=1)[:, 0]


def _all_losses(graphdef: Any, params: Any, pieces: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the loss of every word of each piece, given all words before it; the first word is given EOS."""
    text = np.stack(pieces, axis=1)
    inputs = np.concatenate([np.full_like(text[:1], EOS), text[:-1]])
    num_segments = -(-len(text) // _SEGMENT)
    fill = ((0, num_segments * _SEGMENT - len(text)), (0, 0))
    segments = [np.pad(array, fill).reshape(num_segments, _SEGMENT, -1) for array in (inputs, text)]
    losses = np.asarray(_segment_losses(graphdef, params, *segments)).reshape(-1, len(pieces))
    return list(losses[: len(text)].T)


@functools.partial(jax.jit, static_argnums=0)
def _segment_losses(
    graphdef: Any, params: Any, inputs: Integer[Array, "N L B"], targets: Integer[Array, "N L B"]
) -> Float[Array, "N L B"]:
    model = nnx.merge(graphdef, params)

    def segment(states: Any, at: tuple[Array, Array]) -> tuple[Any, Array]:
        logits, states = model.advance(at[0], states)
        log_probs = jax.nn.log_softmax(logits)
        return states, -jnp.take_along_axis(log_probs, at[1][..., None], axis=-1)[..., 0]

    _, losses = jax.lax.scan(segment, model.config.initial_states(inputs.shape[2]), (inputs, targets))
    return losses


def _continuations(
    graphdef: Any,
    params: Any,
    corpus: TextCorpus,
    pieces: Sequence[np.ndarray],
    form: Form,
    num_prompt: int,
    num_written: int,
) -> list[dict[str, Any]]:
    """Continue a few places of the test split; returns rows with the text that is there."""
    length = sum(map(len, pieces))
    whole = np.concatenate(pieces)
    num_prompt = max(1, min(num_prompt, length // 2))
    starts = np.linspace(0, max(0, length - num_prompt - num_written), NUM_PROMPTS + 2).astype(int)[1:-1]
    prompts = np.stack([whole[start : start + num_prompt] for start in starts], axis=1)
    found = _write(graphdef, params, prompts, form, num_written)
    how = f"temperature {TEMPERATURE:g}, top {TOP_K}" if form == "decoder" else "greedy"
    rows = []
    for column, start in enumerate(starts):
        real = whole[start + num_prompt : start + num_prompt + num_written]
        texts = {"prompt": prompts[:, column], "text": np.asarray(found)[:, column], "reference": real}
        rows.append({"how": how, **{name: text_of(corpus, ids.tolist()) for name, ids in texts.items()}})
    return rows


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _write(
    graphdef: Any, params: Any, prompts: Integer[Array, "P B"], form: Form, num_written: int
) -> Integer[Array, "S B"]:
    model = nnx.merge(graphdef, params)
    if form == "decoder":
        return _sample(model, prompts, jax.random.key(0), TEMPERATURE, TOP_K, num_written)
    source = jnp.concatenate([prompts, jnp.full_like(prompts[:1], EOS)])
    return greedy(model, source, max_steps=num_written, allow_unk=False, ends=False).tokens


def _sample(model: Any, prompts: Array, key: Array, temperature: Any, top_k: int | None, num_steps: int) -> Array:
    options: dict[str, Any] = {"key": key, "temperature": temperature, "top_k": top_k, "num_steps": num_steps}
    return sample(model, prompts, **options, ends=False, allow_unk=False).tokens


def go_on(
    model: Any,
    corpus: TextCorpus,
    prompt: str,
    *,
    num_tokens: int,
    num_samples: int,
    temperature: float,
    top_k: int | None,
    seed: int,
) -> tuple[list[str], list[str]]:
    """Draw texts that begin with a prompt; returns them and the prompt's tokens that the vocabulary lacks.

    An apostrophe or quotation mark that the text writes otherwise is read as it does. A line's end at the end of the
    prompt is read; without one the model goes on in the line.
    """
    is_word = corpus.level == "word"
    text = prompt.replace("\r\n", "\n").replace("\r", "\n")
    tokens = corpus.read(text)
    if is_word and not text.endswith("\n"):
        tokens = tokens[:-1]  # the line is not at its end
    alike = {straighten(token): token for token in reversed(corpus.vocabulary.tokens)}  # the most frequent spelling
    unknown = corpus.vocabulary.unknown(tokens)
    tokens = [alike.get(straighten(token), token) if token in unknown else token for token in tokens]
    unknown = corpus.vocabulary.unknown(tokens)
    # Running text has no beginning: a line's end before the prompt says that one begins.
    ids = corpus.vocabulary.encode(["<eos>" if is_word else "\n", *tokens])
    prompts = np.repeat(np.array(ids, np.int32)[:, None], num_samples, axis=1)
    graphdef, params = nnx.split(model)

    @jax.jit
    def draw(params: Any, prompts: Array, temperature: Array) -> Array:
        merged = nnx.merge(graphdef, params)
        return _sample(merged, prompts, jax.random.key(seed), temperature, top_k, num_tokens)

    drawn = np.asarray(draw(params, prompts, np.float32(temperature)))
    whole = np.concatenate([prompts[1:], drawn])
    return [text_of(corpus, column.tolist()) for column in whole.T], unknown


def text_of(corpus: TextCorpus, ids: Sequence[int]) -> str:
    """Return tokens as a person would read them; a line's end is one."""
    tokens = corpus.vocabulary.decode(ids)
    if corpus.level == "character":
        return "".join(token for token in tokens if token not in ("<pad>", "<bos>"))
    lines: list[list[str]] = [[]]
    for token in tokens:
        if token == "<eos>":
            lines.append([])
        elif token not in ("<pad>", "<bos>"):
            lines[-1].append(token)
    return "\n".join(map(corpus.tokenization.text, lines)).strip()
