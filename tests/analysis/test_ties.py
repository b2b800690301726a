"""Letters of cells that are not told apart, against all sets of cells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lstm_jax.analysis.gaps.contrasts import Contrast
from lstm_jax.analysis.gaps.ties import letters, ties


def contrast(a, b, low=None, high=None, p_value=0.001):
    return Contrast(a, b, None, "", low, high, p_value, None, None, None)


@pytest.mark.parametrize("seed", range(12))
def test_the_sets_are_the_largest_without_a_difference(seed):
    rng = np.random.default_rng(seed)
    cells = [f"cell{number}" for number in range(7)]
    pairs = list(itertools.combinations(cells, 2))
    differ = {frozenset(pair) for pair in pairs if rng.random() < (0.2, 0.5, 0.8)[seed % 3]}
    # A pair that differs does so in one direction or the other; one that does not may have any interval.
    made = [
        contrast(*pair, **({"low": 1.3} if rng.random() < 0.5 else {"high": 0.8}))
        if frozenset(pair) in differ
        else contrast(*pair, low=1.3, p_value=0.2)
        for pair in pairs
    ]
    alike = [
        own
        for size in range(1, len(cells) + 1)
        for own in itertools.combinations(cells, size)
        if not any(frozenset(pair) in differ for pair in itertools.combinations(own, 2))
    ]
    largest = [own for own in alike if not any(set(own) < set(other) for other in alike)]
    found = ties(cells, made)
    assert sorted(found) == sorted(largest) and len(set(found)) == len(found)
    named = letters(cells, made)
    for a, b in pairs:
        assert bool(set(named[a].split()) & set(named[b].split())) == (frozenset((a, b)) not in differ)


def test_letters_begin_with_the_first_cell():
    made = [
        contrast("a", "b", low=0.5, high=2.0, p_value=1.0),
        contrast("a", "c", low=2.0),
        contrast("b", "c", p_value=1.0),
    ]
    assert letters(["a", "b", "c"], made) == {"a": "a", "b": "a b", "c": "b"}
    assert letters(["a"], []) == {"a": "a"}
