import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats
from simulate import Floats, make_run

from lstm_jax.analysis.text.context import (
    ContextPoint,
    ContextRuns,
    EffectiveContext,
    bits,
    context_curve,
    effective_contexts,
    falling,
)
from lstm_jax.sweeps.store.records import Run, columns_of

CONTEXTS = (1, 2, 5, 10, 20, 50, 100, 200, 0)
Rows = list[dict[str, Any]]


def rows_of(losses: Mapping[int, Sequence[float]], counts: Sequence[int]) -> Rows:
    """Make the rows of a run from its mean losses in nats by context and block."""
    return [
        {"context": context, "block": block, "loss": loss * count, "count": count}
        for context, of_blocks in losses.items()
        for block, (loss, count) in enumerate(zip(of_blocks, counts, strict=True))
    ]


def exact(curve: Mapping[int, float], cell: str = "lstm", seed: int = 0, num_blocks: int = 3) -> tuple[Run, Rows]:
    """A run without noise: every block has the same loss."""
    losses = {context: [loss] * num_blocks for context, loss in curve.items()}
    return make_run(cell=cell, seed=seed), rows_of(losses, [10] * num_blocks)


def noisy(cell: str = "lstm", seed: int = 0, noise: float = 0.3) -> tuple[Run, Rows]:
    rng = np.random.default_rng([seed, len(cell)])
    counts = [10] * 30 + [7]
    losses = {context: (4 + 1 / (context or 400) + rng.normal(0, noise, 31)).tolist() for context in CONTEXTS}
    return make_run(cell=cell, seed=seed), rows_of(losses, counts)


def test_columns_are_those_of_the_files() -> None:
    assert columns_of(ContextPoint) == [
        *("cell", "context", "perplexity", "ci_low", "ci_high", "num_runs", "unk_share")
    ]
    assert columns_of(EffectiveContext) == ["cell", "context", "ci_low", "ci_high", "bound"]


def test_the_curve_is_a_direct_mean_over_tokens_and_runs() -> None:
    runs = [noisy(seed=2), noisy(seed=0), noisy("gru", seed=0)]
    points = context_curve(runs, num_bootstrap=50)
    assert [(point.cell, point.context) for point in points] == [
        (cell, context) for cell in ("lstm", "gru") for context in CONTEXTS
    ]
    for point in points:
        means = []
        for run, rows in runs:
            own = [row for row in rows if row["context"] == point.context]
            if run.cell == point.cell:
                means.append(sum(row["loss"] for row in own) / sum(row["count"] for row in own))
        assert point.num_runs == len(means)
        assert point.perplexity == pytest.approx(math.exp(sum(means) / len(means)), rel=1e-12)
        assert point.ci_low <= point.perplexity <= point.ci_high


def test_rows_and_runs_in_any_order_give_the_same_numbers() -> None:
    runs = [noisy(cell, seed) for cell in ("lstm", "gru") for seed in (0, 1, 2)]
    rng = random.Random(0)
    shuffled = rng.sample([(run, rng.sample(rows, len(rows))) for run, rows in runs], len(runs))
    for analyse in (context_curve, effective_contexts):
        assert sorted(analyse(shuffled), key=repr) == sorted(analyse(runs), key=repr)
        for cell in ("lstm", "gru"):  # and without the other cell
            alone = analyse([(run, rows) for run, rows in runs if run.cell == cell])
            assert alone == [found for found in analyse(runs) if found.cell == cell]


def test_intervals_are_over_blocks_and_over_runs_that_differ() -> None:
    def width(runs: ContextRuns, **options: float) -> float:
        point = context_curve(runs, **options)[0]
        return math.log(point.ci_high / point.ci_low)

    one = noisy()
    of_first = [row for row in one[1] if row["context"] == 1]
    losses, counts = (np.array([row[name] for row in of_first]) for name in ("loss", "count"))
    # Of a ratio of sums, by the delta method.
    error = np.std(losses - counts * losses.sum() / counts.sum()) * 31**0.5 / counts.sum()
    assert width([one]) == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert width([one], confidence=0.99) > 1.15 * width([one])
    assert width([exact(dict.fromkeys(CONTEXTS, 4.0))]) == 0.0
    apart = [exact(dict.fromkeys(CONTEXTS, 4.0 + offset), seed=seed) for seed, offset in enumerate((0.0, 0.1, 0.3))]
    half = stats.t.ppf(0.975, 2) * np.std([0.0, 0.1, 0.3], ddof=1) / 3**0.5
    assert width(apart) == pytest.approx(2 * half, rel=0.15)


