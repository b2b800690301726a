"""Encoder and decoder: what is fed, what padding may not reach, and the model against loops in NumPy."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import call, model_with_noise
from flax import nnx

from lstm_jax.cells import make_cell
from lstm_jax.models import EncoderDecoderConfig, Pair, Sizes, form_of, make_model
from lstm_jax.models.attention import Attention

NUM_TOKENS, NUM_OUTPUTS, HIDDEN = 9, 11, 6
SETTINGS = ["", "attention=dot", "attention=additive", "bidirectional=true", "reverse=true,tied=true"]
SETTINGS += ["attention=dot,bidirectional=true,tied=true"]
LABELS = [f"lstm@{text}" if text else "lstm" for text in SETTINGS] + ["gru"]


def config_of(label="lstm", num_layers=1, **options):
    sizes = Sizes(HIDDEN, 5, num_layers, **options)
    return make_model(label, sizes, form="encoder_decoder", num_tokens=NUM_TOKENS, num_outputs=NUM_OUTPUTS)


@functools.cache
def model_of(config, seed=0):
    """A model of normal numbers. `call(model, ...)` is `model(...)` as one program, which all tests share."""
    return model_with_noise(lambda: config.build(rngs=nnx.Rngs(0)), seed)


@functools.partial(jax.jit, static_argnums=0)
def _write(graphdef, params, pair, dropout_key, training_kwargs):
    return nnx.merge(graphdef, params).write(pair, dropout_key=dropout_key, **training_kwargs)


def write(model, pair, dropout_key, **training_kwargs):
    """`model.write`, as one program too."""
    return jax.device_get(_write(*nnx.split(model), pair, dropout_key, training_kwargs))


@functools.partial(jax.jit, static_argnums=0)
def walk(graphdef, params, pair):
    """What `step` after `step` says, fed the prefix."""
    model = nnx.merge(graphdef, params)
    memory, state = model.begin(pair.source, *pair.prefix.shape[::-1])

    def step(state, tokens):
        said = model.step(memory, state, tokens)
        return said.state, said._replace(state=())

    return jax.lax.scan(step, state, pair.prefix)[1]


def pair_of(lengths=(3, 5), seed=0, num_steps=5, num_written=4):
    """Sources of these lengths (EOS among them), padded; arrays of NumPy, which are cut without a program for each."""
    random = np.random.default_rng(seed)
    source = random.integers(5, NUM_TOKENS, (num_steps, len(lengths)))
    for column, length in enumerate(lengths):
        source[length - 1 :, column] = [2] + [0] * (num_steps - length)
    prefix = random.integers(5, NUM_OUTPUTS, (num_written, len(lengths)))
    prefix[0] = 1
    return Pair(source.astype(np.int32), prefix.astype(np.int32))


def changed(tokens, index, values):
    """A copy with other tokens there."""
    tokens = tokens.copy()
    tokens[index] = values
    return tokens


def close(actual, expected, atol=1e-6):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("label", LABELS)
def test_padding_of_the_source_does_not_matter(label):
    """Each sentence beside itself, without padding, gives what it gives beside another, with or without."""
    model, pair = model_of(config_of(label)), pair_of((3, 5))
    together = np.asarray(call(model, pair))
    for column, length in enumerate((3, 5)):
        alone = Pair(pair.source[:length, [column] * 2], pair.prefix[:, [column] * 2])
        close(together[:, [column] * 2], call(model, alone))


@pytest.mark.parametrize("label", LABELS)
def test_later_words_of_the_prefix_do_not_reach_earlier_logits(label):
    model, pair = model_of(config_of(label)), pair_of()
    other = pair._replace(prefix=changed(pair.prefix, slice(2, None), 7))
    assert (pair.prefix[2:] != 7).any()
    before, after = (np.asarray(call(model, each)) for each in (pair, other))
    close(before[:2], after[:2])
    assert (before[2:] != after[2:]).any()


@pytest.mark.parametrize("label", LABELS)
def test_every_word_of_the_source_reaches_the_logits(label):
    model, pair = model_of(config_of(label)), pair_of((5, 5))
    for step in range(4):
        other = pair._replace(source=changed(pair.source, step, 5 + (pair.source[step] - 4) % 4))
        before, after = (np.asarray(call(model, each)[0]) for each in (pair, other))
        assert (np.abs(before - after).max(axis=-1) > 1e-5).all(), step


@pytest.mark.parametrize("label", LABELS)
def test_one_word_after_another_is_the_same(label):
    """`begin` and `step`, fed the prefix, against the call on the whole of it."""
    model, pair = model_of(config_of(label, num_layers=2)), pair_of()
    said = walk(*nnx.split(model), pair)
    assert (said.alignment is None) == ("attention" not in label)
    close(said.logits, call(model, pair))


def test_teacher_forcing_feeds_the_reference():
    """With a rate of 1, whatever the model says; and in evaluation, where there is no key, at any rate."""
    pair = pair_of()
    for rate, key in ((1.0, jax.random.key(0)), (0.0, None), (0.5, None)):
        model = model_of(config_of(f"lstm@teacher_forcing={rate}"))
        written = write(model, pair, key)
        assert (written.read == pair.prefix).all()
        assert (written.logits.argmax(-1)[:-1] != pair.prefix[1:]).any(), "the model happens to agree"


@pytest.mark.parametrize("label", ["lstm", "gru@attention=dot", "rnn@attention=additive"])
def test_without_teacher_forcing_the_decoder_is_fed_its_own_words(label):
    at = f"{label}{',' if '@' in label else '@'}teacher_forcing=0"
    pair = pair_of()
    written = write(model_of(config_of(at)), pair, jax.random.key(0))
    own = written.logits.argmax(-1)
    assert (written.read[0] == pair.prefix[0]).all() and (written.read[1:] == own[:-1]).all()
    assert (written.read[1:] != pair.prefix[1:]).any()
    # What it says is what the same weights say when they are taught what it read.
    close(written.logits, call(model_of(config_of(label)), pair._replace(prefix=written.read)))


def test_a_rate_between_mixes_both():
    pair = pair_of((5,) * 400, num_written=3)
    written = write(model_of(config_of("rnn@teacher_forcing=0.7")), pair, jax.random.key(1))
    is_own, is_reference = written.read[1:] == written.logits.argmax(-1)[:-1], written.read[1:] == pair.prefix[1:]
    assert (is_own | is_reference).all()
    differ = written.logits.argmax(-1)[:-1] != pair.prefix[1:]
    share = is_reference[differ].mean()
    assert abs(share - 0.7) < 4 * (0.21 / int(differ.sum())) ** 0.5


def test_scheduled_sampling_falls_from_the_reference_to_own_words():
    config = config_of("gru@teacher_forcing=0.25,forcing_steps=100")
    rates = [float(config.training_kwargs(jnp.int32(step))["teacher_forcing"]) for step in (0, 50, 100, 1000)]
    assert rates == pytest.approx([1.0, 0.625, 0.25, 0.25])
    model, pair = model_of(config), pair_of((5,) * 50)
    first = write(model, pair, jax.random.key(0), **config.training_kwargs(jnp.int32(0)))
    later = write(model, pair, jax.random.key(0), **config.training_kwargs(jnp.int32(100)))
    assert (first.read == pair.prefix).all() and (later.read != pair.prefix).any()
    assert (
        config_of("gru@forcing_steps=100").training_kwargs(jnp.int32(0))
        == config_of().training_kwargs(jnp.int32(0))
        == {}
    )


def test_label_smoothing_is_the_cross_entropy_of_a_smoothed_target():
    """Against NumPy in float64: 1 - ε on the target, ε spread over all words; the model's own outputs stay."""
    config, random = config_of("lstm@label_smoothing=0.1"), np.random.default_rng(0)
    logits, targets = random.normal(size=(3, 2, NUM_OUTPUTS)), random.integers(0, NUM_OUTPUTS, (3, 2))
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    wanted = 0.9 * np.eye(NUM_OUTPUTS)[targets] + 0.1 / NUM_OUTPUTS
    losses = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    found = config.train_losses(jnp.asarray(losses, jnp.float32), jnp.asarray(logits, jnp.float32))
    close(found, -(wanted * log_probs).sum(axis=-1))
    close(config_of().train_losses(jnp.asarray(losses, jnp.float32), jnp.asarray(logits, jnp.float32)), losses)
    assert call(model_of(config), pair_of()).tolist() == call(model_of(config_of()), pair_of()).tolist()


