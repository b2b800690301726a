"""The task of language models: which words are read and asked, that a state is carried over; errors of text."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from corpora import drawn_text, stored_pairs, stored_text
from text_tasks import begun, built, held_out, hypers_of, language, model_of, numbers, sampled, training_of

from lstm_jax.evaluation.language import CONTEXTS, answers_of, go_on
from lstm_jax.models.base import Pair
from lstm_jax.tasks import make_task
from lstm_jax.tasks.language import pair
from lstm_jax.text import store
from lstm_jax.text.corpus import prepare_text
from lstm_jax.text.vocabulary import BOS, EOS, MASK, PAD, UNK

FORMS = ["decoder", "encoder", "encoder_decoder"]


@pytest.fixture(scope="module")
def digest():
    return stored_text()


def test_segments_go_on_where_the_last_batch_ended(digest):
    """Over one round every token but the last few is a target once, in as many places as the batch is wide."""
    task = language(digest)
    text = np.concatenate(task.text.train)
    num_segments = task.segments(4)
    batches = [numbers(task.train_batch(jax.random.key(0), jnp.int32(step), 4, 0)) for step in range(num_segments)]
    inputs, targets = (np.concatenate(parts) for parts in zip(*((b.inputs, b.targets) for b in batches), strict=True))
    width = num_segments * task.gap
    assert 4 * width > len(text) - 1 - 4 * task.gap
    for column in range(4):
        assert (inputs[:, column] == text[column * width : (column + 1) * width]).all()
        assert (targets[:, column] == text[column * width + 1 : (column + 1) * width + 1]).all()
    again = numbers(task.train_batch(jax.random.key(1), jnp.int32(num_segments), 4, 0))
    assert (again.inputs == batches[0].inputs).all()


def test_the_state_is_carried_over_and_begins_anew(digest):
    """With a learning rate of 0: after two updates the carry is that of one pass over both segments; a round later,
    that of the first segment alone."""
    task = language(digest)
    training = training_of(task)
    hypers = hypers_of(learning_rate=0.0)
    advance = jax.jit(training.advance)
    state, _ = advance(begun(training, hypers), hypers, 2)
    model = training._merge(state.params)
    segments = [task.train_batch(jax.random.key(0), jnp.int32(step), 4, 0).inputs for step in (0, 1)]
    _, once = model.advance(jnp.concatenate(segments), None)
    np.testing.assert_allclose(state.carry[0].hidden, once[0].hidden, atol=1e-6)
    state, _ = advance(state, hypers, task.segments(4) - 1)
    assert state.step % task.segments(4) == 1
    _, first = model.advance(segments[0], None)
    np.testing.assert_allclose(state.carry[0].hidden, first[0].hidden, atol=1e-6)


def test_a_transformer_carries_nothing(digest):
    training = training_of(language(digest), "transformer", hidden_dim=8)
    state, metrics = jax.jit(training.advance)(begun(training), hypers_of(), 2)
    assert state.carry == () and jnp.isfinite(metrics.train_loss)


def test_masked_words_are_asked_and_no_others(digest):
    task = language(digest, "encoder", gap=50)
    batch = numbers(sampled(task, 0, 100))
    is_masked = batch.inputs == MASK
    assert (batch.weights == is_masked).all() and (batch.inputs == batch.targets)[~is_masked].all()
    assert (batch.targets != MASK).all()
    assert abs(is_masked.mean() - 0.15) < 4 * (0.15 * 0.85 / is_masked.size) ** 0.5


@pytest.mark.parametrize("gap", [1, 2])
def test_a_batch_of_an_encoder_always_asks_something(digest, gap):
    """Of one or two words most batches had none masked, and a mean over nothing."""
    task = language(digest, "encoder", gap=gap)
    batches = numbers(jax.jit(jax.vmap(lambda key: task.sample(key, 1)))(jax.random.split(jax.random.key(0), 500)))
    asked = batches.weights.sum(axis=(1, 2))
    assert asked.min() == 1 and (batches.inputs == MASK).sum() == asked.sum()
    shares = batches.weights.mean(axis=(0, 2))
    assert (np.abs(shares - shares.mean()) < 4 * (0.25 / 500) ** 0.5).all(), "anywhere"
    assert held_out(task, 1).recall.sum() == 1


def test_no_update_of_an_encoder_diverges_for_want_of_a_masked_word(digest):
    training = training_of(language(digest, "encoder", gap=2), batch_size=1)
    state, metrics = jax.jit(training.advance)(begun(training), hypers_of(), 60)
    assert metrics.diverged_step == 0 and jnp.isfinite(metrics.train_loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    assert jnp.isfinite(jax.jit(training.evaluate)(state).loss)


def test_a_pair_of_running_text_keeps_the_words_next_to_the_target():
    source, target = jnp.array([[11, 21], [12, 22], [13, 23]]), jnp.array([[14, 24], [15, 25]])
    batch = numbers(pair(source, jnp.array([1, 3]), target))
    assert batch.inputs.source.T.tolist() == [[13, EOS, PAD, PAD], [21, 22, 23, EOS]]
    assert batch.inputs.prefix.T.tolist() == [[BOS, 14], [BOS, 24]]
    assert batch.targets.T.tolist() == [[14, 15], [24, 25]] and batch.weights.all()


@pytest.mark.parametrize("form", FORMS)
def test_held_out_text_is_that_of_dev(digest, form):
    """Whatever is read or asked there is found in a row in the dev split."""
    task = language(digest, form)
    text = " ".join(map(str, np.concatenate(task.text.dev)))
    batch = held_out(task, 5)
    rows = batch.targets if form != "encoder" else np.where(batch.weights > 0, batch.targets, batch.inputs)
    assert all(" ".join(map(str, row)) in text for row in rows.T)
    assert all(
        (left == right).all() for left, right in zip(*map(jax.tree.leaves, (batch, held_out(task, 5))), strict=True)
    )


@pytest.mark.parametrize("label", ["gru", "transformer"])
@pytest.mark.parametrize("form", FORMS)
def test_loss_by_context_is_that_of_the_words_seen(digest, form, label):
    """Against one call for each word on the window that it may see; blocks and counts alike at all contexts."""
    task = language(digest, form, gap=8)
    model = built(model_of(task, label, hidden_dim=8))
    rows = answers_of(model, task.text, form, task.gap)["contexts"]
    contexts = sorted({row["context"] for row in rows})
    most = 8 if form == "decoder" else 4
    sees_all = label == "gru" and form == "decoder"
    margin = (len(np.concatenate(task.text.test)) - 1) // 3
    assert contexts == [0, *(context for context in CONTEXTS if (context <= margin if sees_all else context < most))]
    unk = [sum(row["unk"] for row in rows if row["context"] == context) for context in contexts]
    assert set(unk) == {0}, "of this text every word is known"
    counts = {context: [row["count"] for row in rows if row["context"] == context] for context in contexts}
    assert all(each == counts[0] for each in counts.values()) and len(counts[0]) > 1
    text, limit = np.concatenate(task.text.test), min(margin, CONTEXTS[-1])
    places = range(limit, len(text) - limit)
    assert sum(counts[0]) == len(places), "a short text: all places"
    call = jax.jit(lambda inputs: model(inputs))
    for context in (1, 2):
        total = 0.0
        for place in list(places)[:10]:  # the first block
            window = jnp.asarray(text[place - context : place + context + 1])[:, None]
            if form == "decoder":
                logits = call(window[:context])[-1, 0]
            elif form == "encoder":
                logits = call(window.at[context].set(MASK))[context, 0]
            else:
                source = jnp.concatenate([window[:context], jnp.full((1, 1), EOS)])
                logits = call(Pair(source, jnp.full((1, 1), BOS)))[0, 0]
            total -= float(jax.nn.log_softmax(logits)[int(text[place])])
        row = next(row for row in rows if row["context"] == context and row["block"] == 0)
        assert row["loss"] == pytest.approx(total, abs=1e-3)


def test_uncut_loss_is_that_of_one_pass(digest):
    task = language(digest)
    model = built(model_of(task, "lstm"))
    tables = answers_of(model, task.text, "decoder", task.gap)
    text = np.concatenate(task.text.test)
    inputs = jnp.asarray(np.concatenate([[EOS], text[:-1]]))[:, None]
    log_probs = jax.nn.log_softmax(model(inputs)[:, 0])
    losses = -np.asarray(log_probs)[np.arange(len(text)), text]
    (row,) = tables["perplexity"]
    assert row["count"] == len(text) and row["loss"] == pytest.approx(losses.sum(), rel=1e-5)
    margin = min((len(text) - 1) // 3, CONTEXTS[-1])
    uncut = sum(row["loss"] for row in tables["contexts"] if row["context"] == 0)
    assert uncut == pytest.approx(losses[margin : len(text) - margin].sum(), rel=1e-5)


def test_unknown_words_are_counted_where_they_are_predicted():
    """With a vocabulary of next to nothing a perplexity is that of <unk>, and says so."""
    digest = store.store(prepare_text(drawn_text(), min_count=10**6))
    task = language(digest)
    tables = answers_of(built(model_of(task)), task.text, "decoder", task.gap)
    text = np.concatenate(task.text.test)
    (row,) = tables["perplexity"]
    assert row["unk"] == (text == UNK).sum() > 0.9 * row["count"]
    margin = min((len(text) - 1) // 3, CONTEXTS[-1])
    predicted = text[margin : len(text) - margin]
    for context in (0, 1):
        rows = [row for row in tables["contexts"] if row["context"] == context]
        assert sum(row["unk"] for row in rows) == (predicted == UNK).sum()


def test_a_prompt_is_read_as_the_text_is():
    """A line's end counts; an apostrophe is that of the text; a text that is tokenised is cut at spaces alone."""
    text = store.load(store.store(prepare_text("ROMEO:\ndon’t go at 2:30.\n" * 200, min_count=1)))
    model = built(model_of(language(store.store(text))))

    def read(prompt, corpus=text):
        options = {"num_samples": 1, "temperature": 0.0, "top_k": None, "seed": 0}
        return go_on(model, corpus, prompt, num_tokens=1, **options)

    assert read("ROMEO:\n")[0][0].startswith("ROMEO:\n") and read("ROMEO:\r\n") == read("ROMEO:\n")
    assert not read("ROMEO:")[0][0].startswith("ROMEO:\n") or read("ROMEO:")[0][0] == "ROMEO:"
    assert read("ROMEO:\n") != read("ROMEO:")
    (shown,), unknown = read("don't go at 2:30. Don't")
    assert shown.startswith("don’t go at 2:30. <unk>") and unknown == ["Don't"]
    cut = prepare_text("ROMEO:\ndo n't 2:30.\n" * 200, min_count=1, cut="space")
    assert read("ROMEO: n’t 2:30. 2", cut)[1] == ["2"]


