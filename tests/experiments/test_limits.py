"""What a sweep can't show stands in its caption; and how agreement with a reference is counted."""

from __future__ import annotations

import dataclasses

from benchmarks.agreement import Pair, pairs_of
from experiments.gap_length import EXPERIMENT
from experiments.page.findings import MOST_PAIRS, alike_pairs
from lstm_jax.analysis.gaps.contrasts import Contrast

LONGER = Contrast("gru", "rnn", 4.0, "", 2.0, 8.0, 0.001, None, None, None)
ALIKE = dataclasses.replace(LONGER, cell_b="lstm", ratio=1.1, ci_low=0.6, p_value=0.8)


def test_pairs_that_are_alike_pairs_are_named():
    assert alike_pairs([LONGER]) == ""
    assert alike_pairs([LONGER, ALIKE]) == "Not told apart: gru and lstm."
    many = [ALIKE] * (MOST_PAIRS + 1) + [LONGER]
    assert alike_pairs(many) == f"Not told apart: {MOST_PAIRS + 1} of {MOST_PAIRS + 2} pairs (contrasts.csv)."


def test_small_presets_say_what_they_are():
    assert EXPERIMENT.limits.keys() == {"smoke", "quick"} <= EXPERIMENT.presets.keys()


def test_agreement_is_of_pairs_that_the_reference_tells_apart():
    other_way = dataclasses.replace(LONGER, cell_a="rnn", cell_b="gru", ratio=0.25, ci_low=0.1, ci_high=0.5)
    bound = dataclasses.replace(LONGER, ratio=2.0, bound=">", p_value=0.3)
    says_nothing = dataclasses.replace(LONGER, ratio=None, p_value=1.0)
    against = dataclasses.replace(LONGER, ratio=0.5, ci_low=0.2, ci_high=0.9)
    below = dataclasses.replace(LONGER, ratio=2.0, bound="<", p_value=0.3)  # under 2: on neither side of 1
    found = pairs_of([LONGER, ALIKE], [[other_way, ALIKE], [bound], [says_nothing], [against], [below]])
    assert found == [Pair("gru", "rnn", repetitions=5, same_order=2, told_apart=1, opposite=1)]
    assert pairs_of([LONGER], [[ALIKE]]) == [], "not a pair of the quick preset"
