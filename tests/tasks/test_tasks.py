"""Every registered task: what it promises of its sequences, chance level, solver and memoryless loss."""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import batch_of, held_out, held_out_anew, made, sample, traced
from scipy import stats

from lstm_jax.models.base import Pair
from lstm_jax.tasks import TASKS, make_task
from lstm_jax.tasks.base import elide

SETTINGS = ["gap@filler=blank", "gap@length=30", "gap@num_facts=3,num_fillers=1", "copy@num_recalled=2,num_symbols=3"]
SETTINGS += ["reverse@num_symbols=3"]
OF_DATA = ("translation", "language", "sequential_image")  # each has a file of tests, test_..._task.py or its name
OF_NUMBERS = ("adding",)  # test_number_tasks.py
# Every registered name, with its defaults: a task that is registered is tested by that.
NAMES = [*(name for name in TASKS if name not in (*OF_DATA, *OF_NUMBERS)), *SETTINGS]
# The other definitions under a name, and small vocabularies.
VARIANTS = ["variable_copy@num_recalled=2", "selective_copy@query=delimiter", "temporal_order@places=pascanu"]
VARIANTS += ["temporal_order@num_symbols=3", "temporal_order@num_symbols=4", "embedded_reber@lengths=drawn"]
VARIANTS += ["parity@asked=every", "dyck@num_kinds=2,max_depth=2", "induction_heads@variant=olsson"]
VARIANTS += ["state_tracking@group=z60,asked=last", "state_tracking@group=a4z5", "state_tracking@group=s5"]
VARIANTS += ["associative_recall@num_symbols=64,filler=random", "listops@max_args=3,max_depth=4"]
GAPS = [1, 2, 7, 20]


def long(*cases):
    return [pytest.param(*each, marks=pytest.mark.long) for each in cases]


CASES = [*itertools.product(NAMES, (1, 7)), *((name, 7) for name in VARIANTS)]
CASES += long(*itertools.product(NAMES, (2, 20)), *itertools.product(VARIANTS, (1, 20)))
PLAIN = ["gap", "copy", "reverse", "parity"]
# What 20,000 sequences say of 8,192 answers, or of 120 after 120 tokens, is too little.
ESTIMATED = {
    "associative_recall": "associative_recall@num_symbols=24",
    "associative_recall@num_symbols=64,filler=random": "associative_recall@num_symbols=24,filler=random",
    "listops": "listops@max_args=4,max_depth=3",
    "state_tracking@group=s5": "state_tracking@group=z60",
}


MANY = 20_000


def drawn(name, gap):
    """200 sequences; where others are counted, the first of those, so that one program draws both."""
    task = made(name, gap)
    if gap != 7 or name not in NAMES or name in ESTIMATED:
        return batch_of(task)
    return jax.tree.map(lambda leaf: leaf[:, :200], batch_of(task, MANY))


def read_by(batch):
    """What the network reads that is asked: of a pair the decoder."""
    return getattr(batch.inputs, "prefix", batch.inputs)


@pytest.mark.parametrize(("name", "gap"), CASES)
def test_shapes_ranges_and_masks(name, gap):
    task, batch = made(name, gap), drawn(name, gap)
    inputs = jax.tree.leaves(batch.inputs)
    num_targets = len(read_by(batch)) if task.readout == "every" else 1
    assert sum(map(len, inputs)) == task.num_steps and all(each.shape[1:] == (200,) for each in inputs)
    assert batch.targets.shape == batch.weights.shape == batch.recall.shape == (num_targets, 200)
    assert all(each.min() >= 0 and each.max() < task.num_tokens for each in inputs)
    assert batch.targets.min() >= 0 and batch.targets.max() < task.num_classes
    assert set(np.unique(batch.weights)) | set(np.unique(batch.recall)) <= {0.0, 1.0}
    assert batch.recall.sum() > 0
    assert (batch.recall <= batch.weights).all(), "scored where it is not trained"
    assert task.num_scored is None or (batch.recall.sum(axis=0) == task.num_scored).all()
    assert 0 <= task.distance < task.num_steps


