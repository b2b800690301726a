"""The field's classic tasks as their sources define them: worked examples, windows, sizes, grammars and groups."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from batches import batch_of

from lstm_jax.tasks import make_task, walks
from lstm_jax.tasks.state_tracking import products


def solved(task, inputs):
    return task.solve(np.array(inputs)[:, None])[:, 0].tolist()


# Worked examples: those on top of the files


def test_worked_example_of_variable_copy():
    task = make_task("variable_copy@num_recalled=2", 3)
    assert solved(task, [5, 2, 8, 9, 8, 8, 8]) == [8, 8, 8, 8, 5, 2, 8] and task.num_steps == 7


def test_worked_example_of_selective_copy():
    task = make_task("selective_copy@num_recalled=2", 3)
    inputs = [14, 5, 14, 14, 2, 15, 15]
    assert solved(task, inputs)[-2:] == [5, 2] and task.num_steps == 7
    assert task.show(np.array(inputs), np.array([0, 0, 0, 0, 0, 5, 2])) == "input  _ 5 _ _ 2 ? ?\ntarget 5 2"


def test_worked_example_of_temporal_order():
    task = make_task("temporal_order", 10)
    inputs = [6, 1, 3, 2, 2, 0, 5, 3, 4, 7]
    assert solved(task, inputs)[-1] == 2
    assert task.show(np.array(inputs), np.array([2])) == "E Y b a a X d b c B: Y X"


def test_worked_example_of_embedded_reber():
    task = make_task("embedded_reber", 4)
    inputs = [0, 2, 0, 1, 4, 3, 6, 2]
    assert solved(task, inputs)[6] == 2 and task.num_steps == 8
    assert task.show(np.array(inputs), np.array([6])) == "B P B T X S E P E"


def test_worked_examples_of_parity_and_state_tracking():
    assert solved(make_task("parity@asked=every", 5), [1, 0, 1, 1, 0]) == [1, 1, 0, 1, 1]
    assert solved(make_task("parity", 5), [1, 0, 1, 1, 0]) == [1]
    assert solved(make_task("state_tracking@group=z60", 4), [50, 7, 20, 1]) == [50, 57, 17, 18]


def test_worked_example_of_dyck():
    task = make_task("dyck", 4)
    inputs = [3, 5, 13, 1, 0, 8, 9]
    answers = solved(task, inputs)
    assert [answers[step] for step in (1, 4, 5, 6)] == [5, 0, 1, 3]
    assert make_task("dyck@num_kinds=4", 2).show(np.array([3, 1, 5]), np.array([3])) == "> [ ] >".replace(">", "<", 1)


def test_worked_example_of_associative_recall():
    task = make_task("associative_recall@num_symbols=12,length=16", 2)
    inputs = [2, 8, 4, 7, 0, 0, 4, 0, 0, 0, 0, 0, 2, 0, 0, 0]
    answers = solved(task, inputs)
    assert (answers[6], answers[12]) == (7, 8) and task.num_steps == 16
    assert task.show(np.array(inputs), np.array([0] * 6 + [7] + [0] * 9)).startswith("2:8 4:7 | _ _ 4(7) _ _")


def test_worked_example_of_induction_heads():
    task = make_task("induction_heads", 8)
    inputs = [3, 9, 15, 4, 0, 11, 4, 15]
    assert solved(task, inputs) == [4] and task.num_tokens == 16
    assert task.show(np.array(inputs), np.array([4])) == "3 9 * 4 0 11 4 *: 4"
    answers = solved(make_task("induction_heads@variant=olsson", 5), [7, 8, 9, 7, 8])
    assert answers[3:] == [8, 9]


def test_worked_example_of_listops():
    task = make_task("listops", 9)
    inputs = [13, 4, 11, 7, 6, 8, 14, 9, 14]
    assert solved(task, inputs) == [9]
    assert task.show(np.array(inputs), np.array([9])) == "[SM 4 [MIN 7 6 8 ] 9 ] = 9"
    assert solved(task, [15, 15, 12, 3, 1, 6, 8, 14]) == [4], "of 3 and 6, in the middle, 4.5"


# As the sources have them


def test_temporal_order_is_that_of_hochreiter_and_schmidhuber():
    """T = 100: lengths of 100 to 110, and the windows of experiments 6a and 6b."""
    for name, windows in (
        ("temporal_order", [(10, 20), (50, 60)]),
        ("temporal_order@num_symbols=3", [(10, 20), (33, 43), (66, 76)]),
        ("temporal_order@places=pascanu", [(10, 19), (40, 49)]),
    ):
        batch = batch_of(make_task(name, 100), 2000)
        places = np.array([np.flatnonzero(column < 2) for column in batch.inputs.T])
        assert [(low, high) for low, high in zip(places.min(0), places.max(0), strict=True)] == windows
        lengths = np.argmax(batch.inputs == 7, axis=0) + 1
        assert (lengths.min(), lengths.max()) == ((100, 110) if "pascanu" not in name else (100, 100))
        assert (np.argmax(batch.recall, axis=0) == lengths - 1).all() and (batch.inputs[0] == 6).all()


def test_selective_copy_is_that_of_mamba():
    task = make_task("selective_copy", 4096)
    assert (task.num_tokens, task.num_steps) == (16, 4096 + 16 + 16)
    inputs = batch_of(make_task("selective_copy", 20), 2000).inputs
    is_symbol = inputs[:36] < 14
    assert (is_symbol.sum(axis=0) == 16).all() and (inputs[36:] == 15).all()
    # each place equally often: 4.5 standard errors
    assert np.abs(is_symbol.mean(axis=1) - 16 / 36).max() < 4.5 * math.sqrt(16 / 36 * 20 / 36 / 2000)


def test_delays_of_variable_copy_are_uniform():
    batch = batch_of(make_task("variable_copy", 4), 2000)
    counts = np.bincount(np.argmax(batch.inputs == 9, axis=0) - 9, minlength=5)
    assert counts[0] == 0 and np.abs(counts[1:] / 2000 - 0.25).max() < 4.5 * math.sqrt(0.25 * 0.75 / 2000)


def test_associative_recall_is_that_of_zoology():
    """Keys and values differ within a sequence; slots are drawn by the power law, the first query's as it says."""
    task = make_task("associative_recall", 4)
    assert (task.num_steps, task.num_tokens) == (64, 8192)
    batch = batch_of(make_task("associative_recall@num_symbols=512", 4), 2000)
    keys, values = batch.inputs[:8:2], batch.inputs[1:8:2]
    assert keys.min() > 0 and keys.max() < 256 <= values.min()
    for each in (keys, values):
        assert all(len(set(column)) == 4 for column in each.T.tolist())
    first = np.array([np.flatnonzero(column[8:] == column[0])[0] for column in batch.inputs.T]) // 2
    expected = np.arange(1, 29) ** -0.99
    expected /= expected.sum()
    found = np.bincount(first, minlength=28) / 2000
    assert np.abs(found - expected).max() < 4.5 * math.sqrt(0.25 / 2000)
    assert found[0] == pytest.approx(expected[0], abs=0.05)


