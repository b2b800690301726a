"""The report of a sweep over gaps: summary, horizons and contrasts as tables, two figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import rich.console

from experiments.captions import describe, off_terms, words_of
from experiments.common import Experiment
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.store.records import Record, write_rows

INTERVALS = (
    "Bands: 95% Wilson intervals. Horizon: the {} that half of the runs still learn at that learning rate, with a 95% "
    "interval (from two seeds on)."
)


def report(
    experiment: Experiment, config: SweepConfig, records: Sequence[Record], console: rich.console.Console
) -> None:
    """Write summary.csv, horizon.csv, contrasts.csv and the figures; print the summary and where the plot is."""
    from lstm_jax.analysis.gaps.contrasts import Contrast, contrasts
    from lstm_jax.analysis.gaps.horizon import Horizon, horizons
    from lstm_jax.analysis.gaps.summary import Summary, summarise
    from lstm_jax.figures.gaps.gap_length import gap_length_figure
    from lstm_jax.figures.gaps.table import print_summary
    from lstm_jax.figures.learning_curves import learning_curves_figure
    from lstm_jax.figures.style import save

    out = Path(config.out)
    runs = [record.run for record in records]
    summaries = summarise(runs, config.grid.tuning_seeds)
    if not summaries:
        console.print("no run has ended: there is nothing to summarise")
        return
    found = horizons(runs, config.grid.tuning_seeds)
    write_rows(out / "summary.csv", Summary, summaries)
    write_rows(out / "horizon.csv", Horizon, found)
    write_rows(out / "contrasts.csv", Contrast, contrasts(runs, config.grid.tuning_seeds))
    words = words_of(config)
    protocol = describe(config, records)
    figure = gap_length_figure(
        summaries,
        found,
        caption=f"{protocol} {INTERVALS.format(words.gap)}",
        title=experiment.title,
        words=words,
    )
    plots = save(figure, out / experiment.module.rpartition(".")[2])
    curves = learning_curves_figure(
        records,
        summaries,
        caption=protocol,
        title=f"Learning curves. {experiment.title}",
        tuning_seeds=config.grid.tuning_seeds,
        with_loss=experiment.has_sequence_loss,
        words=words,
    )
    save(curves, out / "learning_curves", ["png"])
    print_summary(console, summaries, found, words)
    for line in off_terms(config, records):
        console.print(f"not on equal terms: {line}")
    console.print(f"plot: {plots[0]}")
