"""Greedy, beam search and sampling against models that are tables, whose every text can be written down and scored."""

from __future__ import annotations

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from cell_cases import add_noise
from flax import nnx

from lstm_jax.evaluation.decoding import beam_search, greedy, sample
from lstm_jax.models.base import Pair, Step
from lstm_jax.models.transformer import TransformerConfig
from lstm_jax.text.vocabulary import BOS, EOS, MASK, PAD, UNK

pytestmark = [
    pytest.mark.usefixtures("x64"),
    pytest.mark.standard_promotion,
]  # in float64 positions are int32 and int64

C = 7  # the special tokens and two words
WRITABLE = [token for token in range(C) if token not in (PAD, BOS, MASK)]
NUM_TABLES = 12
SOURCE = jnp.arange(NUM_TABLES, dtype=jnp.int32)[None].repeat(C, axis=0)  # which table; as long as alignments are wide
TABLES = np.random.default_rng(0).normal(size=(NUM_TABLES, C, C, C)) * 1.5
MAX_STEPS = 6
BEAM = functools.partial(beam_search, beam_size=3, length_penalty=0.6)


class Table:
    """Logits by the last two tokens, `tables[which, before, last]`: a state that goes astray shows.

    It looks at the place in the source whose number is the last token's.
    """

    def __init__(self, tables, aligns=True):
        self.tables, self.aligns = jnp.asarray(tables), aligns

    def begin(self, source, batch_size, max_steps):
        which = jnp.zeros(batch_size, jnp.int32) if source is None else source[0]
        return self.tables[which], {"last": jnp.full(batch_size, PAD)}

    def step(self, memory, state, tokens):
        logits = memory[jnp.arange(len(tokens)), state["last"], tokens]
        alignment = jax.nn.one_hot(tokens, C, dtype=logits.dtype) if self.aligns else None
        return Step({"last": tokens.astype(state["last"].dtype)}, logits, alignment)


@functools.partial(jax.jit, static_argnames=("search", "options"))
def _run(tables, source, search, options):
    return search(Table(tables), source, **dict(options))


def run(search, tables=TABLES, source=SOURCE, **options):
    """The search as a program, which tests with equal options share."""
    options = {"max_steps": MAX_STEPS, **options}
    return jax.tree.map(np.asarray, _run(tables, source, search, tuple(options.items())))


def log_softmax(logits):
    return logits - np.logaddexp.reduce(logits)


def log_prob(table, text):
    """Of a text, EOS included, by the table itself."""
    total, before, last = 0.0, PAD, BOS
    for token in text:
        total += log_softmax(table[before, last])[token]
        before, last = last, token
    return total


def penalised(value, length, alpha):
    return value / ((5 + length) ** alpha / 6**alpha)


def texts_of(decoded):
    return [tuple(column[:length]) for column, length in zip(decoded.tokens.T.tolist(), decoded.lengths, strict=True)]


def all_texts(max_steps, writable=WRITABLE):
    """Every text that EOS ends within `max_steps`."""
    words = [token for token in writable if token != EOS]
    return [(*text, EOS) for length in range(max_steps) for text in itertools.product(words, repeat=length)]


def loops(table, beam_size, alpha, max_steps):
    """Beam search in plain Python: the same rules by lists, without bounds on what may still come."""
    live, finished = [((), 0.0)], []
    for _ in range(max_steps):
        continued = [((*text, token), log_prob(table, (*text, token))) for text, _ in live for token in WRITABLE]
        continued.sort(key=lambda item: -item[1])
        finished += [item for item in continued[:beam_size] if item[0][-1] == EOS]
        live = [item for item in continued if item[0][-1] != EOS][:beam_size]
    return max(finished, key=lambda item: penalised(item[1], len(item[0]), alpha)) if finished else live[0]


def assert_well_formed(decoded, max_steps, writable=WRITABLE):
    """EOS ends a text, nothing but PAD comes after it, and nothing is written that must not be."""
    for column, length in zip(decoded.tokens.T, decoded.lengths, strict=True):
        assert 1 <= length <= max_steps == len(column)
        assert set(column[:length].tolist()) <= set(writable)
        assert EOS not in column[: length - 1]
        assert column[length - 1] == EOS or length == max_steps
        assert (column[length:] == PAD).all()


def likeliest(table, before=PAD, last=BOS):
    """The text that greedy search is to find."""
    text = []
    while len(text) < MAX_STEPS and last != EOS:
        before, last = last, max(WRITABLE, key=lambda token, at=(before, last): table[at][token])
        text.append(last)
    return tuple(text)


