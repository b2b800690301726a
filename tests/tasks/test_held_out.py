"""The held-out set: balanced answers, sequences that no run trains on, and what is said of tasks that have few."""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import held_out

from lstm_jax.models import Sizes, make_model
from lstm_jax.tasks import make_task
from lstm_jax.tasks.base import balanced, held_out_key
from lstm_jax.training import Hypers, Training, _mean

TASKS = ["gap", "gap@filler=blank", "gap@length=30", "gap@num_facts=3", "copy", "copy@num_recalled=3", "reverse"]
TASKS += ["addition", "own_tasks:Shuffled", "own_tasks:Rare"]


def rows_of(batch):
    """The sequences of a batch as bytes; of pairs their sources."""
    inputs = getattr(batch.inputs, "source", batch.inputs)
    return [row.tobytes() for row in np.asarray(inputs, np.int32).T]


def training_of(name, gap, **options):
    task = make_task(name, gap)
    model = make_model(
        "rnn", Sizes(4, 4), form=task.form, num_tokens=task.num_tokens, num_outputs=task.num_classes,
        readout=task.readout,
    )  # fmt: skip
    return Training(task, model, **{"batch_size": 32, "eval_size": 256} | options)


@pytest.mark.parametrize(
    ("gap", "size"),
    [(1, 100), (5, 100), (5, 256), *(pytest.param(*each, marks=pytest.mark.long) for each in ((5, 32), (20, 64)))],
)
@pytest.mark.parametrize("name", TASKS)
def test_no_constant_answer_scores_more_than_chance(name, gap, size):
    """Within the one answer a position that rounding may add."""
    task = make_task(name, gap)
    batch = held_out(task, size)
    asked = batch.recall == 1
    scores = [((batch.targets == answer) & asked).sum() for answer in range(task.num_classes)]
    num_positions = asked.any(axis=1).sum()
    assert max(scores) <= task.chance * asked.sum() + num_positions
    if name.startswith(("gap", "copy", "reverse")):
        assert max(scores) <= math.ceil(task.chance * asked.sum())
        counts = [[((row == answer) & its).sum() for answer in np.unique(row[its])] for row, its in
                  zip(batch.targets, asked, strict=True) if its.any()]  # fmt: skip
        assert all(max(each) - min(each) <= 1 for each in counts), "each position alone"


def test_the_answers_of_gap_are_equally_often_each_fact():
    counts = np.bincount(held_out(make_task("gap", 40), 256).targets[0], minlength=8)
    assert counts.tolist() == [32] * 8


def test_addition_is_balanced_at_each_place_and_right():
    task = make_task("addition", 3)
    batch = held_out(task, 200)
    assert (task.solve(batch.inputs) == batch.targets).all()
    for place in range(3):
        assert np.bincount(batch.targets[place] - 5, minlength=10).tolist() == [20] * 10
    assert (batch.targets[3] == 5).sum() == 200 - round(200 * 0.999 / 2)


@pytest.mark.parametrize("name", TASKS)
def test_a_held_out_set_is_one_of_the_task_and_always_the_same(name):
    """Operation by operation, twice, and as one program."""
    task = make_task(name, 5)
    one, again, jitted = task.held_out(100), task.held_out(100), held_out(task, 100)
    sample = jax.eval_shape(lambda: task.sample(jax.random.key(0), 100))
    for mine, *others in zip(*map(jax.tree.leaves, (one, again, jitted)), strict=True):
        assert all((np.asarray(mine) == np.asarray(other)).all() for other in others)
    assert [leaf.shape for leaf in jax.tree.leaves(one)] == [leaf.shape for leaf in jax.tree.leaves(sample)]
    if not name.startswith("own_tasks"):
        assert (task.solve(jitted.inputs) == jitted.targets).all()


def test_a_class_that_draws_other_sequences_is_scored_on_those():
    shuffled, rare = (held_out(make_task(f"own_tasks:{name}", 5), 256) for name in ("Shuffled", "Rare"))
    assert (shuffled.targets != make_task("gap", 5).solve(shuffled.inputs)).mean() > 0.5
    assert 0.85 < (rare.targets == 0).mean() <= 0.9125
    assert make_task("own_tasks:Rare", 5).num_sequences is None


def test_balanced_symbols_are_in_random_order():
    rows = np.asarray(balanced(jax.random.key(0), 5, 64, 8))
    assert len({row.tobytes() for row in rows}) == 5 and not (np.diff(rows) == 1).all()
    assert abs(np.corrcoef(rows)[np.triu_indices(5, 1)]).max() < 0.5


