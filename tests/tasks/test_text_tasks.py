"""Tasks on text: which words are read and asked, that padding counts nowhere, that a state is carried over."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from corpora import drawn_text, stored_pairs, stored_text
from flax import nnx

from lstm_jax.evaluation.language import CONTEXTS, answers_of, go_on
from lstm_jax.evaluation.translation import translate
from lstm_jax.models import Sizes, make_model
from lstm_jax.models.base import Pair, params_of
from lstm_jax.sweeps.worker import states
from lstm_jax.tasks import make_task
from lstm_jax.tasks.language import pair
from lstm_jax.text import store
from lstm_jax.text.corpus import prepare_pairs, prepare_text
from lstm_jax.text.vocabulary import BOS, EOS, MASK, PAD, UNK
from lstm_jax.training import Hypers, Training

FORMS = ["decoder", "encoder", "encoder_decoder"]


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def translation():
    return make_task(f"translation@corpus={stored_pairs()}", 30)


@pytest.fixture(scope="module")
def digest():
    return stored_text()


def language(digest, form="decoder", gap=8):
    return make_task(f"language@corpus={digest}", gap, form)


def model_of(task, label="gru", hidden_dim=6):
    sizes = Sizes(hidden_dim, 5)
    tokens = {"num_tokens": task.num_tokens, "num_outputs": task.num_classes}
    return make_model(label, sizes, form=task.form, gap=task.gap, **tokens)


def built(config, seed=0):
    return config.build(rngs=nnx.Rngs(seed))


def training_of(task, label="gru", batch_size=4, **options):
    return Training(task, model_of(task, label, **options), "adam", batch_size, 8)


def hypers_of(seed=0, learning_rate=0.01):
    return Hypers(np.uint32(seed), np.float32(learning_rate), np.float32(1.0))


def begun(training, hypers=None):
    """A run's first state, as one program."""
    return jax.jit(training.init)(hypers or hypers_of())


def sampled(task, seed, batch_size):
    return jax.jit(lambda key: task.sample(key, batch_size))(jax.random.key(seed))


def held_out(task, size):
    return numbers(jax.jit(lambda: task.held_out(size))())


def numbers(batch):
    return jax.tree.map(np.asarray, batch)


# Translation


def test_batches_are_pairs_of_the_corpus(translation):
    """Every column is a pair of the training split, EOS after both, padding at the end, BOS before the target."""
    corpus = translation.pairs
    known = {
        (tuple(corpus.source.encode(source)), tuple(corpus.target.encode(target)))
        for source, target in zip(corpus.train.sources, corpus.train.targets, strict=True)
    }
    for shape in range(len(translation.shape_shares)):
        batch = numbers(translation.train_batch(jax.random.key(shape), jnp.int32(0), 50, shape))
        for source, prefix, target, weights in zip(
            *(leaf.T.tolist() for leaf in (*batch.inputs, batch.targets, batch.weights)), strict=True
        ):
            read, written = source[: source.index(EOS)], target[: target.index(EOS)]
            assert (tuple(read), tuple(written)) in known
            assert set(source[len(read) + 1 :]) | set(target[len(written) + 1 :]) <= {PAD}
            assert prefix[: len(written) + 1] == [BOS, *written]
            assert weights == [1.0] * (len(written) + 1) + [0.0] * (len(target) - len(written) - 1)


def test_buckets_hold_each_pair_once_and_shorter_ones_are_narrower(translation):
    buckets = translation._buckets
    assert sum(bucket.sources.shape[1] for bucket in buckets) == len(translation.pairs.train)
    assert sum(translation.shape_shares) == pytest.approx(1.0)
    lengths = [len(bucket.sources) + len(bucket.targets) for bucket in buckets]
    assert len(lengths) > 1 and lengths == sorted(lengths) and lengths[0] < lengths[-1]
    assert max(lengths) <= translation.num_steps


def test_gap_is_the_longest_source_in_training(translation):
    short = dataclasses.replace(translation, gap=3)
    longest = max((batch.sources != PAD).sum(axis=0).max() for batch in short._buckets)
    assert longest == 3 + 1, "EOS too"
    assert (held_out(short, 8).inputs.source == held_out(translation, 8).inputs.source).all()


def test_training_draws_shapes_by_their_shares(translation):
    """Of many updates, how often the first was asked for: by a task whose other batches weigh nothing."""

    @dataclasses.dataclass(frozen=True)
    class Telling(type(translation)):
        def train_batch(self, key, step, batch_size, shape):
            batch = super().train_batch(key, step, batch_size, 0)
            return batch._replace(weights=batch.weights * jnp.float32(shape == 0))

    training = training_of(Telling(translation.gap, corpus=translation.corpus), batch_size=1, hidden_dim=2)
    asked = jax.jit(jax.vmap(lambda key: training._gradient(state, key, key)[0][0]))
    state = begun(training)
    losses = np.asarray(asked(jax.random.split(jax.random.key(0), 400)))
    share = (losses > 0).mean()
    assert abs(share - translation.shape_shares[0]) < 4 * 0.5 / 20


