"""The report of a sweep over gaps: summary, horizons, also by budget, and contrasts as tables; three figures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich.console

from experiments import beside
from experiments.captions import describe, off_terms, words_of
from experiments.common import Experiment
from lstm_jax.figures.words import Words
from lstm_jax.sweeps.config.options import SweepConfig, known
from lstm_jax.sweeps.store.records import Record, Run, write_rows

if TYPE_CHECKING:
    from lstm_jax.analysis.gaps.contrasts import Contrast

INTERVALS = (
    "Bands: 95% Wilson intervals. Horizon: the {} that half of the runs still learn at that learning rate, with a 95% "
    "interval (from two seeds on)."
)

MOST_PAIRS = 6
"""So many pairs are named in a caption."""
BY_BUDGET = (
    "The same runs, stopped earlier: one that would have been solved by then is. The learning rate is chosen for each "
    "budget among those that report seeds were trained at."
)


def report(
    experiment: Experiment, config: SweepConfig, records: Sequence[Record], console: rich.console.Console
) -> None:
    """Write the tables and figures; print the summary, what the budget does, and where the plot is."""
    from lstm_jax.analysis.gaps.contrasts import Contrast, contrasts
    from lstm_jax.analysis.gaps.horizon import Horizon, horizons
    from lstm_jax.analysis.gaps.summary import Summary, summarise
    from lstm_jax.figures.gaps.gap_length import gap_length_figure
    from lstm_jax.figures.gaps.table import print_summary
    from lstm_jax.figures.learning_curves import learning_curves_figure
    from lstm_jax.figures.style import save

    config, records, notes = beside.join(config, records)
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    out = Path(config.out)
    runs = [record.run for record in records]
    summaries = summarise(runs, config.grid.tuning_seeds)
    if not summaries:
        console.print("no run has ended: there is nothing to summarise")
        return
    found = horizons(runs, config.grid.tuning_seeds)
    write_rows(out / "summary.csv", Summary, summaries)
    write_rows(out / "horizon.csv", Horizon, found)
    pairs = contrasts(runs, config.grid.tuning_seeds)
    write_rows(out / "contrasts.csv", Contrast, pairs)
    words = words_of(config)
    protocol = " ".join([describe(config, records), *(f"{note}." for note in notes)])
    limits = " ".join(filter(None, [alike_pairs(pairs), experiment.limits.get(config.preset)]))
    figure = gap_length_figure(
        summaries,
        found,
        caption=f"{protocol} {INTERVALS.format(words.gap)} {limits}".strip(),
        title=experiment.title,
        words=words,
    )
    plots = save(figure, out / experiment.module.rpartition(".")[2])
    with_curve = [record for record in records if record.curve]  # tables of a sweep need not have theirs
    curves = learning_curves_figure(
        with_curve,
        [row for row in summaries if row.cell in {record.run.cell for record in with_curve}],
        caption=protocol,
        title=f"Learning curves. {experiment.title}",
        tuning_seeds=config.grid.tuning_seeds,
        with_loss=experiment.has_sequence_loss,
        words=words,
    )
    save(curves, out / "learning_curves", ["png"])
    _report_rates(experiment, config, runs, protocol, words)
    print_summary(console, summaries, found, words)
    for line in _report_budgets(experiment, config, records, protocol, words):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for line in off_terms(config, records):
        console.print(f"not on equal terms: {line}")
    console.print(f"plot: {plots[0]}")


def alike_pairs(pairs: Sequence[Contrast]) -> str:
    """Name the pairs of cells whose horizons do not differ significantly, or how many; empty without any."""
    from lstm_jax.analysis.gaps.arms import shorter_of

    alike = [f"{pair.cell_a} and {pair.cell_b}" for pair in pairs if shorter_of(pair) is None]
    if len(alike) > MOST_PAIRS:
        return f"Not told apart: {len(alike)} of {len(pairs)} pairs (contrasts.csv)."
    return f"Not told apart: {', '.join(alike)}." if alike else ""


def _report_rates(
    experiment: Experiment, config: SweepConfig, runs: Sequence[Run], protocol: str, words: Words
) -> None:
    """Write rates.csv, and its figure where several learning rates were tried."""
    from lstm_jax.analysis.gaps.rates import Rate, rates
    from lstm_jax.figures.gaps.rates import rates_figure
    from lstm_jax.figures.style import save

    rows = rates(runs, config.grid.tuning_seeds)
    write_rows(Path(config.out) / "rates.csv", Rate, rows)
    if rows:
        title = f"Learning rates. {experiment.title}"
        save(rates_figure(rows, caption=protocol, title=title, words=words), Path(config.out) / "rates", ["png"])


def _report_budgets(
    experiment: Experiment, config: SweepConfig, records: Sequence[Record], protocol: str, words: Words
) -> list[str]:
    """Write horizon_by_budget.csv, its figure and growth.csv; returns a sentence a cell."""
    from lstm_jax.analysis.gaps.budgets import HorizonAtBudget, horizons_by_budget
    from lstm_jax.analysis.gaps.growth import Growth, growths
    from lstm_jax.figures.gaps.budgets import horizon_by_budget_figure, sentence
    from lstm_jax.figures.style import save
    from lstm_jax.tasks import make_task

    out, training = Path(config.out), config.training
    steps = {"max_steps": training.max_steps, "eval_steps": training.eval_steps}
    rows = horizons_by_budget(
        records,
        config.grid.tuning_seeds,
        **steps,
        batch_size=known(training.batch_size),
        num_steps=lambda gap: make_task(config.task, gap).num_steps,
    )
    grown = growths(records, config.grid.tuning_seeds, **steps)
    write_rows(out / "horizon_by_budget.csv", HorizonAtBudget, rows)
    write_rows(out / "growth.csv", Growth, grown)
    figure = horizon_by_budget_figure(
        rows,
        sorted({record.run.gap for record in records}),
        caption=f"{protocol} {BY_BUDGET}",
        title=f"Horizon against budget. {experiment.title}",
        words=words,
    )
    save(figure, out / "horizon_by_budget", ["png"])
    return [sentence(each, training.max_steps, words) for each in grown]
