"""Every registered task: what it promises of its sequences, chance level, solver and memoryless loss."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_jax.models.base import Pair
from lstm_jax.tasks import TASKS, make_task
from lstm_jax.tasks.base import elide

SETTINGS = ["gap@filler=blank", "gap@length=30", "gap@num_facts=3,num_fillers=1", "copy@num_recalled=2,num_symbols=3"]
SETTINGS += ["reverse@num_symbols=3"]
OF_TEXT = ("translation", "language")  # which need a corpus: tests/tasks/test_text_tasks.py
# Every registered name, with its defaults: a task that is registered is tested by that.
NAMES = [*(name for name in TASKS if name not in OF_TEXT), *SETTINGS]
GAPS = [1, 2, 7, 20]


@functools.cache
def batch_of(task, size=200, seed=0):
    """As one program: operation by operation, each would be compiled for each shape."""
    return jax.tree.map(np.asarray, jax.jit(lambda key: task.sample(key, size))(jax.random.key(seed)))


def read_by(batch):
    """What the network reads that is asked: of a pair the decoder."""
    return getattr(batch.inputs, "prefix", batch.inputs)


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("name", NAMES)
def test_shapes_ranges_and_masks(name, gap):
    task = make_task(name, gap)
    batch = batch_of(task)
    inputs = jax.tree.leaves(batch.inputs)
    num_targets = len(read_by(batch)) if task.readout == "every" else 1
    assert sum(map(len, inputs)) == task.num_steps and all(each.shape[1:] == (200,) for each in inputs)
    assert batch.targets.shape == batch.weights.shape == batch.recall.shape == (num_targets, 200)
    assert all(each.min() >= 0 and each.max() < task.num_tokens for each in inputs)
    assert batch.targets.min() >= 0 and batch.targets.max() < task.num_classes
    assert set(np.unique(batch.weights)) | set(np.unique(batch.recall)) <= {0.0, 1.0}
    assert batch.recall.sum() > 0
    assert (batch.recall <= batch.weights).all(), "scored where it is not trained"


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("name", NAMES)
def test_scripted_solver_scores_everywhere(name, gap):
    task = make_task(name, gap)
    batch = batch_of(task)
    answers = task.solve(batch.inputs)
    assert answers.shape == batch.targets.shape
    assert (answers == batch.targets).all()


@pytest.mark.parametrize("gap", GAPS)
def test_the_gap_is_the_steps_between_and_the_distance_what_a_cell_has_to_bridge(gap):
    """Found in the sequences: of `gap` the fact and the query, of `copy` each symbol and its answer."""
    batch = batch_of(make_task("gap@length=40", gap), size=1)
    (fact,), query = np.flatnonzero(batch.inputs[:, 0] < 8), len(batch.inputs) - 1
    assert query - fact - 1 == gap == make_task("gap", gap).distance
    task = make_task("copy@num_recalled=3", gap)
    inputs, recall = (each[:, 0] for each in (batch_of(task, size=1).inputs, batch_of(task, size=1).recall))
    symbols, answers = np.flatnonzero(inputs < 8), np.flatnonzero(recall)
    assert answers[0] - symbols[-1] - 1 == gap
    assert set(answers - symbols) == {gap + 3} == {task.distance}


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_a_pure_function_of_its_key(name):
    task = make_task(name, 5)
    one, other = batch_of(task), batch_of(task, seed=1)
    for again in (task.sample(jax.random.key(0), 200), task.sample(jax.random.key(0), 200)):
        assert all((left == right).all() for left, right in zip(*map(jax.tree.leaves, (one, again)), strict=True))
    assert (read_by(one) != read_by(other)).any()


@pytest.mark.parametrize("gap", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_memoryless_loss_is_that_of_the_best_solver_without_memory(name, gap):
    """The entropy of the target given step and current token, estimated on many sequences.

    The plug-in estimate is biased downwards by about (classes - 1) / (2 n) nats a cell: below 0.005 here.
    """
    task = make_task(name, gap)
    batch = batch_of(task, size=20_000)
    num_targets = len(batch.targets)
    current = read_by(batch)[-num_targets:]
    total = 0.0
    for step in range(num_targets):
        for token in np.unique(current[step]):
            chosen = current[step] == token
            counts = np.bincount(batch.targets[step][chosen], weights=batch.weights[step][chosen])
            counts = counts[counts > 0]
            total -= (counts * np.log(counts / counts.sum())).sum()
    assert total / batch.weights.sum() == pytest.approx(task.memoryless_loss, abs=0.005)


@pytest.mark.parametrize("name", NAMES)
def test_chance_is_the_accuracy_of_the_best_constant_answer(name):
    task = make_task(name, 4)
    batch = batch_of(task, size=20_000)
    recalled = batch.targets[batch.recall == 1]
    best = max(np.mean(recalled == answer) for answer in range(task.num_classes))
    assert best == pytest.approx(task.chance, abs=0.015)


@pytest.mark.parametrize("name", ["gap", "gap@filler=blank", "gap@length=30"])
@pytest.mark.parametrize("gap", GAPS)
def test_gap_is_the_number_of_fillers_between_fact_and_query(name, gap):
    task = make_task(name, gap)
    batch = batch_of(task)
    is_fact = batch.inputs < 8
    assert (is_fact.sum(axis=0) == 1).all()
    assert (task.num_steps - 1 - is_fact.argmax(axis=0) - 1 == gap).all()
    assert (batch.inputs[-1] == task.num_tokens - 1).all()
    assert (batch.inputs[:-1] != task.num_tokens - 1).all()


def test_third_arm_varies_position_alone():
    tasks = [make_task("gap@length=30", gap) for gap in GAPS]
    assert {task.num_steps for task in tasks} == {30}
    fillers = [np.sort(batch_of(task).inputs, axis=0) for task in tasks]
    assert all((fillers[0] == other).all() for other in fillers), "the same tokens, at other places"


def test_worked_example_of_gap():
    task = make_task("gap", 5)
    inputs = np.array([3, 9, 15, 8, 12, 9, 16])[:, None]
    assert task.num_steps == 7 and task.num_tokens == 17
    assert task.solve(inputs).tolist() == [[3]]
    assert task.show(inputs[:, 0], np.array([3])).startswith("I grew up in Brazil")
    assert task.show(inputs[:, 0], np.array([3])).endswith("I speak fluent ___ (Portuguese)")


def test_worked_example_of_copy():
    task = make_task("copy@num_recalled=2", 3)
    inputs = np.array([5, 2, 8, 8, 9, 8, 8])
    assert task.num_steps == 7
    assert task.solve(inputs[:, None])[:, 0].tolist() == [8, 8, 8, 8, 8, 5, 2]
    assert task.show(inputs, np.array([8, 8, 8, 8, 8, 5, 2])) == "input  5 2 _ _ : _ _\ntarget _ _ _ _ _ 5 2"


def test_worked_example_of_reverse():
    task = make_task("reverse", 4)
    source = np.array([3, 0, 7, 3, -3])[:, None] + 5  # EOS is 2
    inputs = Pair(source, np.array([1, 8, 12, 5, 8])[:, None])
    assert task.solve(inputs)[:, 0].tolist() == [8, 12, 5, 8, 2]
    assert task.show(Pair(source[:, 0], None), task.solve(inputs)[:, 0]) == "source 3 0 7 3\ntarget 3 7 0 3"


def test_worked_example_of_addition():
    task = make_task("addition", 3)
    source = np.array([2, 1, 0, 10, 3, 9, 9, -3])[:, None] + 5
    assert task.solve(Pair(source, None))[:, 0].tolist() == [10, 5, 5, 6, 2]
    assert task.show(Pair(source[:, 0], None), np.array([10, 5, 5, 6, 2])) == "source 2 1 0 + 3 9 9\ntarget 5 0 0 1"


@pytest.mark.parametrize("name", ["reverse", "addition"])
def test_the_decoder_reads_the_target_one_step_later(name):
    batch = batch_of(make_task(name, 6))
    assert (batch.inputs.prefix[0] == 1).all() and (batch.inputs.prefix[1:] == batch.targets[:-1]).all()
    assert (batch.targets[-1] == 2).all() and (batch.inputs.source[-1] == 2).all()
    assert batch.weights.all() and batch.recall[:-1].all() and not batch.recall[-1].any()


@pytest.mark.parametrize("gap", [1, 30, 1000])
def test_copy_is_the_task_of_arjovsky_et_al(gap):
    task = make_task("copy", gap)
    batch = batch_of(task, size=8)
    assert task.num_steps == gap + 20
    assert (batch.inputs[:10] < 8).all()
    assert (batch.inputs[10 : 10 + gap - 1] == 8).all(), "T - 1 blanks"
    assert (batch.inputs[10 + gap - 1] == 9).all(), "the delimiter"
    assert (batch.inputs[10 + gap :] == 8).all() and len(batch.inputs[10 + gap :]) == 10
    assert (batch.targets[: gap + 10] == 8).all()
    assert (batch.targets[-10:] == batch.inputs[:10]).all()
    assert task.memoryless_loss == pytest.approx(10 * math.log(8) / (gap + 20), rel=1e-12)
    assert batch.recall.sum() == 80 and batch.recall[-10:].all()


@pytest.mark.parametrize(
    ("name", "gap", "message"),
    [
        ("gap", 0, "gap: expected at least 1, got 0"),
        ("gap@length=11", 10, r"length: expected at least gap \+ 2 = 12"),
        ("gap@num_facts=1", 5, "num_facts: expected at least 2"),
        ("gap@num_fillers=0", 5, "num_fillers: expected at least 1"),
        ("gap@filler=noise", 5, "filler: got 'noise'; choose from random, blank"),
        ("copy@num_symbols=1", 5, "num_symbols: expected at least 2"),
        ("copy@num_recalled=0", 5, "num_recalled: expected at least 1"),
        ("gpa", 5, "unknown task 'gpa': did you mean 'gap'"),
        ("gap@gap=3", 5, "gap is set by the experiment's own option"),
        ("own_cells:Leaky", 5, "expected a dataclass derived from lstm_jax.tasks.base.Task"),
    ],
)
def test_errors_name_field_and_what_is_allowed(name, gap, message):
    with pytest.raises(ValueError, match=message):
        make_task(name, gap)


@pytest.mark.parametrize("name", NAMES)
def test_show_is_short_whatever_the_gap(name):
    task = make_task(name if "length" not in name else "gap@length=3000", 2000)
    batch = batch_of(task, size=1)
    inputs, targets = jax.tree.map(lambda leaf: leaf[:, 0], (batch.inputs, batch.targets))
    assert 10 < len(task.show(inputs, targets)) < 600


def test_elide():
    assert elide(["a", "b"]) == "a b"
    assert elide([str(n) for n in range(20)], 4) == "0 1 ... (16 more) ... 18 19"


def test_uniform_facts_and_fillers():
    batch = batch_of(make_task("gap", 9), size=8000)
    facts = np.bincount(batch.targets[0], minlength=8) / 8000
    fillers = np.bincount(batch.inputs[1:-1].ravel(), minlength=17)[8:16] / (9 * 8000)
    # 4.5 standard errors of a fraction of 1/8
    assert np.abs(facts - 1 / 8).max() < 4.5 * math.sqrt(7 / 64 / 8000)
    assert np.abs(fillers - 1 / 8).max() < 4.5 * math.sqrt(7 / 64 / (9 * 8000))
    assert jnp.issubdtype(batch.inputs.dtype, jnp.integer)


def test_worked_example_of_memory_update():
    task = make_task("memory_update@num_keys=2,num_values=4,num_before=2", 3)
    inputs = np.array([1, 5, 3, 10, 6, 10, 11])
    assert (task.num_steps, task.num_tokens, task.num_classes) == (7, 13, 5)
    assert task.solve(inputs[:, None]).tolist() == [[3]]
    kinds = {answer: task.kind(inputs, answer) for answer in range(5)}
    assert kinds == {0: "other", 1: "stale", 2: "other key", 3: "right", 4: "none"}
    cleared = np.array([1, 5, 8, 10, 6, 10, 11])
    assert task.solve(cleared[:, None]).tolist() == [[4]]
    assert {answer: task.kind(cleared, answer) for answer in (1, 2, 4)} == {1: "cleared", 2: "other key", 4: "right"}
    twice = np.array([1, 8, 8, 10, 6, 10, 11])
    assert {answer: task.kind(twice, answer) for answer in (0, 1)} == {0: "other", 1: "cleared"}
    assert task.show(inputs, np.array([3])) == (
        "Asha is in Pune. Ben is in Pune. Asha is in Recife. It rains. Ben is in Kyoto. It rains. "
        "Where is Asha? ___ (Recife)"
    )
    assert task.show(cleared, np.array([4])).endswith(
        "Asha has left. It rains. Ben is in Kyoto. It rains. Where is Asha? ___ (nobody knows)"
    )


@pytest.mark.parametrize("gap", GAPS)
def test_the_asked_key_of_memory_update_changes_last_a_gap_before_the_query(gap):
    task = make_task("memory_update", gap)
    inputs = batch_of(task).inputs
    for column in inputs.T:
        asked = int(column[-1]) - task.num_keys * (task.num_values + 1) - 1
        changes = [
            place for place, token in enumerate(column[:-1]) if (task.change_of(int(token)) or (-1,))[0] == asked
        ]
        assert changes[-1] == task.num_steps - 2 - gap


def test_answers_of_memory_update_are_counted_by_kind():
    """A model that says what was written first to the asked key is right, stale, or has what was cleared."""
    task = make_task("memory_update@num_before=8", 2)

    def model(inputs):
        first = [task.history(column)[int(column[-1]) - 27 - 1] for column in np.asarray(inputs).T]
        return jax.nn.one_hot(jnp.array([held[min(1, len(held) - 1)] for held in first]), task.num_classes)[None]

    counts = {row["kind"]: row["count"] for row in task.answers(model)["kinds"]}
    assert sum(counts.values()) == 2048 and counts["other key"] == counts["other"] == 0
    assert counts["stale"] > counts["none"] > 0 < counts["cleared"]
    guesses = {row["kind"]: row["count_of_guessing"] for row in task.answers(model)["kinds"]}
    assert guesses["right"] == pytest.approx(2048 / 9, abs=60) and sum(guesses.values()) == 2048


@pytest.mark.parametrize("name", ["gap", "memory_update"])
def test_what_is_shown_is_read_as_the_same_sequence(name):
    task = make_task(name, 6)
    batch = batch_of(task)
    for column, answer in zip(batch.inputs.T, batch.targets[0], strict=True):
        read = task.read(task.show(column, np.array([answer])))
        np.testing.assert_array_equal(read.inputs, column)
        assert len(read.words) == len(column)
        words = task.words(column)
        assert len(words) == len(column) and all(words)
        assert task.events(column)[-1] == len(column) - 1


@pytest.mark.parametrize(
    ("name", "sentence", "message"),
    [
        ("gap", "I grew up in Atlantis. I speak fluent", "expected one with a country, one of France"),
        ("gap", "I grew up in Japan we ... (24 more) ... came I speak fluent ___", "24 words are left out"),
        ("memory_update", "Asha is in Pune.", "expected it to end with a question"),
        ("memory_update", "Asha sings. Where is Asha?", "got 'Asha sings'; expected 'Asha is in Paris.'"),
        ("copy", "anything", "Copy reads no sentences"),
    ],
)
def test_a_sentence_that_is_not_understood_is_refused(name, sentence, message):
    with pytest.raises(ValueError, match=message):
        make_task(name, 6).read(sentence)