@pytest.mark.parametrize("buckets", ["run", "step"])
def test_lanes_draw_the_bucket_that_each_would_alone(translation, buckets):
    """Side by side: the losses and gradients of each run by itself. By the step, all draw one."""
    training = training_of(dataclasses.replace(translation, buckets=buckets), "rnn", batch_size=2, hidden_dim=2)
    keys = jax.random.split(jax.random.key(1), 4)
    drawn = {int(jax.random.key_data(training.task.shape_key(key, jnp.int32(3)))[1]) for key in keys}
    assert len(drawn) == (4 if buckets == "run" else 1)
    assert training.task.shape_key(keys[0], jnp.int32(3)) != training.task.shape_key(keys[1], jnp.int32(4))
    state = begun(training)

    def gradient(key):
        return training._gradient(state, key, key)

    alone, together = jax.jit(gradient), jax.jit(jax.vmap(gradient))(keys)
    for lane, key in enumerate(keys):
        for left, right in zip(jax.tree.leaves(alone(key)), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(right[lane], left, rtol=0, atol=1e-6)


def test_the_mean_of_the_parameters_is_what_is_scored_and_used():
    """A loop in NumPy over the parameters of each update; what is scored does not depend on the last parameters."""
    training = training_of(make_task("reverse", 3), "rnn@average=0.5")
    state = begun(training)
    expected = jax.tree.leaves(state.params)
    advance = jax.jit(training.advance)
    for step in range(12):
        state, _ = advance(state, hypers_of(), jnp.int32(1))
        decay = min(0.5, (1 + step) / (10 + step))
        both = zip(expected, jax.tree.leaves(state.params), strict=True)
        expected = [decay * mean + (1 - decay) * np.asarray(new) for mean, new in both]
    for mean, found, new in zip(expected, *map(jax.tree.leaves, (state.average, state.params)), strict=True):
        np.testing.assert_allclose(found, mean, rtol=0, atol=1e-6)
        assert np.abs(new - mean).max() > 1e-4
    evaluate = jax.jit(training.evaluate)
    swapped = state._replace(params=state.average, average=state.params)
    assert evaluate(state) == evaluate(state._replace(params=begun(training).params)) != evaluate(swapped)
    assert jax.tree.all(jax.tree.map(np.array_equal, params_of(training.trained(state)), state.average))
    kept = jax.tree.leaves(states._on_disk(state))
    assert all(one is other for one, other in zip(kept, jax.tree.leaves(state), strict=True)), "on disk too"


def test_scheduled_sampling_trains():
    """The rate goes from the run's update to the decoder: after the schedule another loss than with the reference."""
    losses = []
    for label in ("rnn@teacher_forcing=0,forcing_steps=4", "rnn"):
        training = training_of(make_task("reverse", 3), label)
        advance = jax.jit(training.advance)
        state, metrics = advance(begun(training), hypers_of(), jnp.int32(1))
        losses.append([metrics.train_loss, advance(state, hypers_of(), jnp.int32(8))[1].train_loss])
    assert losses[0][0] == pytest.approx(float(losses[1][0]), rel=1e-5), "the first update is taught"
    assert abs(losses[0][1] - losses[1][1]) > 1e-4


def test_the_held_out_set_counts_each_pair_once(translation):
    num_dev = len(translation.pairs.dev)
    exact, more = (held_out(translation, size) for size in (num_dev, num_dev + 7))
    assert more.weights.sum() == exact.weights.sum() == (exact.targets != PAD).sum()
    assert (more.targets[:, :num_dev] == exact.targets).all() and not more.weights[:, num_dev:].any()


@pytest.mark.parametrize("in_file", ["by length", pytest.param("anyhow", marks=pytest.mark.long)])
def test_a_held_out_sample_is_of_all_lengths(in_file):
    """Anki files are sorted by length: their first pairs are unlike the rest, in words and in what is easy to say."""
    random = np.random.default_rng(0)
    lengths = np.minimum(1 + random.geometric(0.2, 4000), 25)
    if in_file == "by length":
        lengths.sort()
    pairs = [
        (" ".join(f"w{n}x{k}" for k in range(length)), f"शब्द{n} {'क ' * length}{'ख' * length}")
        for n, length in enumerate(lengths.tolist())
    ]
    task = make_task(f"translation@corpus={store.store(prepare_pairs(pairs, dev_fraction=0.2))}", 30)
    num_dev, size = len(task.pairs.dev), 128
    whole, sample = held_out(task, num_dev), held_out(task, size)
    assert num_dev > 4 * size and sample.weights.shape[1] == size

    def about(batch):
        return [(side != PAD).sum(axis=0).mean() for side in (batch.inputs.source, batch.targets)]

    def shares(batch):
        counts = np.bincount(batch.targets[batch.weights > 0], minlength=task.num_classes)
        return counts / counts.sum()

    np.testing.assert_allclose(about(sample), about(whole), rtol=0.02)
    np.testing.assert_allclose(shares(sample), shares(whole), atol=0.01)
    assert shares(sample).max() == pytest.approx(task.chance, abs=0.01), "chance is of the whole split"
    entropy = -sum(share * np.log(share) for share in shares(sample) if share)
    assert entropy == pytest.approx(task.memoryless_loss, rel=0.03)
    assert all(map(np.array_equal, jax.tree.leaves(sample), jax.tree.leaves(held_out(task, size))))


def test_loss_counts_no_padding(translation):
    """The loss of a batch is the mean over words, whatever the padding holds."""
    training = training_of(translation)
    state = begun(training)
    batch = sampled(translation, 0, 6)
    other = batch._replace(targets=jnp.where(batch.weights > 0, batch.targets, 7))
    loss = jax.jit(lambda params, batch: training._train_loss(params, batch, (), None)[0])
    one, same = (loss(state.params, each) for each in (batch, other))
    assert (other.targets != batch.targets).any() and one == same
    logits = jax.jit(lambda params, inputs: training._merge(params)(inputs))(state.params, batch.inputs)
    log_probs = np.asarray(jax.nn.log_softmax(logits), np.float64)
    words = np.argwhere(np.asarray(batch.targets) != PAD)
    expected = -np.mean([log_probs[step, column, int(batch.targets[step, column])] for step, column in words])
    assert one == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("label", ["rnn", "lstm@attention=dot"])
def test_answers_are_of_all_test_sentences(translation, label):
    tables = translation.answers(built(model_of(translation, label)))
    rows, test = tables["translations"], translation.pairs.test
    assert [row["source"].split() for row in rows] == [list(words) for words in test.sources]
    assert [row["reference"].split() for row in rows] == [list(words) for words in test.targets]
    assert not any(token in row["output"] for row in rows for token in ("<unk>", "<pad>", "<bos>", "<eos>"))
    assert ("alignments" in tables) == ("attention" in label)
    for row in tables.get("alignments", []):
        weights = [float(weight) for weight in row["weights"].split()]
        assert len(weights) == len(rows[row["sentence"]]["source"].split()) + 1
        assert sum(weights) == pytest.approx(1.0, abs=0.02)


def test_answers_are_words_with_all_references_however_words_are_cut():
    pairs = [(f"word{number}", f"शब्द{number} {kind}") for kind in "कख" for number in range(60)]
    for cut in ("words", "bpe"):
        corpus = prepare_pairs(pairs, min_count=1, cut=cut, vocab_size=80)
        task = make_task(f"translation@corpus={store.store(corpus)}", 30)
        rows = task.answers(built(model_of(task, "rnn")))["translations"]
        assert [row["source"] for row in rows] == [f"word{row['reference'].split()[0][4:]}" for row in rows]
        assert [row["further"] for row in rows] == [f"{row['reference'].split()[0]} ख" for row in rows]
        assert len(rows) == len(corpus.test) and not any("▁" in row["output"] for row in rows)


def test_a_sentence_alone_is_translated_as_in_a_batch(translation):
    model = built(model_of(translation, "gru@attention=additive"))
    sentences = translation.pairs.test.sources[:5]
    together = translate(model, translation.pairs, sentences)
    for sentence, expected in zip(sentences, together, strict=True):
        found = translate(model, translation.pairs, [sentence], batch_size=1)[0]
        assert (found.output, found.greedy) == (expected.output, expected.greedy)
        np.testing.assert_allclose(found.alignment, expected.alignment, atol=1e-5)


# Language models


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


def test_a_batch_without_weight_has_no_loss_and_no_gradient(translation):
    training = training_of(translation)
    state = begun(training)
    batch = sampled(translation, 0, 4)
    batch = batch._replace(weights=0 * batch.weights)
    loss_of = jax.value_and_grad(lambda params, batch: training._train_loss(params, batch, (), None)[0])
    loss, gradient = jax.jit(loss_of)(state.params, batch)
    assert loss == 0 and all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


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


def test_a_form_that_a_task_does_not_have_is_refused(translation):
    with pytest.raises(ValueError, match="of the form encoder_decoder, not encoder"):
        make_task(f"translation@corpus={translation.corpus}", 30, "encoder")
