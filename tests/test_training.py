"""A run as pure functions: it learns, it is determined by its state, and what is traced compiles once."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lstm_jax.cells import make_cell
from lstm_jax.lanes import lift
from lstm_jax.models import ModelConfig
from lstm_jax.tasks import make_task
from lstm_jax.training import Hypers, Training


def training_of(cell="lstm", task="gap", gap=3, hidden_dim=12, **options):
    made = make_task(task, gap)
    cells = (make_cell(cell, hidden_dim, gap),) * options.pop("num_layers", 1)
    model = ModelConfig(cells, 8, made.num_classes, made.num_tokens, made.readout, dropout=options.pop("dropout", 0.0))
    return Training(made, model, **{"batch_size": 16, "eval_size": 64} | options)


def hypers_of(seed=0, learning_rate=0.01, clip_norm=1.0):
    return Hypers(np.uint32(seed), np.float32(learning_rate), np.float32(clip_norm))


def equal(left, right):
    def same(a, b):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)

    return all(jax.tree.leaves(jax.tree.map(same, left, right)))


def learned(training, hypers, num_updates):
    """The state after as many updates, their metrics and its evaluation, as one program."""

    @jax.jit
    def run(hypers, num_updates):
        state, metrics = training.advance(training.init(hypers), hypers, num_updates)
        return state, metrics, training.evaluate(state)

    return run(hypers, num_updates)


@pytest.fixture(scope="module")
def programs():
    training = training_of()
    return jax.jit(training.init), jax.jit(training.advance), jax.jit(training.evaluate)


@pytest.fixture(scope="module")
def lanes():
    """The same of three lanes."""
    training = training_of()
    return jax.jit(lift(training.init, 3)), jax.jit(lift(training.advance, 3, (0, 0, None)))


@pytest.mark.parametrize(
    ("cell", "task"),
    [("rnn", "gap"), ("gru", "gap"), ("lstm", "gap"), ("flax.nnx:GRUCell", "gap"), ("gru", "copy@num_recalled=1")],
)
def test_every_kind_of_cell_learns_a_short_gap(cell, task):
    training = training_of(cell, task, gap=2, hidden_dim=24)
    state, metrics, evaluation = learned(training, hypers_of(), 300)
    assert evaluation.score >= 0.99
    assert evaluation.loss < 0.2 * training.task.memoryless_loss or evaluation.loss < 0.1
    assert metrics.diverged_step == 0 and state.step == 300


def test_untrained_is_at_the_memoryless_loss_within_a_tenth(programs):
    init, _, evaluate = programs
    evaluation = evaluate(init(hypers_of()))
    assert evaluation.loss == pytest.approx(math.log(8), rel=0.1)
    assert evaluation.sequence_loss == evaluation.loss  # the gap task is trained where it is scored


@pytest.mark.parametrize("task", ["gap", "copy@num_recalled=2"])
def test_an_evaluation_in_parts_is_that_of_the_whole(task, monkeypatch):
    """The held-out set is scored in as many parts as memory asks for."""
    training = training_of("rnn", task, gap=7)
    state = jax.jit(training.init)(hypers_of())
    whole = jax.jit(training.evaluate)(state)
    assert training.eval_width == 64
    monkeypatch.setattr("lstm_jax.training.MAX_EVAL_STEPS", 20 * training.task.num_steps)
    assert training.eval_width == 16
    parts = jax.jit(lambda state: training.evaluate(state))(state)
    for a, b in zip(parts, whole, strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-6)
    monkeypatch.setattr("lstm_jax.training.MAX_EVAL_STEPS", 1)
    assert training.eval_width == 1


def test_a_truncated_gradient_does_not_learn_what_lies_before_it():
    """A fact 8 steps before the question, gradients over 3 steps or all 10; the untrained memory helps a little."""
    accuracies = {}
    hypers = hypers_of(learning_rate=0.03)
    for truncation in (3, 10):
        training = training_of("gru", gap=8, hidden_dim=24)
        training = dataclasses.replace(training, model=dataclasses.replace(training.model, truncation=truncation))
        accuracies[truncation] = float(learned(training, hypers, 300)[2].score)
    assert accuracies[10] >= 0.99
    assert accuracies[3] < 0.9


@pytest.mark.standard_promotion  # the task of the test mixes
def test_shuffled_labels_are_not_learned():
    training = training_of(task="own_tasks:Shuffled", gap=2)
    _, _, evaluation = learned(training, hypers_of(), 300)
    assert evaluation.score < 0.4
    assert evaluation.loss > 0.95 * math.log(8)


def test_chunks_of_any_size_are_the_same_training_bitwise(programs):
    init, advance, _ = programs
    whole, _ = advance(init(hypers_of()), hypers_of(), 24)
    parts = init(hypers_of())
    for num_updates in (1, 7, 16):
        parts, _ = advance(parts, hypers_of(), num_updates)
    assert equal(whole, parts)


def test_a_state_says_everything_that_happens_next(programs):
    init, advance, _ = programs
    state, _ = advance(init(hypers_of(seed=5)), hypers_of(seed=5), 10)
    # The seed matters at init only: from the state on, another seed in the hypers changes nothing.
    again, _ = advance(state, hypers_of(seed=5), 10)
    other, _ = advance(state, hypers_of(seed=6), 10)
    assert equal(again, other)


def test_seeds_learning_rates_and_clip_norms_matter(programs):
    init, advance, _ = programs
    base, _ = advance(init(hypers_of()), hypers_of(), 5)
    for hypers in (
        hypers_of(seed=1),
        hypers_of(seed=2**32 - 1),
        hypers_of(learning_rate=0.02),
        hypers_of(clip_norm=1e-3),
    ):
        assert not equal(base.params, advance(init(hypers), hypers, 5)[0].params)
    assert not equal(init(hypers_of(seed=0)).params, init(hypers_of(seed=2**32 - 1)).params)


@functools.partial(jax.jit, static_argnums=0)
def train_loss(training, params, batch):
    return training._train_loss(params, batch, (), None)[0]


def sampled(training, key, batch_size):
    return jax.jit(lambda key: training.task.sample(key, batch_size))(key)


@pytest.mark.standard_promotion  # optax raises a float to the power of its integer count
def test_one_update_is_that_of_optax_on_the_same_batch():
    training = training_of()
    hypers = hypers_of(clip_norm=0.05)
    state = jax.jit(training.init)(hypers)
    batch_key = jax.random.split(state.key, 3)[1]
    batch = sampled(training, batch_key, training.batch_size)
    loss, gradient = jax.jit(jax.value_and_grad(train_loss, argnums=1), static_argnums=0)(training, state.params, batch)
    assert optax.tree.norm(gradient) > 0.05, "the clipping is not tried"
    optimizer = optax.chain(optax.clip_by_global_norm(0.05), optax.adam(0.01))

    @jax.jit
    def update(params, gradient):
        updates, _ = optimizer.update(gradient, optimizer.init(params), params)
        return optax.apply_updates(params, updates)

    expected = update(state.params, gradient)
    new, metrics = jax.jit(training.advance)(state, hypers, 1)
    for left, right in zip(jax.tree.leaves(new.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-6)
    assert metrics.train_loss == pytest.approx(float(loss), rel=1e-6)
    assert metrics.grad_norm == pytest.approx(float(optax.tree.norm(gradient)), rel=1e-5)


def test_rmsprop_is_another_optimizer(programs):
    rmsprop = training_of(optimizer="rmsprop")
    ways = programs[:2], (jax.jit(rmsprop.init), jax.jit(rmsprop.advance))
    ends = [advance(init(hypers_of()), hypers_of(), 3)[0].params for init, advance in ways]
    assert not equal(*ends)


def test_training_loss_counts_weighted_positions_only():
    training = training_of(task="copy@num_recalled=2", gap=4)
    state = jax.jit(training.init)(hypers_of())
    batch = sampled(training, jax.random.key(1), 8)
    masked = batch._replace(weights=batch.recall)
    changed = masked._replace(targets=jnp.where(batch.recall == 1, batch.targets, 0))
    assert train_loss(training, state.params, masked) == train_loss(training, state.params, changed)
    assert train_loss(training, state.params, masked) != train_loss(training, state.params, batch)


def test_copy_reports_recall_and_whole_sequence_apart():
    """A model that always answers blank: nothing on the sequence's blanks, everything at recall."""
    training = training_of("lstm", "copy", gap=30)
    _, _, evaluation = learned(training, hypers_of(), 300)
    assert evaluation.score < 0.3
    assert evaluation.sequence_loss < 0.65, "blanks are learned soon: 0.42 is the memoryless solver's"
    assert evaluation.loss > 1.5, "and hide what is not learned: ln 8 = 2.08 at recall"