@pytest.mark.parametrize("reference", [(0,), ()])
@pytest.mark.parametrize("crossing", [1.0, 1.5, 2.0, 7.3, 20.0, 64.0, 200.0])
def test_the_effective_context_of_a_known_curve_is_exact(crossing: float, reference: tuple[int, ...]) -> None:
    # Straight in log2(context), through the threshold at the crossing.
    curve = {context: 4.01 + 0.02 * math.log2(crossing / context) for context in CONTEXTS[:-1]}
    curve |= {0: 4.0} if reference else {400: 4.0}
    (found,) = effective_contexts([exact(curve)])
    assert (found.cell, found.bound) == ("lstm", "<" if crossing == 1.0 else "")
    assert found.context == pytest.approx(crossing, rel=1e-9)
    if crossing > 1.0:
        assert (found.ci_low, found.ci_high) == (found.context, found.context)
    (coarse,) = effective_contexts([exact(curve)], threshold_nats=0.03)  # half the context
    assert coarse.context == pytest.approx(max(crossing / 2, 1.0), rel=1e-9)


@pytest.mark.parametrize(
    ("curve", "context", "bound", "ends"),
    [
        ({1: 5.0, 20: 4.5, 200: 4.02, 0: 4.0}, 200.0, ">", (200.0, None)),  # still falling at the largest
        ({1: 5.0, 20: 4.5, 200: 4.0}, 20.0, ">", (20.0, None)),  # whose reference is the largest that was tried
        ({5: 4.009, 20: 4.0, 0: 4.0}, 5.0, "<", (None, 5.0)),  # flat from the first
        ({5: 4.0, 20: 4.0, 0: 4.5}, 5.0, "<", (None, 5.0)),  # less is better
        ({5: 5.0, 0: 4.0}, 5.0, ">", (5.0, None)),
        ({5: 4.0, 0: 4.0}, 5.0, "<", (None, 5.0)),
    ],
)
def test_bounds_are_contexts_that_were_tried_and_never_extrapolated(
    curve: dict[int, float], context: float, bound: str, ends: tuple[float | None, float | None]
) -> None:
    assert effective_contexts([exact(curve)]) == [EffectiveContext("lstm", context, *ends, bound)]


def test_every_interval_holds_its_estimate_within_what_was_tried() -> None:
    bounds = set()
    for seed in range(60):
        (found,) = effective_contexts([noisy(seed=seed, noise=(0.0, 0.1, 1.0, 3.0)[seed % 4])], num_bootstrap=40)
        bounds.add(found.bound)
        assert 1.0 <= (found.ci_low or 1.0) <= found.context <= (found.ci_high or 200.0) <= 200.0
        assert found.bound != ">" or found.ci_high is None
        assert found.bound != "<" or found.ci_low is None
    assert bounds == {"", "<", ">"}


def test_a_loss_that_rises_in_between_is_made_to_fall() -> None:
    # One crossing, of the means of what is out of order: 0.1, 0.005, 0.031 | 0 becomes 0.1, 0.018, 0.018 | 0.
    rising = {1: 4.1, 4: 4.005, 16: 4.031, 64: 4.0, 0: 4.0}
    (found,) = effective_contexts([exact(rising)])
    assert found.context == pytest.approx(16 * 4 ** (0.008 / 0.018), rel=1e-9)


def test_falling_is_the_least_squares_fit() -> None:
    rng = np.random.default_rng(0)
    for number in (1, 2, 5, 8):
        values = rng.normal(size=(20, number))
        # The min-max formula (Robertson et al. 1988, theorem 1.4.4): the least over starts up to a place of the
        # greatest mean over ends from it on.
        expected = [
            [
                min(max(row[first : last + 1].mean() for last in range(place, number)) for first in range(place + 1))
                for place in range(number)
            ]
            for row in values
        ]
        np.testing.assert_allclose(falling(values), expected, rtol=0, atol=1e-12)


def test_cells_may_have_seen_different_contexts() -> None:
    short, long = ({context: 4 + 1 / (context or 400) for context in kept} for kept in ((1, 5, 0), CONTEXTS))
    runs = [exact(short, "transformer"), exact(long, "lstm")]
    points = context_curve(runs)
    assert [point.context for point in points if point.cell == "transformer"] == [1, 5, 0]
    assert [point.context for point in points if point.cell == "lstm"] == list(CONTEXTS)
    assert [(found.cell, found.bound, found.context >= 50) for found in effective_contexts(runs)] == [
        ("transformer", ">", False), ("lstm", "", True),
    ]  # fmt: skip


