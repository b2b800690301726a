"""Verdicts: each rule, on moments that differ in one thing."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest

from lstm_jax.analysis.causes import AtDistance, Moment, cause_of, verdicts

NOISE, BATCH_SIZE = 1 / 128, 32
# A cell that is seen, holds the fact, and has not been trained for long enough.
MOMENT = Moment(
    "lstm", 20, 0, 0.01, 0, 0.3, 0.5, False, 0.95, 0.97, 3.0, 0.2, 0.2, 1.0, 2.0, 9.0, -0.1
)  # fmt: skip
STEPS = (0, 50, 100, 200, 400)
DISTANCES = (0, 1, 2, 4, 8, 16, 20)


def run_of(seed=0, cell="lstm", **changes):
    return [dataclasses.replace(MOMENT, cell=cell, seed=seed, step=step, **changes) for step in STEPS]


def far_of(run, transport=lambda d: 0.9**d, vanishes_at=999, at_once=1.0):
    return [
        AtDistance(
            row.cell, row.gap, row.seed, row.step, distance, 0.0 if distance >= vanishes_at else transport(distance),
            distance >= vanishes_at, at_once if distance == 0 else row.memory, row.quiet_memory, 3.0,
        )
        for row in run
        for distance in DISTANCES
    ]  # fmt: skip


def cause(far=None, is_solved=False, **changes):
    run = run_of(**changes)
    return cause_of(run, far_of(run, **(far or {})), is_solved, NOISE, BATCH_SIZE)


def test_a_run_that_solved_has_no_cause():
    assert cause(is_solved=True, memory=0.1, vanished=True) == "solved"


def test_seen_and_stable_needs_more_updates():
    assert cause() == "needs more updates"
    assert cause(memory=0.3) == "needs more updates", "training sees the fact: it may yet keep the rest out"


def test_what_is_not_there_at_once_never_was():
    assert cause(far={"at_once": 0.6}) == "too small"


def test_a_gradient_that_fades_has_vanished():
    faded = {"transport": lambda d: 0.1**d, "vanishes_at": 8}
    assert cause(far=faded, vanished=True, memory=0.1, quiet_memory=0.2) == "vanished"
    assert cause(far=faded, vanished=True, quiet_memory=1.0) == "vanished"


def test_a_gradient_that_is_cut_where_the_memory_ends_is_forgotten_by_design():
    cut = {"transport": lambda d: 1.0, "vanishes_at": 8}
    assert cause(far=cut, vanished=True, memory=0.1, quiet_memory=0.15) == "forgets by design"
    assert cause(far=cut, vanished=True, memory=0.1, quiet_memory=1.0) == "vanished", "the memory is there"
    at_once = {"transport": lambda d: 1.0, "vanishes_at": 1}
    assert cause(far=at_once, vanished=True, memory=0.1, quiet_memory=0.15) == "forgets by design"


def test_what_is_lost_without_distractors_is_lost_by_design():
    assert cause(memory=0.2, quiet_memory=0.2) == "forgets by design"
    assert cause(memory=0.2, quiet_memory=None) == "forgets by design", "a task without such a form"


def test_no_signal_and_no_memory_among_distractors_is_swamped():
    assert cause(signal=0.5 * NOISE, memory=0.2, quiet_memory=1.0) == "swamped by distractors"


def test_a_transport_that_no_number_of_sequences_makes_up_for_has_vanished():
    """Of 400 updates of 32 sequences the bound is 1 / sqrt(12,800), 0.0088; float32 loses none of these."""
    unseen = {"signal": 0.5 * NOISE, "memory": 0.2, "quiet_memory": 1.0}
    assert cause(**unseen, transport=0.0087) == "vanished"
    assert cause(**unseen, transport=0.0090) == "swamped by distractors"
    assert cause(**unseen | {"quiet_memory": 0.7}, transport=3e-6) == "vanished"
    assert cause(**unseen | {"quiet_memory": 0.2}, transport=3e-6) == "forgets by design"
    assert cause(**unseen | {"memory": 0.95}, transport=3e-6) == "not decided", "the state tells the fact all the same"
    assert cause(**unseen | {"signal": 0.5}, transport=3e-6) == "needs more updates", "it is seen by another way"
    run = [dataclasses.replace(row, transport=3e-6 if row.step < 400 else 0.1) for row in run_of(**unseen)]
    assert cause_of(run, far_of(run), False, NOISE, BATCH_SIZE) == "swamped by distractors", "it comes into reach"
    run = run_of(**unseen, transport=0.0)[:1]
    assert cause_of(run, far_of(run), False, NOISE, BATCH_SIZE) == "swamped by distractors", "before any update"


def test_the_committed_verdicts_on_planted_cells_are_those_of_the_rule():
    """A frozen latch passes keep^gap on, exactly: within the reach of 400 updates of 32 sequences for all of them."""
    with (Path(__file__).parents[2] / "docs" / "results" / "why" / "planted.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["verdict"] == "swamped by distractors"]
    kept = [float(row["cell"].rpartition("keep=")[2]) ** int(row["gap"]) for row in rows]
    assert len(rows) == 14 and min(kept) > (400 * 32) ** -0.5
    assert [float(row["transport"]) for row in rows] == pytest.approx(kept, rel=1e-4)


def test_a_step_is_too_large_where_the_fact_is_seen():
    assert cause(sharpness=80.0) == "step too large"
    assert cause(sharpness=80.0, signal=0.0, memory=0.2, quiet_memory=1.0) == "swamped by distractors"
    assert cause(sharpness=None) == "needs more updates"


def test_no_rule_is_not_decided():
    assert cause(signal=0.0, memory=0.95, quiet_memory=1.0) == "not decided"
    assert cause(signal=0.0, memory=0.2, quiet_memory=0.7) == "not decided"


def test_the_first_half_of_a_run_does_not_decide():
    run = [dataclasses.replace(row, signal=0.5 if row.step < 200 else 0.0, memory=0.2) for row in run_of()]
    assert cause_of(run, far_of(run), False, NOISE, BATCH_SIZE) == "swamped by distractors"


def test_a_run_that_was_seen_once_is_judged_by_that():
    run = run_of()[:1]
    assert cause_of(run, far_of(run), False, NOISE, BATCH_SIZE) == "needs more updates"


@pytest.mark.parametrize(
    ("shares", "expected"),
    [((3, 0), "needs more updates"), ((2, 1), "needs more updates"), ((1, 1), "not decided"), ((0, 3), "solved")],
)
def test_a_cause_is_given_where_two_thirds_have_it(shares, expected):
    runs = [run_of(seed) for seed in range(sum(shares))]
    solved = {("lstm", 20, seed) for seed in range(shares[0], sum(shares))}
    far = [row for run in runs for row in far_of(run)]
    (verdict,) = verdicts([row for run in runs for row in run], far, solved, NOISE, BATCH_SIZE)
    assert (verdict.cause, verdict.num_runs) == (expected, sum(shares))


def test_the_numbers_that_decided_are_those_of_runs_that_stopped():
    runs = [run_of(0, signal=0.1), run_of(1, signal=0.3), run_of(2, signal=0.9)]
    rows = [row for run in runs for row in run] + run_of(0, cell="gru", memory=0.91)
    far = [row for run in runs for row in far_of(run)] + far_of(run_of(0, cell="gru"))
    found = verdicts(rows, far, {("lstm", 20, 2)}, NOISE, BATCH_SIZE)
    assert [(each.cell, each.gap) for each in found] == [("lstm", 20), ("gru", 20)]
    assert found[0].signal == pytest.approx(0.2) and found[0].num_agree == 2 and found[1].memory == 0.91
    (solved,) = verdicts(run_of(0), far_of(run_of(0)), {("lstm", 20, 0)}, NOISE, BATCH_SIZE)
    assert solved.cause == "solved" and solved.signal is None and solved.memory_at_once == 1.0


def test_a_fact_that_one_step_put_out_of_reach_was_lost_by_it():
    """It was seen where the loss was too curved for the rate, and at no moment since."""
    lost = {"signal": 0.0, "vanished": True, "memory": 0.1, "quiet_memory": 0.1}

    def of(first, later=None):
        run = run_of(**lost | (later or {}))
        run[0] = dataclasses.replace(MOMENT, **first)
        return cause_of(run, far_of(run), False, NOISE, BATCH_SIZE)

    assert of({"sharpness": -4000.0}) == of({"sharpness": 4000.0}) == "step too large"
    assert of({"sharpness": 4000.0}, {"signal": 0.5}) == "vanished", "it is seen to the end"
    assert of({"sharpness": 5.0}) == "vanished", "no step was too large"
    assert of({"sharpness": 4000.0, "signal": 0.0}) == "vanished", "it was never seen"