def test_dropout_is_for_training_only():
    training = training_of("rnn", num_layers=2, dropout=0.5)
    state = jax.jit(training.init)(hypers_of())
    evaluate = jax.jit(training.evaluate)
    assert equal(evaluate(state), evaluate(state))
    no_dropout = dataclasses.replace(training, model=dataclasses.replace(training.model, dropout=0.0))
    assert equal(jax.jit(no_dropout.evaluate)(state), evaluate(state))
    ends = [jax.jit(each.advance)(state, hypers_of(), 1)[0].params for each in (training, no_dropout)]
    assert not equal(*ends)


def test_overflow_is_noticed_with_its_step(programs):
    init, advance, evaluate = programs
    hypers = hypers_of(learning_rate=3e38)
    state, metrics = advance(init(hypers), hypers, 10)
    assert 1 <= metrics.diverged_step <= 4
    assert not np.isfinite(evaluate(state).loss)


def test_a_lane_that_overflows_leaves_the_others_bitwise_alone(lanes):
    init, advance = lanes

    def run(rates):
        hypers = Hypers(np.arange(3, dtype=np.uint32), np.array(rates, np.float32), np.ones(3, np.float32))
        return advance(init(hypers), hypers, 10)

    good, _ = run([0.01, 0.02, 0.03])
    bad, metrics = run([0.01, 3e38, 0.03])
    assert metrics.diverged_step[1] > 0 and metrics.diverged_step[0] == metrics.diverged_step[2] == 0
    for lane in (0, 2):
        assert equal(jax.tree.map(lambda leaf: leaf[lane], good), jax.tree.map(lambda leaf: leaf[lane], bad))  # noqa: B023