# Greedy


def test_greedy_takes_the_likeliest():
    """PAD, BOS and MASK are likelier everywhere, and never written; log probabilities are the model's own."""
    tables = TABLES.copy()
    tables[..., [PAD, BOS, MASK]] += 5.0
    decoded = run(greedy, tables)
    assert_well_formed(decoded, MAX_STEPS)
    assert texts_of(decoded) == [likeliest(table) for table in tables]
    np.testing.assert_allclose(decoded.log_probs, list(map(log_prob, tables, texts_of(decoded))), atol=1e-12)
    assert len(set(decoded.lengths.tolist())) > 2  # of one length, little is tested


@pytest.mark.parametrize("search", [greedy, BEAM])
def test_unk_may_be_forbidden(search):
    tables = TABLES.copy()
    tables[..., UNK] += 3.0
    assert UNK in run(search, tables).tokens
    assert_well_formed(run(search, tables, allow_unk=False), MAX_STEPS, [EOS, 5, 6])


@pytest.mark.parametrize("search", [greedy, BEAM])
def test_alignments_go_with_the_text(search):
    """Each token's alignment is that of the step that wrote it: here, the token that was read; zeros after EOS."""
    decoded = run(search)
    for b, text in enumerate(texts_of(decoded)):
        expected = np.zeros((MAX_STEPS, C))
        expected[range(len(text)), (BOS, *text[:-1])] = 1.0
        np.testing.assert_array_equal(decoded.alignments[:, b], expected)
    without = jax.jit(lambda tables: search(Table(tables, aligns=False), SOURCE, max_steps=MAX_STEPS))(TABLES)
    assert without.alignments is None
    np.testing.assert_array_equal(without.tokens, decoded.tokens)


# Beam search


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_beam_as_wide_as_all_texts_finds_the_best(alpha):
    """Of all that can be written in four steps, under the length penalty."""
    texts = all_texts(4)
    decoded = run(beam_search, beam_size=3**3 * 4, length_penalty=alpha, max_steps=4)
    for table, text, value in zip(TABLES, texts_of(decoded), decoded.log_probs, strict=True):
        assert text == max(texts, key=lambda text: penalised(log_prob(table, text), len(text), alpha))
        assert value == pytest.approx(log_prob(table, text), abs=1e-12)
    assert len(set(decoded.lengths.tolist())) > 1


@pytest.mark.parametrize(("beam_size", "alpha"), [(2, 0.0), (3, 0.6), (4, 2.0)])
def test_beam_search_is_the_plain_loop(beam_size, alpha):
    """It ends early only where no live hypothesis could have won: the loop never does."""
    decoded = run(beam_search, beam_size=beam_size, length_penalty=alpha)
    assert_well_formed(decoded, MAX_STEPS)
    for table, text, value in zip(TABLES, texts_of(decoded), decoded.log_probs, strict=True):
        expected, expected_value = loops(table, beam_size, alpha, MAX_STEPS)
        assert text == expected
        assert value == pytest.approx(expected_value, abs=1e-12)


def test_a_beam_of_one_is_greedy():
    """Texts, log probabilities, alignments; of those that are cut, too."""
    by_beam, by_greed = run(beam_search, beam_size=1, length_penalty=0.0), run(greedy)
    assert (by_greed.tokens[-1] > EOS).any() and (by_greed.tokens[-1] == PAD).any()
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-12), by_beam, by_greed)


def test_a_beam_finds_better_texts_on_average():
    """Of 240 texts. Of one, it may lose what greedy search finds: no search but the widest is sure."""
    gains = []
    for seed in range(20):
        tables = np.random.default_rng(seed).normal(size=TABLES.shape) * 1.5
        by_beam = run(beam_search, tables, beam_size=2, length_penalty=0.0)
        gains.append(by_beam.log_probs - run(greedy, tables).log_probs)
    assert np.mean(gains) > 0.1
    assert np.mean(np.array(gains) < -1e-9) < 0.1


def chain(*rows):
    """Tables, all alike: `rows` are (before, last, {token: probability}); a text ends where none is told."""
    table = np.full((C, C, C), -np.inf)
    table[..., EOS] = 0.0
    for before, last, shares in rows:
        table[before, last] = -np.inf
        for token, share in shares.items():
            table[before, last, token] = math.log(share)
    return np.broadcast_to(table, TABLES.shape)


def search_of(tables, **options):
    """Text and log probability by a beam of two."""
    decoded = run(beam_search, tables, beam_size=2, **{"length_penalty": 0.0, **options})
    return texts_of(decoded)[0], decoded.log_probs[0]