@pytest.mark.parametrize(
    ("name", "gap"),
    [
        ("gap@num_facts=3,num_fillers=2", 2),
        ("gap@filler=blank", 9),
        ("gap@num_facts=2,num_fillers=2,length=6", 2),
        ("copy@num_recalled=2,num_symbols=3", 4),
        ("reverse@num_symbols=3", 3),
        ("addition", 1),
        ("variable_copy@num_recalled=2,num_symbols=3", 3),
        ("selective_copy@num_recalled=2,num_symbols=3", 2),
        ("embedded_reber", 9),
        ("parity", 5),
        ("state_tracking@group=z60", 2),
        ("dyck@num_kinds=2,max_depth=2", 3),
        ("induction_heads@num_symbols=3", 5),
        ("induction_heads@num_symbols=3,variant=olsson", 5),
    ],
)
def test_how_many_sequences_there_are(name, gap):
    """All that are drawn in many times as many draws."""
    task = make_task(name, gap)
    drawn = jax.jit(lambda key: task.sample(key, 40 * task.num_sequences))(jax.random.key(0))
    assert len(set(rows_of(drawn))) == task.num_sequences


@pytest.mark.parametrize(("name", "gap"), list(itertools.product(TASKS, [1, 5])))
def test_how_many_answers_are_scored(name, gap):
    task = make_task(name, gap)
    assert task.num_scored is None or (held_out(task, 100).recall.sum(axis=0) == task.num_scored).all()


def key_of(training, seed):
    """The key that a run begins with."""
    hypers = Hypers(np.uint32(seed), np.float32(0.01), np.float32(1.0))
    return jax.jit(lambda hypers: training.init(hypers).key)(hypers)


def replay(training, seed, num_updates):
    """The batches of a run."""
    apart = training._apart()

    def draw(key, step):
        key, batch_key, _ = jax.random.split(key, 3)
        return key, training.train_batch(batch_key, step, 0, apart)

    _, batches = jax.jit(lambda key: jax.lax.scan(draw, key, jnp.arange(num_updates)))(key_of(training, seed))
    batches = jax.tree.map(np.asarray, batches)
    for step in range(num_updates):
        yield jax.tree.map(lambda leaf: leaf[step], batches)  # noqa: B023


@pytest.mark.parametrize(
    ("name", "gap", "is_met"),
    [
        ("gap", 5, True),
        ("reverse", 4, True),
        ("addition", 2, True),
        ("gap", 20, False),
        pytest.param("parity", 13, True, marks=pytest.mark.long),
    ],
)
def test_no_run_trains_on_a_held_out_sequence(name, gap, is_met):
    """All batches of 600 updates of 32, as by the quick preset; what is met is met, and has no weight."""
    training = training_of(name, gap, eval_size=256)
    apart, met, num_left_out = set(rows_of(held_out(training.task, 256))), 0, 0
    if not training.task.keeps_apart(256):
        training = training_of(name, gap, eval_size=64)
        apart = set(rows_of(held_out(training.task, 64)))
    for batch in replay(training, 0, 600):
        weights = batch.weights.any(axis=0)
        is_apart = np.array([row in apart for row in rows_of(batch)])
        assert not (weights & is_apart).any()
        met += is_apart.sum()
        num_left_out += (~weights).sum()
    assert num_left_out == met and (met > 0) == is_met


def test_the_held_out_set_of_a_small_task_is_seen_and_its_share_is_said():
    training = training_of("copy@num_recalled=3", 5)
    apart, seen = set(rows_of(held_out(training.task, 256))), set()
    assert training._apart() is None and training.task.num_sequences == 512
    for batch in replay(training, 0, 60):
        assert batch.weights.all()
        seen |= set(rows_of(batch)) & apart
    assert len(seen) / len(apart) == pytest.approx(training.task.seen_share(256, 60 * 32), abs=0.03)
    assert training.task.seen_share(256, 600 * 32) > 0.9995
    assert make_task("gap@filler=blank", 5).seen_share(256, 1) == pytest.approx(1 / 8)
    assert make_task("gap", 5).seen_share(256, 10**9) == 0.0
    assert make_task("own_tasks:Shuffled", 5).seen_share(256, 100) is None