def test_lanes_are_the_runs_alone_to_rounding(lanes, programs):
    hypers = Hypers(np.arange(3, dtype=np.uint32), np.full(3, 0.01, np.float32), np.ones(3, np.float32))
    together, _ = lanes[1](lanes[0](hypers), hypers, 5)
    init, advance, _ = programs
    for lane in range(3):
        alone, _ = advance(init(hypers_of(lane)), hypers_of(lane), 5)
        for left, right in zip(jax.tree.leaves(together.params), jax.tree.leaves(alone.params), strict=True):
            np.testing.assert_allclose(left[lane], right, rtol=0, atol=1e-5)


def test_one_lane_is_not_vmapped(programs):
    training = training_of()
    hypers = jax.tree.map(lambda value: np.array([value]), hypers_of())
    one_lane, _ = jax.jit(lift(training.advance, 1, (0, 0, None)))(jax.jit(lift(training.init, 1))(hypers), hypers, 5)
    init, advance, _ = programs
    alone, _ = advance(init(hypers_of()), hypers_of(), 5)
    assert equal(jax.tree.map(lambda leaf: leaf[0], one_lane), alone)


def test_held_out_set_is_no_runs_training_data():
    training = training_of(gap=20)
    sample = jax.jit(lambda key: training.task.sample(key, training.batch_size))
    held_out = sample(jax.random.fold_in(jax.random.key(0), 1))
    for seed in (0, 1, 2**32 - 1):
        key = jax.jit(training.init)(hypers_of(seed)).key
        for _ in range(20):
            key, batch_key, _ = jax.random.split(key, 3)
            batch = sample(batch_key)
            assert not (np.asarray(batch.inputs).T[:, None] == np.asarray(held_out.inputs).T[None]).all(-1).any()


def test_dropout_and_batch_have_a_key_each():
    training = training_of("rnn", dropout=0.5)
    state = jax.jit(training.init)(hypers_of())
    _, batch_key, dropout_key = jax.random.split(state.key, 3)
    batch = sampled(training, batch_key, training.batch_size)
    loss_of = jax.jit(lambda key: training._train_loss(state.params, batch, (), key)[0])
    losses = [float(loss_of(key)) for key in (dropout_key, batch_key)]
    _, metrics = jax.jit(training.advance)(state, hypers_of(), 1)
    assert metrics.train_loss == pytest.approx(losses[0], rel=1e-6) and abs(losses[0] - losses[1]) > 1e-3


def test_each_loss_of_an_evaluation_is_over_its_own_positions():
    """Against sums by NumPy: the loss where memory is scored, the sequence loss where the task trains."""
    training = training_of(task="copy@num_recalled=2", gap=4)
    state = jax.jit(training.init)(hypers_of())
    batch = jax.tree.map(np.asarray, jax.jit(lambda: training.task.held_out(training.eval_size))())
    logits = np.asarray(jax.jit(lambda inputs: training.trained(state)(inputs))(batch.inputs), np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    losses = -np.take_along_axis(log_probs, batch.targets[..., None], axis=-1)[..., 0]
    found = jax.jit(training.evaluate)(state)
    assert batch.recall.sum() < batch.weights.sum()
    assert found.loss == pytest.approx(losses[batch.recall == 1].mean(), rel=1e-5)
    assert found.sequence_loss == pytest.approx(losses[batch.weights == 1].mean(), rel=1e-5)
