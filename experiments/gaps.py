"""The report of a sweep over gaps: tables, figures, and a page for a browser with all of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import rich.console

from experiments.captions import off_terms
from experiments.common import Experiment
from experiments.page.findings import Findings, findings_of
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.store.records import Record, write_rows

INTERVALS = (
    "Bands: 95% Wilson intervals. Horizon: the {} that half of the runs still learn at that learning rate, with a 95% "
    "interval (from two seeds on)."
)
BY_BUDGET = (
    "The same runs, stopped earlier: one that would have been solved by then is. The learning rate is chosen for each "
    "budget among those that report seeds were trained at."
)


def report(
    experiment: Experiment, config: SweepConfig, records: Sequence[Record], console: rich.console.Console
) -> None:
    """Write tables, figures and report.html; print the summary, what the budget does, and where the plot is."""
    from experiments.page.gaps import of_gaps
    from experiments.page.read import paged, verdicts_in
    from experiments.page.sections import write
    from lstm_jax.figures.gaps.budgets import sentence
    from lstm_jax.figures.gaps.table import print_summary

    findings = findings_of(experiment, config, records)
    for note in findings.notes:
        print(f"warning: {note}", file=sys.stderr)
    if not findings.summaries:
        console.print("no run has ended: there is nothing to summarise")
        return
    _write_tables(findings)
    plot = _draw(findings)
    out = Path(config.out)
    page = write(of_gaps([paged(findings, out)], verdicts_in(out)), out / "report.html")
    print_summary(console, findings.summaries, findings.horizons, findings.words)
    for grown in findings.growths:
        line = sentence(grown, findings.config.training.max_steps, findings.words)
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for line in off_terms(findings.config, findings.records):
        console.print(f"not on equal terms: {line}")
    console.print(f"plot: {plot}")
    console.print(f"report: {page}")


def _write_tables(findings: Findings) -> None:
    from lstm_jax.analysis.gaps.budgets import HorizonAtBudget
    from lstm_jax.analysis.gaps.contrasts import Contrast
    from lstm_jax.analysis.gaps.growth import Growth
    from lstm_jax.analysis.gaps.horizon import Horizon
    from lstm_jax.analysis.gaps.rates import Rate
    from lstm_jax.analysis.gaps.summary import Summary

    out = Path(findings.config.out)
    write_rows(out / "summary.csv", Summary, findings.summaries)
    write_rows(out / "horizon.csv", Horizon, findings.horizons)
    write_rows(out / "contrasts.csv", Contrast, findings.contrasts)
    write_rows(out / "rates.csv", Rate, findings.rates)
    write_rows(out / "horizon_by_budget.csv", HorizonAtBudget, findings.budgets)
    write_rows(out / "growth.csv", Growth, findings.growths)


def _draw(findings: Findings) -> Path:
    """Draw the figures; returns where the main one is."""
    from lstm_jax.figures.gaps.budgets import horizon_by_budget_figure
    from lstm_jax.figures.gaps.gap_length import gap_length_figure
    from lstm_jax.figures.gaps.rates import rates_figure
    from lstm_jax.figures.learning_curves import learning_curves_figure
    from lstm_jax.figures.style import save

    out, words, protocol = Path(findings.config.out), findings.words, findings.protocol
    title = findings.experiment.title
    figure = gap_length_figure(
        findings.summaries,
        findings.horizons,
        caption=f"{protocol} {INTERVALS.format(words.gap)} {findings.limits}".strip(),
        title=title,
        words=words,
    )
    plots = save(figure, out / findings.experiment.module.rpartition(".")[2])
    with_curve = [record for record in findings.records if record.curve]  # tables of a sweep need not have theirs
    curves = learning_curves_figure(
        with_curve,
        [row for row in findings.summaries if row.cell in {record.run.cell for record in with_curve}],
        caption=protocol,
        title=f"Learning curves. {title}",
        tuning_seeds=findings.config.grid.tuning_seeds,
        with_loss=findings.experiment.has_sequence_loss,
        words=words,
    )
    save(curves, out / "learning_curves", ["png"])
    if findings.rates:
        figure = rates_figure(findings.rates, caption=protocol, title=f"Learning rates. {title}", words=words)
        save(figure, out / "rates", ["png"])
    figure = horizon_by_budget_figure(
        findings.budgets,
        sorted({record.run.gap for record in findings.records}),
        caption=f"{protocol} {BY_BUDGET}",
        title=f"Horizon against budget. {title}",
        words=words,
    )
    save(figure, out / "horizon_by_budget", ["png"])
    return plots[0]