@pytest.mark.parametrize(("name", "gap"), CASES)
def test_scripted_solver_scores_everywhere(name, gap):
    task, batch = made(name, gap), drawn(name, gap)
    answers = task.solve(batch.inputs)
    assert answers.shape == batch.targets.shape
    assert ((answers == batch.targets) | (batch.recall == 0)).all()


@pytest.mark.parametrize("gap", GAPS)
def test_the_gap_is_the_steps_between_and_the_distance_what_a_cell_has_to_bridge(gap):
    """Found in the sequences: of `gap` the fact and the query, of `copy` each symbol and its answer."""
    batch = drawn("gap@length=30", gap)
    (fact,), query = np.flatnonzero(batch.inputs[:, 0] < 8), len(batch.inputs) - 1
    assert query - fact - 1 == gap == make_task("gap", gap).distance
    batch, task = (each("copy@num_recalled=2,num_symbols=3", gap) for each in (drawn, make_task))
    symbols, answers = np.flatnonzero(batch.inputs[:, 0] < 3), np.flatnonzero(batch.recall[:, 0])
    assert answers[0] - symbols[-1] - 1 == gap
    assert set(answers - symbols) == {gap + 2} == {task.distance}


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_a_pure_function_of_its_key(name):
    """The program gives the same twice, and is the same when it is made anew."""
    task, size = made(name, 7), 200 if name in ESTIMATED else MANY
    one, other = batch_of(task, size), batch_of(task, size, seed=1)
    again = sample(task, jax.random.key(0), size)
    assert all((left == right).all() for left, right in zip(*map(jax.tree.leaves, (one, again)), strict=True))
    assert (read_by(one) != read_by(other)).any()
    made_anew, made_again = (traced(lambda key: task.sample(key, size), jax.random.key(0)) for _ in range(2))
    assert made_anew == made_again


@pytest.mark.parametrize("name", [*PLAIN, *long(*((name,) for name in NAMES if name not in PLAIN))])
def test_a_batch_is_the_same_operation_by_operation(name):
    task = made(name, 7)
    one, again = batch_of(task), task.sample(jax.random.key(0), 200)
    assert all((left == right).all() for left, right in zip(*map(jax.tree.leaves, (one, again)), strict=True))


@pytest.mark.parametrize("name", [*NAMES, *long(*((each,) for each in VARIANTS))])
def test_the_held_out_set_is_fixed_solved_and_no_batch(name):
    """No constant answer is above chance by more than what rounding may add, or luck."""
    task = made(name, 7)
    one, again = held_out(task, 200), held_out_anew(task, 200)
    assert all((left == right).all() for left, right in zip(*map(jax.tree.leaves, (one, again)), strict=True))
    made_anew, made_again = (traced(lambda: task.held_out(200)) for _ in range(2))
    assert made_anew == made_again
    assert ((task.solve(one.inputs) == one.targets) | (one.recall == 0)).all()
    assert (read_by(one) != read_by(drawn(name, 7))).any()
    asked, num_asked = one.targets[one.recall == 1], one.recall.sum()
    most = stats.binom.isf(1e-9, int(num_asked), task.chance)
    assert np.bincount(asked).max() <= max(most, task.chance * num_asked + 1)


@pytest.mark.parametrize(
    ("name", "gap"),
    [*((name, 7) for name in NAMES), *long(*itertools.product(NAMES, (1, 4)), *((name, 4) for name in VARIANTS))],
)
def test_memoryless_loss_is_that_of_the_best_solver_without_memory(name, gap):
    """The entropy of the target given step and current token, estimated on many sequences.

    What is counted is too little by about (classes that were seen - 1) / (2 n) nats a cell, which is added (Miller &
    Madow): the rest is below 0.005 here.
    """
    task = made(ESTIMATED.get(name, name), gap)
    batch = batch_of(task, size=MANY if gap > 1 else 10 * MANY)  # of short strings few differ in where they count
    num_targets = len(batch.targets)
    current = read_by(batch)[-num_targets:]
    total = 0.0
    for step in range(num_targets):
        asked = batch.weights[step] > 0
        cells = np.zeros((task.num_tokens, task.num_classes))
        np.add.at(cells, (current[step][asked], batch.targets[step][asked]), batch.weights[step][asked])
        seen = cells > 0
        shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
        total -= (cells[seen] * np.log(shares[seen])).sum()
        total += np.maximum(seen.sum(axis=1) - 1, 0).sum() / 2
    assert total / batch.weights.sum() == pytest.approx(task.memoryless_loss, abs=0.005)