def test_the_size_of_a_task_that_does_not_say_it_shows_in_the_held_out_set():
    few, many = (training_of(f"own_tasks:{name}", 5, eval_size=64) for name in ("Few@filler=blank", "Few"))
    for training in (few, many):
        apart = np.asarray(training._apart())
        assert training.task.keeps_apart(64) is None
        (batch,) = replay(training, 0, 1)
        assert batch.weights.all()
        assert (apart == 0).all() == (training is few)


def test_the_loss_of_a_batch_without_weight_is_nothing():
    zero = jnp.zeros((3, 2))
    assert float(_mean(zero + 5.0, zero)) == 0.0 and float(jax.grad(lambda x: _mean(x, zero))(zero + 5.0).sum()) == 0.0
    assert float(_mean(zero + 5.0, zero.at[0, 0].set(1.0))) == 5.0


def test_the_key_of_the_held_out_set_is_no_runs_key():
    keys = {jax.random.key_data(held_out_key()).tobytes()}
    keys |= {jax.random.key_data(each).tobytes() for each in jax.random.split(held_out_key(), 3)}
    training = training_of("gap", 2)
    for seed in (0, 1, 2**32 - 1):
        base = jax.random.fold_in(jax.random.key(np.uint32(seed)), 0)
        key = key_of(training, seed)
        for each in (base, *jax.random.split(base), key, *jax.random.split(key, 3)):
            assert jax.random.key_data(each).tobytes() not in keys


def test_no_run_draws_a_batch_from_the_key_of_the_held_out_set(monkeypatch):
    """As the program itself draws them, of 32 seeds: no two batches of one key, and none of that key or one of it."""
    training, seen = training_of("gap", 2, batch_size=2, eval_size=8), []
    plain = Training.train_batch

    def spied(self, key, *arguments, **options):
        jax.debug.callback(lambda data: seen.append(np.asarray(data).tobytes()), jax.random.key_data(key))
        return plain(self, key, *arguments, **options)

    monkeypatch.setattr(Training, "train_batch", spied)
    seeds = np.array([*range(31), 2**32 - 1], np.uint32)
    hypers = Hypers(seeds, np.full(32, 0.01, np.float32), np.ones(32, np.float32))
    states = jax.jit(jax.vmap(training.init))(hypers)
    jax.block_until_ready(jax.jit(jax.vmap(lambda *each: training.advance(*each, 40)))(states, hypers))
    jax.effects_barrier()
    assert len(seen) == len(set(seen)) == 32 * 40
    drawn = jax.random.wrap_key_data(np.frombuffer(b"".join(seen), np.uint32).reshape(-1, 2))
    assert not made_of(drawn) & made_of(held_out_key()[None])


def made_of(keys):
    """Keys, and what a task may make of them: each split in two, in three, and folded with 0 and 1."""

    def each(key):
        folded = [jax.random.fold_in(key, number) for number in (0, 1)]
        return jax.random.key_data(jnp.stack([key, *jax.random.split(key), *jax.random.split(key, 3), *folded]))

    return {row.tobytes() for row in np.asarray(jax.jit(jax.vmap(each))(keys)).reshape(-1, 2)}


@pytest.mark.parametrize(
    ("name", "gap", "is_large"),
    [
        *(("gap", 20, True), ("gap@length=30", 5, True), ("copy", 5, True), ("reverse", 12, True)),
        *(("addition", 8, True), ("own_tasks:Few", 20, True)),
        *(("gap@filler=blank", 5, False), ("copy@num_recalled=3", 5, False), ("reverse", 3, False)),
        *(("addition", 1, False), ("own_tasks:Few@filler=blank", 5, False)),
    ],
)
def test_the_held_out_set_is_no_batch_of_seed_0(name, gap, is_large):
    """As drawn, before any is left out. Of a large task no sequence comes; of a small one not the set as it stands."""
    training = training_of(name, gap, batch_size=100, eval_size=100)
    expected = rows_of(held_out(training.task, 100))

    def draw(key, _):
        key, batch_key, _ = jax.random.split(key, 3)
        return key, training.task.sample(batch_key, 100)

    _, batches = jax.jit(lambda key: jax.lax.scan(draw, key, length=40))(key_of(training, 0))
    batches = jax.tree.map(np.asarray, batches)
    for number in range(40):
        rows = rows_of(jax.tree.map(lambda leaf: leaf[number], batches))  # noqa: B023
        assert not (is_large and set(rows) & set(expected))
        assert sum(map(bytes.__eq__, rows, expected)) < 50