# Grammars

REBER = {0: "T1P2", 1: "S1X3", 2: "T2V4", 3: "X2S5", 4: "P3V5", 5: "E6"}


def is_reber(text):
    """Whether a string is of Reber's grammar: the arrows of its figure, followed letter by letter."""
    state = 0
    for letter in text[1:]:
        arrows = dict(zip(REBER.get(state, "")[::2], REBER.get(state, "")[1::2], strict=True))
        if letter not in arrows:
            return False
        state = int(arrows[letter])
    return text[0] == "B" and state == 6


@pytest.mark.parametrize("name", ["embedded_reber", "embedded_reber@lengths=drawn"])
def test_strings_are_of_the_embedded_reber_grammar(name):
    batch = batch_of(make_task(name, 7))
    lengths = set()
    for inputs, targets, weights, recall in zip(*(leaf.T for leaf in batch), strict=True):
        text = "".join("BTPSXVE"[token] for token in [inputs[0], *targets[weights > 0]])
        assert text[0] == "B" and text[1] in "TP" and text[-2:] == f"{text[1]}E" and is_reber(text[2:-2])
        assert np.flatnonzero(recall).tolist() == [len(text) - 3]
        assert (targets[:-1] == inputs[1:]).all()
        lengths.add(len(text) - 4)
    assert lengths == ({8} if name == "embedded_reber" else {5, 6, 7, 8})


