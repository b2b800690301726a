"""The task of translation: which pairs are read, that padding counts nowhere, what is scored and shown."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from corpora import stored_pairs
from text_tasks import begun, built, held_out, hypers_of, model_of, numbers, sampled, training_of

from lstm_jax.evaluation.translation import translate
from lstm_jax.models.base import params_of
from lstm_jax.sweeps.worker import states
from lstm_jax.tasks import make_task
from lstm_jax.text import store
from lstm_jax.text.corpus import prepare_pairs
from lstm_jax.text.vocabulary import BOS, EOS, PAD


@pytest.fixture(scope="module")
def translation():
    return make_task(f"translation@corpus={stored_pairs()}", 30)


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

    @dataclasses.dataclass(frozen=True)
    class Two(type(translation)):
        """With the shortest pairs and the longest alone: the gradient of each bucket is compiled."""

        @property
        def _buckets(self):
            shortest, *_, longest = super()._buckets
            return shortest, longest

    task = Two(translation.gap, corpus=translation.corpus, buckets=buckets)
    training = training_of(task, "rnn", batch_size=2, hidden_dim=2)
    keys = jax.random.split(jax.random.key(1), 4)
    drawn = {int(jax.random.key_data(training.task.shape_key(key, jnp.int32(3)))[1]) for key in keys}
    assert len(drawn) == (4 if buckets == "run" else 1)
    shares = jnp.array(task.shape_shares)
    asked = jax.jit(jax.vmap(lambda key: jax.random.choice(task.shape_key(key, jnp.int32(0)), 2, p=shares)))(keys)
    assert len(set(asked.tolist())) == (2 if buckets == "run" else 1)
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


def test_a_batch_without_weight_has_no_loss_and_no_gradient(translation):
    training = training_of(translation)
    state = begun(training)
    batch = sampled(translation, 0, 4)
    batch = batch._replace(weights=0 * batch.weights)
    loss_of = jax.value_and_grad(lambda params, batch: training._train_loss(params, batch, (), None)[0])
    loss, gradient = jax.jit(loss_of)(state.params, batch)
    assert loss == 0 and all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_a_form_that_a_task_does_not_have_is_refused(translation):
    with pytest.raises(ValueError, match="of the form encoder_decoder, not encoder"):
        make_task(f"translation@corpus={translation.corpus}", 30, "encoder")
