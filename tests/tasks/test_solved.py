"""How many held-out sequences it takes that guessing does not count as solved."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy import stats

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.plan import checked_task
from lstm_jax.tasks.gap import Gap
from lstm_jax.tasks.solved import MAX_LUCK, luck

CASES = [("gap", 1), ("gap", 6), ("gap@num_facts=2", 1), ("copy@num_recalled=1", 1), ("reverse", 1), ("addition", 1)]


@pytest.mark.parametrize(("task", "size"), [*CASES, ("own_tasks:Rare", 32)])
def test_too_small_a_held_out_set_is_refused_with_the_least_that_suffices(task, size):
    with pytest.raises(ConfigError, match=f"eval_size: got {size}; expected at least") as caught:
        checked_task(SweepConfig.of(learning_rates=(0.003,), task=task, eval_size=size), 3)
    least = int(re.search(r"at least (\d+)", str(caught.value))[1])
    made = checked_task(SweepConfig.of(learning_rates=(0.003,), task=task, eval_size=least), 3)
    for number, is_luck in ((least, False), (least - 1, True)):
        number *= made.num_scored
        tail = stats.binom.sf(math.ceil(0.99 * number - 1e-9) - 1, number, made.chance)
        assert (tail > MAX_LUCK) == is_luck


@pytest.mark.parametrize(("task", "size"), [("gap", 32), ("gap", 7), ("copy", 1), ("own_tasks:Shuffled", 16)])
def test_what_suffices_passes(task, size):
    checked_task(SweepConfig.of(learning_rates=(0.003,), task=task, eval_size=size), 2)


@pytest.mark.parametrize("chance", [0.0, 0.01, 0.125, 0.5, 0.9, 0.98])
def test_luck_is_the_tail_of_the_binomial(chance):
    numbers = np.arange(1, 600)
    expected = stats.binom.sf(np.ceil(0.99 * numbers - 1e-9) - 1, numbers, chance)
    np.testing.assert_allclose(luck(numbers, chance), expected, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("chance", [0.99, 1.0, -0.1, math.nan])
def test_a_chance_that_solves_is_refused(chance, monkeypatch):
    monkeypatch.setattr(Gap, "chance", chance)
    with pytest.raises(ConfigError, match=r"task: expected a chance level in \[0, 0.99\), got"):
        checked_task(SweepConfig(), 3)