def test_runs_without_a_finite_loss_are_left_out() -> None:
    good, other = noisy(seed=0), noisy(seed=1)
    nan, none, infinite = ([dict(row) for row in other[1]] for _ in range(3))
    nan[5]["loss"], none[0]["loss"], infinite[7]["loss"] = math.nan, None, math.inf
    absent: list[tuple[Run, Rows]] = [
        (make_run(seed=2), nan),
        (make_run(seed=3, status="diverged"), none),
        (make_run(seed=4), infinite),
        (make_run(seed=5), []),
        (make_run(seed=6, status="failed"), other[1]),
        (make_run("rnn", seed=0), nan),
    ]
    assert context_curve([*absent, good]) == context_curve([good])
    assert effective_contexts([*absent, good]) == effective_contexts([good])
    assert context_curve(absent) == effective_contexts(absent) == []
    diverged = (make_run(seed=1, status="diverged"), other[1])  # with a finite loss: it counts
    assert context_curve([good, diverged])[0].num_runs == 2
    (huge,) = context_curve([exact({5: 1e6})])
    assert math.isfinite(huge.perplexity)
    assert effective_contexts([exact({5: 4.0})]) == []  # one context has no reference


def test_rows_that_are_missing_or_of_another_text_are_an_error() -> None:
    run, rows = noisy()
    with pytest.raises(ValueError, match=r"the same blocks at every context, got others from job \(lstm\)"):
        context_curve([(run, rows[:-1])])
    with pytest.raises(ValueError, match="the same blocks at every context"):
        effective_contexts([(run, [*rows[:-1], {**rows[-1], "count": 9}])])
    others = [{**row, "count": row["count"] + 1} for row in rows], [row for row in rows if row["context"] != 20]
    for other in others:
        with pytest.raises(ValueError, match="the same contexts and blocks"):
            context_curve([(run, rows), (make_run(seed=1), other)])
    with pytest.raises(ValueError, match="several of lstm with seed 0"):
        context_curve([(run, rows), (run, rows)])


def test_bits_of_nats() -> None:
    assert bits(math.log(8)) == pytest.approx(3.0, abs=1e-15)


class Text(NamedTuple):
    """What is simulated: runs, how many blocks of 10 tokens, and standard deviations in nats of a block."""

    num_runs: int = 1
    num_blocks: int = 60
    shared: float = 0.5  # of blocks, whatever the context: text that is hard
    own: float = 0.01  # of blocks and contexts, the same for all runs
    between: float = 0.05  # of runs, in units of what context is worth


def simulate(text: Text, curve: Floats, rng: np.random.Generator) -> list[tuple[Run, Rows]]:
    blocks = rng.normal(0.0, text.shared, text.num_blocks) + rng.normal(0.0, text.own, (9, text.num_blocks))
    runs = []
    for seed in range(text.num_runs):
        worth = (curve - curve[-1]) * (1.0 + rng.normal(0.0, text.between) * (text.num_runs > 1))
        losses = (4.0 + worth)[:, None] + blocks
        rows = rows_of(dict(zip(CONTEXTS, losses.tolist(), strict=True)), [10] * text.num_blocks)
        runs.append((make_run(seed=seed), rows))
    return runs


@pytest.mark.parametrize("text", [Text(), Text(num_runs=3)])
def test_the_interval_covers_a_known_effective_context_in_95_percent_of_200_simulations(text: Text) -> None:
    rng = np.random.default_rng(0)
    inside, closed = [], []
    for index in range(200):
        curve = 4.0 + rng.uniform(0.5, 1.5) / np.array([*CONTEXTS[:-1], 1e9])
        (truth,) = effective_contexts([exact(dict(zip(CONTEXTS, curve.tolist(), strict=True)), num_blocks=1)])
        assert truth.bound == ""
        (found,) = effective_contexts(simulate(text, curve, rng), num_bootstrap=200, seed=index)
        inside.append((found.ci_low or 0.0) <= truth.context <= (found.ci_high or math.inf))
        closed.append(found.ci_low is not None and found.ci_high is not None)
    # What 99% of binomial draws at 95% lie within; with several runs the interval is known to be rather too wide.
    low, high = stats.binom.ppf([0.005, 0.995], 200, 0.95)
    assert low <= sum(inside) <= (high if text.num_runs == 1 else 200)
    assert sum(closed) >= 120  # and not by being open


def test_the_share_of_unknown_words_stands_beside_perplexity() -> None:
    rows = [
        {"context": context, "block": block, "loss": 1.0, "count": 10, "unk": block + 1}
        for context in (0, 1)
        for block in range(3)
    ]
    points = context_curve([(make_run("lstm"), rows)], num_bootstrap=10)
    assert [point.unk_share for point in points] == [6 / 30] * 2
    old = [{name: value for name, value in row.items() if name != "unk"} for row in rows]
    assert {point.unk_share for point in context_curve([(make_run("lstm"), old)], num_bootstrap=10)} == {None}
