"""What a smaller budget would have given, from the same runs; whether a horizon still grows."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from simulate import counts, make_run

from benchmarks.growth import GROWN, SIZES, shares
from lstm_jax.analysis.gaps.budgets import at_budget, budgets, horizons_by_budget
from lstm_jax.analysis.gaps.growth import (
    _SLOPES,
    GROWTH_WEIGHTS,
    GROWTHS,
    growth_of,
    growth_posterior,
    growths,
    verdict_of,
)
from lstm_jax.analysis.gaps.horizon import horizons
from lstm_jax.analysis.gaps.posterior import GUESS, LAPSE_WEIGHTS, LAPSES, SPREAD_WEIGHTS, SPREADS
from lstm_jax.sweeps.store.records import CurvePoint, Record, Run

EVAL, MAX = 50, 2000
STEPS = {"max_steps": MAX, "eval_steps": EVAL}


def record_of(run: Run) -> Record:
    """A run with a curve: at chance, and solved from `solved_step` on."""
    solved = run.solved_step or math.inf
    points = [CurvePoint(*values) for values in curve_values(range(EVAL, run.steps + 1, EVAL), solved)]
    return Record(run, tuple(points), "", "")


def curve_values(steps, solved):
    names = [field.name for field in dataclasses.fields(CurvePoint)]
    for step in steps:
        yield [{"step": step, "score": 1.0 if step >= solved else 0.5}.get(name, 0.1) for name in names]


def stopped(solved_step: int, **changes: object) -> Run:
    """A run that stopped as it had solved."""
    run = make_run(status="solved", solved_step=solved_step, steps=solved_step + 2 * EVAL, score=1.0)
    return dataclasses.replace(run, **changes)  # type: ignore[arg-type]


def test_budgets_are_multiples_of_an_evaluation_and_have_half_among_them() -> None:
    assert budgets(5000, 50)[-3:] == [2500, 3500, 5000] and len(budgets(5000, 50)) == 10
    assert budgets(600, 50) == [150, 200, 300, 400, 600]
    for most, each in itertools.product((3, 10, 100, 4321), (1, 3, 50)):
        found = budgets(most, each) if most >= 3 * each else [most]
        assert found == sorted(set(found)) and found[-1] == most and all(b % each == 0 for b in found[:-1])
        assert all(b >= 3 * each for b in found[:-1])


@pytest.mark.parametrize("budget", budgets(MAX, EVAL))
def test_a_run_is_solved_as_soon_as_its_third_evaluation_falls_within_the_budget(budget: int) -> None:
    """Against a loop over the evaluations that it would have had."""
    for solved_step in range(EVAL, MAX - EVAL, EVAL):
        found = at_budget(record_of(stopped(solved_step)), budget, EVAL)
        in_a_row = [step for step in range(EVAL, budget + 1, EVAL) if step >= solved_step]
        assert (found.status == "solved") == (len(in_a_row) >= 3)
        if found.status == "unsolved":
            assert (found.solved_step, found.steps) == (None, min(budget, solved_step + 2 * EVAL))
            last = budget // EVAL * EVAL
            assert found.score == (1.0 if last >= solved_step else 0.5)


def test_a_run_that_overflows_after_the_budget_has_not_yet() -> None:
    run = make_run(status="diverged", steps=730, score=None)
    assert at_budget(record_of(run), 700, EVAL).status == "unsolved"
    assert at_budget(record_of(run), 750, EVAL).status == "diverged"
    assert at_budget(Record(run, (), "", ""), 700, EVAL).score is None, "old tables have no curve"


@pytest.fixture(scope="module")
def sweep() -> list[Record]:
    """The rate 0.01 solves soon and up to gap 10; the rate 0.001 late and up to 40. Report seeds 0 to 3."""
    runs = []
    for seed, gap, (rate, step, reach) in itertools.product(
        (0, 1, 2, 3, 100, 101), (5, 10, 20, 40, 80), ((0.01, 100, 10), (0.001, 1400, 40))
    ):
        place = {"gap": gap, "seed": seed, "learning_rate": rate}
        runs.append(stopped(step, **place) if gap <= reach else make_run(**place))
    return list(map(record_of, runs))


def by_budget(records: list[Record]) -> dict[int, tuple[float, float | None]]:
    rows = horizons_by_budget(records, (100, 101), **STEPS, batch_size=32, num_steps=lambda gap: gap + 2)
    assert all(row.sequences == 32 * row.budget for row in rows)
    assert all(row.flops == 6 * 1000 * row.sequences * (nearest(row.horizon) + 2) for row in rows if row.horizon)
    assert all(row.seconds > 0 for row in rows)
    return {row.budget: (row.learning_rate, row.horizon) for row in rows}


def nearest(horizon: float) -> int:
    return min((5, 10, 20, 40, 80), key=lambda gap: abs(math.log2(gap / horizon)))


def test_the_rate_is_chosen_anew_for_each_budget(sweep: list[Record]) -> None:
    found = by_budget(sweep)
    assert {budget: rate for budget, (rate, _) in found.items()} == {
        budget: 0.01 if budget < 1500 else 0.001 for budget in budgets(MAX, EVAL)
    }
    assert found[MAX][1] == horizons([each.run for each in sweep], (100, 101))[0].horizon
    of_fast = [horizon for budget, (_, horizon) in found.items() if 200 <= budget < 1500]
    assert len(of_fast) > 4 and of_fast == pytest.approx([10 * 2**0.5] * len(of_fast), rel=0.05)
    assert min(found) < 200 and found[min(found)][1] == 5, "the smallest gap, a bound"


def test_a_rate_without_report_seeds_is_not_chosen(sweep: list[Record]) -> None:
    """As after two stages."""
    own = [each for each in sweep if each.run.seed >= 100 or each.run.learning_rate == 0.001]
    assert {budget: rate for budget, (rate, _) in by_budget(own).items()} == dict.fromkeys(budgets(MAX, EVAL), 0.001)


def test_growth_has_the_rate_of_the_whole_budget(sweep: list[Record]) -> None:
    (found,) = growths(sweep, (100, 101), **STEPS)
    assert (found.learning_rate, found.half_budget, found.bound_half) == (0.001, 1000, "<")
    assert found.verdict == "still growing" and found.horizon == pytest.approx(40 * 2**0.5, rel=0.05)
    one_seed = [each for each in sweep if each.run.seed in (0, 100, 101)]
    assert growths(one_seed, (100, 101), **STEPS)[0].verdict == "not known"


def test_growth_beyond_the_gaps_is_not_known() -> None:
    """All solve at half the budget already: the gaps say nothing."""
    records = list(map(record_of, counts({5: 8, 10: 8, 20: 8}, of=8)))
    (found,) = growths(records, (), **STEPS)
    assert found.verdict == "not known" and found.bound == found.bound_half == ">"


def test_the_posterior_of_growth_against_a_sum_over_its_grid() -> None:
    gaps, outcomes = np.array([5, 10, 40]), np.array([[2.0, 1.0, 0.0], [2.0, 0.0, 0.0]])
    finished = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    weights = weights / weights.sum()
    mass = np.zeros(len(GROWTHS))
    for b, (lapse, w_lapse), (spread, w_spread) in itertools.product(
        _SLOPES, zip(LAPSES, LAPSE_WEIGHTS, strict=True), zip(SPREADS, SPREAD_WEIGHTS, strict=True)
    ):
        half = (0.5 - GUESS) / (1 - GUESS - lapse)
        for h, (index, d) in itertools.product(np.arange(np.log2(5) - 1, np.log2(40) + 1.01, 0.25), enumerate(GROWTHS)):
            likelihood = 1.0
            for row, there in zip(outcomes, finished, strict=True):
                over_nodes = 0.0
                for u, weight in zip(nodes, weights, strict=True):
                    product = weight
                    for gap, outcome, is_there in zip(gaps, row, there, strict=True):
                        early, whole = (
                            GUESS + (1 - GUESS - lapse) / (1 + math.exp(-x))
                            for x in (
                                b * (reach - math.log2(gap)) + math.log(half / (1 - half)) + spread * u
                                for reach in (h, h + d)
                            )
                        )
                        late = lapse * (1 - early) + (1 - lapse) * (whole - early)
                        product *= (1 - early - late, late, early)[int(outcome)] if is_there else 1.0
                    over_nodes += product
                likelihood *= over_nodes
            mass[index] += likelihood * w_lapse * w_spread * GROWTH_WEIGHTS[index]
    np.testing.assert_allclose(growth_posterior(gaps, outcomes, finished), mass / mass.sum(), rtol=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_growing_and_settled_are_rarely_said_where_they_are_not(size: str) -> None:
    """In 200 simulations: at most 5% but for their noise (three standard errors, 4.6%). And they are said."""
    found = {grown: shares(size, grown, 200) for grown in GROWN}
    wrong = [found[grown]["still growing"] for grown in GROWN if grown <= 0.25]
    wrong += [found[grown]["settled"] for grown in GROWN if grown >= 0.5]
    assert max(wrong) <= 0.05 + 0.046
    assert found[1.0]["still growing"] > 0.4
    assert found[0.0]["settled"] > 0.8 or size != "20, 7"


def test_a_verdict_is_certain_by_95_percent() -> None:
    assert [verdict_of(*p) for p in ((0.95, 0.0), (0.0, 0.95), (0.94, 0.94))] == [
        "still growing",
        "settled",
        "not known",
    ]
    assert growth_of(np.array([5, 10]), np.full((3, 2), 2.0), np.ones((3, 2)))[0] == pytest.approx(
        GROWTH_WEIGHTS[GROWTHS > 0.25].sum(), abs=0.05
    )