def test_what_is_finished_is_not_lost_to_what_is_live():
    """After one word, two live hypotheses are likelier than the finished one; both come to less in the end."""
    half = {5: 0.5, 6: 0.5}
    table = chain((PAD, BOS, {EOS: 0.34, 5: 0.66}), (BOS, 5, half), (5, 5, half), (5, 6, half))
    text, value = search_of(table)
    assert text == (EOS,)
    assert value == pytest.approx(math.log(0.34), abs=1e-12)


@pytest.mark.parametrize(("longer", "wins"), [(-1.155, True), (-1.18, False)])
def test_the_length_penalty_is_that_of_wu_et_al(longer, wins):
    """One word of log probability -1 counts -1, two words count 6/7 of theirs: -0.99 and -1.01."""
    second = math.exp(longer) / (1 - math.exp(-1.0))
    goes_on = {EOS: second, 5: (1 - second) / 2, 6: (1 - second) / 2}
    table = chain((PAD, BOS, {EOS: math.exp(-1.0), 5: 1 - math.exp(-1.0)}), (BOS, 5, goes_on))
    text, value = search_of(table, length_penalty=1.0)
    assert text == ((5, EOS) if wins else (EOS,)) and value == pytest.approx(longer if wins else -1.0, abs=1e-12)


def test_a_beam_is_as_wide_where_all_its_hypotheses_end():
    """Both may end, and both are likelier to: the beam goes on with two, of which the second wins."""
    shares = {EOS: 0.4, 5: 0.35, 6: 0.25}
    table = chain((PAD, BOS, {5: 0.51, 6: 0.49}), (BOS, 5, shares), (BOS, 6, shares), (5, 5, {5: 0.5, 6: 0.5}))
    text, value = search_of(table, length_penalty=1.0)
    assert text == (6, 5, EOS) and value == pytest.approx(math.log(0.49 * 0.35), abs=1e-12)


def test_the_search_goes_on_while_something_live_can_win():
    """By the length penalty, a sure chain of words overtakes the text that was finished first."""
    table = chain((PAD, BOS, {EOS: 0.6, 5: 0.4}), (BOS, 5, {6: 1.0}), (5, 6, {6: 1.0}), (6, 6, {EOS: 1.0}))
    assert search_of(table)[0] == (EOS,)
    assert search_of(table, length_penalty=2.0)[0] == (5, 6, 6, EOS)
    assert search_of(table, length_penalty=2.0, max_steps=3)[0] == (EOS,)  # it doesn't come to its end


def test_what_never_finishes_is_cut():
    """And the likeliest written."""
    first = (PAD, BOS, {5: 0.6, 6: 0.4})
    table = chain(first, *((*at, {5: 1.0}) for at in ((BOS, 5), (BOS, 6), (6, 5), (5, 5))))
    text, value = search_of(table, length_penalty=2.0, max_steps=3)
    assert text == (5, 5, 5)
    assert value == pytest.approx(math.log(0.6), abs=1e-12)


@pytest.mark.parametrize("search", [greedy, BEAM])
def test_no_sentence_depends_on_the_others(search):
    """What is finished stays as it is while others go on: among copies of itself, a sentence's text is the same."""
    mixed = run(search)
    for b in range(NUM_TABLES):
        alike = run(search, source=jnp.full_like(SOURCE, b))
        np.testing.assert_array_equal(alike.tokens, mixed.tokens[:, [b] * NUM_TABLES])
        np.testing.assert_allclose(alike.log_probs, mixed.log_probs[b], atol=1e-12)


@pytest.mark.parametrize("search", [greedy, BEAM])
def test_the_loop_ends_with_the_last_text(search):
    """Steps are counted as they are taken: no more of them than the longest text has."""
    taken = []

    class Counting(Table):
        def step(self, memory, state, tokens):
            jax.debug.callback(lambda _: taken.append(1), tokens[0])
            return super().step(memory, state, tokens)

    table = chain((PAD, BOS, {EOS: 0.1, 5: 0.9}), (BOS, 5, {6: 1.0}))
    decoded = jax.jit(lambda tables: search(Counting(tables), SOURCE, max_steps=50))(table)
    jax.effects_barrier()
    assert decoded.lengths[0] == len(taken) == 3


@pytest.mark.parametrize("options", [{"beam_size": 0}, {"max_steps": 0}, {"length_penalty": -0.1}])
def test_beam_search_refuses(options):
    with pytest.raises(ValueError, match="expected beam_size and max_steps of 1 or more"):
        beam_search(Table(TABLES), SOURCE, **{"beam_size": 2, "max_steps": 3, "length_penalty": 0.0, **options})