def test_dropout_is_drawn_with_a_key_alone():
    model, pair = model_of(config_of(dropout=0.5)), pair_of()
    assert (call(model, pair) == call(model, pair)).all()
    one, other = (call(model, pair, dropout_key=jax.random.key(seed)) for seed in (0, 1))
    assert (one != other).any() and (one != call(model, pair)).any()
    assert (
        config_of(dropout=0.5).uses_rng and config_of("lstm@teacher_forcing=0.5").uses_rng and not config_of().uses_rng
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("score", ["dot", "additive"])
def test_attention_is_that_of_a_loop(score):
    num_written, num_read, batch, encoder_dim = 3, 4, 2, 8
    attention = Attention(score, HIDDEN, encoder_dim, rngs=nnx.Rngs(0), dtype=jnp.float64)
    random = np.random.default_rng(0)
    outputs, encoded = (
        random.normal(size=(num_written, batch, HIDDEN)),
        random.normal(size=(num_read, batch, encoder_dim)),
    )
    is_word = np.array([[True, True, True, True], [True, True, False, False]]).T
    result, weights = attention(
        jnp.asarray(outputs), attention.project_memory(jnp.asarray(encoded), jnp.asarray(is_word))
    )
    matrix = {name: np.asarray(getattr(attention, name).kernel.get_value()) for name in ("key", "combine")}
    for step in range(num_written):
        for column in range(batch):
            words = [encoded[s, column] for s in range(num_read) if is_word[s, column]]
            keys, h = [word @ matrix["key"] for word in words], outputs[step, column]
            if score == "dot":
                scores = np.array([h @ key for key in keys]) / HIDDEN**0.5
            else:
                query, energy = (np.asarray(each.kernel.get_value()) for each in (attention.query, attention.energy))
                scores = np.array([(np.tanh(h @ query + key) @ energy)[0] for key in keys])
            shares = np.exp(scores) / np.exp(scores).sum()
            context = sum(share * word for share, word in zip(shares, words, strict=True))
            close(weights[step, column, : len(words)], shares, 1e-12)
            assert not weights[step, column, len(words) :].any()
            close(result[step, column], np.tanh(np.concatenate([context, h]) @ matrix["combine"]), 1e-12)


def test_the_thought_vector_is_all_that_the_decoder_has():
    """Without attention: the logits follow from the last states of the encoder's own cell alone."""
    config = config_of("gru")
    model, pair = model_of(config), pair_of((5, 5))
    cell, params = config.cells[0], model.encoder.layers[0].params.get_value()
    state = cell.initial_state((2,))
    for tokens in pair.source:
        state, _ = cell.step(params, state, model.source_embedding(tokens))
    params, logits = model.decoder.layers[0].params.get_value(), []
    for tokens in pair.prefix:
        state, output = cell.step(params, state, model.target_embedding(tokens))
        logits.append(model.readout(output))
    close(jnp.stack(logits), call(model, pair))


def test_a_bidirectional_encoder_reads_both_ways():
    """The decoder starts from a map of both last states."""
    config = config_of("rnn@bidirectional=true")
    model, pair = model_of(config), pair_of((5, 5))
    cell, ends = config.cells[0], []
    for layer, tokens in ((model.encoder.layers[0], pair.source), (model.encoder.other_way[0], pair.source[::-1])):
        state = cell.initial_state((2,))
        for each in tokens:
            state, _ = cell.step(layer.params.get_value(), state, model.source_embedding(each))
        ends.append(state.hidden)
    _, (begun,) = model.begin(jnp.asarray(pair.source), 2, 4)
    close(begun.hidden, model.bridge[0].maps[0](jnp.concatenate(ends, axis=-1)))


def test_a_reversed_source_is_read_from_its_last_word():
    plain, reverse = (model_of(config_of(f"lstm@reverse={value}")) for value in ("false", "true"))
    pair = pair_of((5, 5))
    close(call(reverse, pair), call(plain, pair._replace(source=pair.source[::-1])))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("lstm@attention=dott", "attention: got 'dott'; did you mean 'dot'"),
        ("lstm@teacher_forcing=2", r"teacher_forcing: expected a rate in \[0, 1\], got 2"),
        ("lstm@forcing_steps=-1", "forcing_steps: expected a number of updates, got -1"),
        ("lstm@label_smoothing=1", r"label_smoothing: expected a number in \[0, 1\), got 1"),
        ("lstm@average=-0.5", r"average: expected a number in \[0, 1\), got -0.5"),
        ("lstm@heads=2", "unknown setting 'heads'"),
        ("transformer@heads=0", "heads: expected at least 1, got 0"),
        ("transformer@heads=4", "multiple of 4 heads, got 6"),
    ],
)
def test_errors_name_the_setting(label, message):
    with pytest.raises(ValueError, match=message):
        config_of(label)


def test_a_form_is_told_by_the_name():
    assert form_of("lstm@form=encoder,forget_bias=5") == "encoder" and form_of("lstm") is None
    with pytest.raises(ValueError, match="form: got 'encodr'; did you mean 'encoder'"):
        form_of("lstm@form=encodr")
    assert isinstance(config_of("lstm@form=encoder_decoder"), EncoderDecoderConfig)
    assert config_of("lstm@forget_bias=3").initial_forget_bias == 3 == make_cell("lstm@forget_bias=3", 2).forget_bias
    assert dataclasses.replace(config_of(), cells=config_of("rnn").cells) == config_of("rnn")
