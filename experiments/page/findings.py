"""All that a report says of a sweep over gaps, computed once: for its tables, its figures and its page."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments import beside
from experiments.captions import describe, words_of
from experiments.common import Experiment
from lstm_jax.figures.words import Words
from lstm_jax.sweeps.config.options import SweepConfig, known
from lstm_jax.sweeps.store.records import Record

if TYPE_CHECKING:
    from lstm_jax.analysis.gaps.budgets import HorizonAtBudget
    from lstm_jax.analysis.gaps.contrasts import Contrast
    from lstm_jax.analysis.gaps.growth import Growth
    from lstm_jax.analysis.gaps.horizon import Horizon
    from lstm_jax.analysis.gaps.rates import Rate
    from lstm_jax.analysis.gaps.summary import Summary

MOST_PAIRS = 6
"""So many pairs are named in a caption."""


class Findings(NamedTuple):
    """A sweep over gaps, with the runs that it stands beside, and what its records say.

    Without a finished run there are no `summaries`, nor anything else.
    """

    experiment: Experiment
    config: SweepConfig
    records: Sequence[Record]
    notes: Sequence[str]
    words: Words
    protocol: str
    summaries: Sequence[Summary]
    horizons: Sequence[Horizon]
    contrasts: Sequence[Contrast]
    rates: Sequence[Rate]
    budgets: Sequence[HorizonAtBudget]
    growths: Sequence[Growth]

    @property
    def limits(self) -> str:
        """What can't be said by these runs: pairs that are not told apart, what the preset is too small for."""
        limit = self.experiment.limits.get(self.config.preset)
        return " ".join(filter(None, [alike_pairs(self.contrasts), limit]))


class PagedSweep(NamedTuple):
    """A sweep on a page: its numbers, what tells its cells from those of other sweeps, and where it lies."""

    findings: Findings
    name: str = ""
    machines: Sequence[str] = ()

    def label(self, cell: str) -> str:
        """What the page calls a cell of this sweep."""
        return f"{cell} ({self.name})" if self.name else cell

    @property
    def labels(self) -> list[str]:
        """What the page calls its cells, those that are still being tuned among them."""
        cells = [*(row.cell for row in self.findings.summaries), *(row.cell for row in self.findings.rates)]
        return [self.label(cell) for cell in dict.fromkeys(cells)]

    def labelled(self, rows: Iterable[Any]) -> list[Any]:
        """The rows, which are dataclass instances, with their cells called so."""
        return [dataclasses.replace(row, cell=self.label(row.cell)) for row in rows]


def findings_of(experiment: Experiment, config: SweepConfig, records: Sequence[Record]) -> Findings:
    """Compute the numbers of a sweep, and of the one that it names as `beside`."""
    from lstm_jax.analysis.gaps.budgets import horizons_by_budget
    from lstm_jax.analysis.gaps.contrasts import contrasts
    from lstm_jax.analysis.gaps.growth import growths
    from lstm_jax.analysis.gaps.horizon import horizons
    from lstm_jax.analysis.gaps.rates import rates
    from lstm_jax.analysis.gaps.summary import summarise, summarise_text
    from lstm_jax.sweeps.stages.choice import least_loss_runs
    from lstm_jax.tasks import corpus_of, make_task

    config, records, notes = beside.join(config, records)
    runs, tuning, training = [record.run for record in records], config.grid.tuning_seeds, config.training
    words = words_of(config)
    if corpus_of(config.task) is None:
        summaries = summarise(runs, tuning)
    else:  # nothing is solved: the loss has chosen, and nothing is left to choose
        summaries = summarise_text(runs, tuning, config.grid.learning_rates)
        runs, tuning = least_loss_runs(runs, tuning, config.grid.learning_rates or ())[0], ()
        records = [record for record in records if record.run in runs]
    if not summaries:
        return Findings(experiment, config, records, notes, words, "", (), (), (), (), (), ())
    steps = {"max_steps": training.max_steps, "eval_steps": training.eval_steps}
    budgets = horizons_by_budget(
        records,
        tuning,
        **steps,
        batch_size=known(training.batch_size),
        num_steps=lambda gap: make_task(config.task, gap).num_steps,
    )
    return Findings(
        experiment,
        config,
        records,
        notes,
        words,
        " ".join([describe(config, records), *(f"{note}." for note in notes)]),
        summaries,
        horizons(runs, tuning),
        contrasts(runs, tuning),
        rates(runs, tuning),
        budgets,
        growths(records, tuning, **steps),
    )


def alike_pairs(pairs: Sequence[Contrast]) -> str:
    """Name the pairs of cells whose horizons do not differ significantly, or how many; empty without any."""
    from lstm_jax.analysis.gaps.arms import shorter_of

    alike = [f"{pair.cell_a} and {pair.cell_b}" for pair in pairs if shorter_of(pair) is None]
    if len(alike) > MOST_PAIRS:
        return f"Not told apart: {len(alike)} of {len(pairs)} pairs (contrasts.csv)."
    return f"Not told apart: {', '.join(alike)}." if alike else ""


def summaries_of(sweeps: Sequence[PagedSweep]) -> list[Summary]:
    """Return the summaries of all these sweeps, each with its cells called as on the page."""
    return [row for sweep in sweeps for row in sweep.labelled(sweep.findings.summaries)]