# Sampling

PROMPT = jnp.array([[BOS] * 4000, [5] * 4000], jnp.int32)


@functools.partial(jax.jit, static_argnames=("top_k", "ends", "allow_unk"))
def _draw(tables, seed, temperature, **options):
    key = jax.random.key(seed)
    return sample(Table(tables), PROMPT, key=key, num_steps=MAX_STEPS, temperature=temperature, **options)


def draw(seed, temperature=1.0, **options):
    return jax.tree.map(np.asarray, _draw(TABLES, seed, temperature, **options))


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (2.0, 2)])
def test_frequencies_follow_the_softmax(temperature, top_k):
    """Of the token after the prompt, in 4000 draws: chi-square at a level of 1e-3, the seed fixed."""
    decoded = draw(3, temperature, top_k=top_k)
    assert_well_formed(decoded, MAX_STEPS)
    logits = TABLES[0, BOS, 5]
    drawn = sorted(WRITABLE, key=lambda token: -logits[token])[:top_k]
    expected = 4000 * np.exp(log_softmax(logits[drawn] / temperature))
    counts = np.bincount(decoded.tokens[0], minlength=C)
    assert counts.sum() == counts[drawn].sum()
    assert scipy.stats.chisquare(counts[drawn], expected).pvalue > 1e-3


def test_log_probs_of_samples_are_the_models():
    """At any temperature, without the prompt's own."""
    decoded = draw(4, 2.0, top_k=None)
    for text, value in list(zip(texts_of(decoded), decoded.log_probs, strict=True))[:50]:
        assert value == pytest.approx(log_prob(TABLES[0], (5, *text)) - log_prob(TABLES[0], (5,)), abs=1e-12)


@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, None), (1e-4, None), (1.0, 1), (0.0, 2)])
def test_cold_or_of_one_choice_a_sample_is_greedy(temperature, top_k):
    assert set(texts_of(draw(5, temperature, top_k=top_k))) == {likeliest(TABLES[0], BOS, 5)}


def test_samples_differ_by_key_column_and_step():
    """Of 4096 texts of six tokens, none much oftener than the model has it."""
    one, other = (draw(seed, 100.0, ends=False).tokens.T.tolist() for seed in (6, 7))
    assert one != other
    assert len(set(map(tuple, one))) > 2000
    assert any(len(set(text)) > 2 for text in one)


def test_samples_may_go_on_after_the_end():
    """Of running text, where EOS ends a line: it is written, and so is what follows it."""
    decoded = draw(8, ends=False)
    assert (decoded.lengths == MAX_STEPS).all()
    assert set(decoded.tokens.ravel().tolist()) == set(WRITABLE)


@pytest.mark.parametrize("options", [{"num_steps": 0}, {"top_k": 0}, {"prompt": PROMPT[:0]}])
def test_sample_refuses(options):
    with pytest.raises(ValueError, match="expected a prompt, num_steps and top_k of 1 or more"):
        sample(Table(TABLES), **{"prompt": PROMPT, "key": jax.random.key(0), "num_steps": 2, **options})


# Of a real model


def test_of_a_transformer_as_one_program():
    """Log probabilities are those of the whole text, read at once; other inputs of the same shape compile nothing."""
    config = TransformerConfig("encoder_decoder", 1, 8, 2, num_tokens=9, num_outputs=C)
    traces = []

    @jax.jit
    def search(params, source):
        traces.append(1)
        model = nnx.merge(graphdef, params)
        decoded = beam_search(model, source, beam_size=3, length_penalty=1.0, max_steps=5)
        prefix = jnp.concatenate([jnp.full((1, 6), BOS), decoded.tokens[:-1]])
        return decoded, jax.nn.log_softmax(model(Pair(source, prefix)))

    texts = set()
    for seed in range(3):
        model = config.build(rngs=nnx.Rngs(0), dtype=jnp.float64)
        model.readout.bias.set_value(jnp.zeros(C).at[EOS].set(-4.0))
        graphdef, params = nnx.split(model)
        decoded, log_probs = search(add_noise(params, seed, 1.0), np.random.default_rng(seed).integers(5, 9, (4, 6)))
        for b, text in enumerate(texts_of(decoded)):
            expected = sum(float(log_probs[s, b, token]) for s, token in enumerate(text))
            assert decoded.log_probs[b] == pytest.approx(expected, abs=1e-12)
        texts |= set(texts_of(decoded))
    assert len(texts) > 2
    assert len(traces) == search._cache_size() == 1