@pytest.mark.parametrize("name", [*NAMES, *long(*((each,) for each in VARIANTS))])
def test_chance_is_the_accuracy_of_the_best_constant_answer(name):
    task = made(ESTIMATED.get(name, name), 7)
    batch = batch_of(task, MANY)
    recalled = batch.targets[batch.recall == 1]
    best = np.bincount(recalled).max() / len(recalled)
    assert best == pytest.approx(task.chance, abs=0.015)


@pytest.mark.parametrize("name", ["gap", "gap@filler=blank", "gap@length=30"])
@pytest.mark.parametrize("gap", GAPS)
def test_gap_is_the_number_of_fillers_between_fact_and_query(name, gap):
    task, batch = make_task(name, gap), drawn(name, gap)
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
    batch = drawn(name, 7)
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
        ("adding", 1, "gap: expected at least 2, got 1"),
        ("adding@markers=hochreiter", 5, "gap: expected at least 6, got 5"),
        ("variable_copy@num_recalled=0", 5, "num_recalled: expected at least 1"),
        ("selective_copy@num_symbols=1", 5, "num_symbols: expected at least 2"),
        ("temporal_order", 9, "gap: expected at least 10, got 9"),
        ("temporal_order@num_symbols=5", 20, "num_symbols: expected 2 to 4, got 5"),
        ("temporal_order@num_symbols=4,places=pascanu", 20, "num_symbols: expected 2 to 3, got 4"),
        ("embedded_reber", 3, "gap: expected at least 4, got 3"),
        ("parity", 1, "gap: expected at least 2, got 1"),
        ("state_tracking@group=a6", 5, "group: got 'a6'; did you mean 'a5'"),
        ("dyck@max_depth=1", 5, "max_depth: expected at least 2, got 1"),
        ("associative_recall@length=10", 3, "length: expected an even number, at least 4 gap = 12, got 10"),
        ("associative_recall@num_symbols=7", 3, r"num_symbols: expected at least 2 gap \+ 2 = 8, got 7"),
        ("induction_heads", 2, "gap: expected at least 3, got 2"),
        ("listops@max_depth=2,max_args=3", 10, "gap: expected at most 7 with max_depth and max_args as they are"),
        ("gpa", 5, "unknown task 'gpa': did you mean 'gap'"),
        ("gap@gap=3", 5, "gap is set by the experiment's own option"),
        ("own_cells:Leaky", 5, "expected a dataclass derived from lstm_jax.tasks.base.Task"),
    ],
)
def test_errors_name_field_and_what_is_allowed(name, gap, message):
    with pytest.raises(ValueError, match=message):
        make_task(name, gap)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "gap@length=30"] + ["gap@length=300"])
def test_show_is_short_whatever_the_gap(name):
    task = make_task(name, 200)
    batch = batch_of(task, size=1)
    inputs, targets = jax.tree.map(lambda leaf: leaf[:, 0], (batch.inputs, batch.targets))
    assert 10 < len(task.show(inputs, targets)) < 600


def test_elide():
    assert elide(["a", "b"]) == "a b"
    assert elide([str(n) for n in range(20)], 4) == "0 1 ... (16 more) ... 18 19"


def test_uniform_facts_and_fillers():
    batch = batch_of(make_task("gap", 7), MANY)
    facts = np.bincount(batch.targets[0], minlength=8) / MANY
    fillers = np.bincount(batch.inputs[1:-1].ravel(), minlength=17)[8:16] / (7 * MANY)
    # 4.5 standard errors of a fraction of 1/8
    assert np.abs(facts - 1 / 8).max() < 4.5 * math.sqrt(7 / 64 / MANY)
    assert np.abs(fillers - 1 / 8).max() < 4.5 * math.sqrt(7 / 64 / (7 * MANY))
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
    inputs = drawn("memory_update", gap).inputs
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
    task, batch = make_task(name, 7), drawn(name, 7)
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
