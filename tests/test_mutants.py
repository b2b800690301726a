"""The list of mutants is in order: each fault has its place in the code, and its test is there. They are run apart."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest
from mutants_list import AREAS, MUTANTS

ROOT = Path(__file__).parents[1]


@functools.cache
def text_of(name):
    return (ROOT / name).read_text()


@functools.cache
def functions_of(name):
    return {node.name for node in ast.parse(text_of(name)).body if isinstance(node, ast.FunctionDef)}


def test_there_are_enough_and_of_every_area():
    assert len(MUTANTS) >= 100
    assert {mutant.area for mutant in MUTANTS} == set(AREAS)
    assert min(sum(mutant.area == area for mutant in MUTANTS) for area in AREAS) >= 4
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_has_its_place_and_its_test(mutant):
    assert mutant.file.startswith(("lstm_jax/", "experiments/")) and mutant.new != mutant.old
    assert text_of(mutant.file).count(mutant.old) == 1, "change `old` to what stands there now"
    ast.parse(text_of(mutant.file).replace(mutant.old, mutant.new))
    file, _, function = mutant.test.partition("[")[0].partition("::")
    assert function in functions_of(file), mutant.test