def test_dyck_strings_are_balanced_and_all_equally_likely():
    """Of three pairs nested to two, four shapes of brackets."""
    task = make_task("dyck@num_kinds=2,max_depth=2", 3)
    shapes = {}
    for column in batch_of(task, 2000).inputs.T:
        shape = "".join(")" if token >= 2 else "(" for token in column)
        shapes[shape] = shapes.get(shape, 0) + 1
    assert shapes.keys() == {"()()(", "()(()", "(())(", "(()()"} and task.num_sequences == 4 * 8
    assert all(abs(count / 2000 - 0.25) < 4.5 * math.sqrt(0.25 * 0.75 / 2000) for count in shapes.values())


def test_brackets_are_scored_where_they_close_one_from_further_back():
    task = make_task("dyck", 7)
    inputs, _, weights, recall = batch_of(task)
    assert (inputs[recall > 0] >= 8).all() and (inputs[(weights > 0) & (recall == 0)] < 8).all()
    assert (weights[:-1] == (inputs[1:] >= 8)).all() and weights[-1].all()


def test_walks_are_counted_as_by_enumeration():
    """Catalan numbers, where the depth has room; the shares of steps are those of all walks."""
    branches = [(1, 5), (2, 0), (3, 1), (4, 2), (5, 3), (5, 5)]
    counts = walks.ways(branches, 8, (0,))
    assert [counts[steps][0] for steps in (0, 2, 4, 6, 8)] == [1, 1, 2, 5, 14]
    shares = walks.shares(branches, walks.chances(branches, counts))
    found = [walk for walk in itertools.product((1, -1), repeat=8) if sum(walk) == 0 and min(np.cumsum(walk)) >= 0]
    for step, depth in itertools.product(range(8), range(5)):
        opening = sum(walk[step] == 1 and sum(walk[:step]) == depth for walk in found)
        assert shares[step, depth, 0] == pytest.approx(opening / 14, abs=1e-6)


# Groups


@pytest.mark.parametrize(
    ("group", "order", "commuting"),
    [("a5", 60, 5 * 60), ("a4z5", 60, 20 * 60), ("z60", 60, 3600), ("s5", 120, 7 * 120)],
)
def test_tables_are_of_the_groups_that_they_say(group, order, commuting):
    """A group of that order, with as many commuting pairs as it has conjugacy classes, times its order."""
    table = products(group)
    assert table.shape == (order, order) and table[0].tolist() == table[:, 0].tolist() == list(range(order))
    assert (np.sort(table, axis=0) == np.arange(order)[:, None]).all()
    assert (np.sort(table, axis=1) == np.arange(order)).all()
    picked = np.random.default_rng(0).integers(order, size=(3, 5000))
    one, two, three = picked
    assert (table[table[one, two], three] == table[one, table[two, three]]).all()
    assert (table == table.T).sum() == commuting


# Expressions


def test_expressions_are_as_long_and_as_deep_as_they_may_be():
    task = make_task("listops@max_depth=4,max_args=4", 30)
    inputs = batch_of(task).inputs
    lengths = (inputs != 15).sum(axis=0)
    assert lengths.min() >= 28 and lengths.max() == 30
    depths = np.cumsum((inputs >= 10) & (inputs < 14), axis=0) - np.cumsum(inputs == 14, axis=0)
    assert depths.max() == 3 and (depths[:-1][inputs[:-1] != 15] > 0).all() and not depths[-1].any()
    for column in inputs.T.tolist():
        sizes = [0]
        for token in column:
            if token < 14:
                sizes[-1] += 1
            if 10 <= token < 14:
                sizes.append(0)
            elif token == 14:
                assert 2 <= sizes.pop() <= 4
        assert sizes == [1]


def test_answers_of_expressions_are_equally_likely():
    counts = np.bincount(batch_of(make_task("listops", 30), 2000).targets[0], minlength=10)
    assert np.abs(counts / 2000 - 0.1).max() < 4.5 * math.sqrt(0.09 / 2000)