def test_samples_go_on_from_the_text(digest):
    tables = answers_of(built(model_of(language(digest))), language(digest).text, "decoder", 8)
    text = " ".join(
        word for line in language(digest).show(*_whole(language(digest))).split("\n") for word in line.split()
    )
    assert text and all(row["prompt"] and row["text"] and row["reference"] for row in tables["samples"])
    assert not any("<unk>" in row["text"] for row in tables["samples"])


def _whole(task):
    batch = held_out(task, 1)
    return batch.inputs[:, 0], batch.targets[:, 0]


@pytest.mark.parametrize("form", FORMS)
def test_a_language_model_learns_what_follows_what(form):
    """The text is a chain of which half of all steps are certain: less loss than by the words' frequencies."""
    digest = stored_text(num_words=20_000)
    training = training_of(language(digest, form), "gru", batch_size=32, hidden_dim=32)
    state, _ = jax.jit(training.advance)(begun(training), hypers_of(learning_rate=0.01), 300)
    evaluation = jax.jit(training.evaluate)(state)
    assert evaluation.loss < training.task.memoryless_loss - 0.3
    assert evaluation.score > 0.3


# Errors


@pytest.mark.parametrize(
    ("text", "gap", "message"),
    [
        ("translation", 5, "corpus: expected the digest of a prepared corpus"),
        ("language", 5, "corpus: expected the digest of a prepared text"),
        ("translation@corpus={pairs},buckets=lane", 5, "buckets: got 'lane'; choose from run, step"),
        ("translation@corpus=0123456789abcdef", 5, "there is no prepared corpus"),
        ("translation@corpus={text}", 5, "is running text; expected one of pairs"),
        ("language@corpus={pairs}", 5, "is one of pairs; expected running text"),
        ("language@corpus={text}", 100_000, "too few"),
        ("language@corpus={text},form=backwards", 5, "got 'backwards'"),
        ("language@corpus={text},form=encoder_decoder", 1, "gap: expected at least 2"),
    ],
)
def test_errors_say_what_to_do(text, gap, message):
    with pytest.raises(ValueError, match=message):
        make_task(text.format(pairs=stored_pairs(), text=stored_text()), gap)
