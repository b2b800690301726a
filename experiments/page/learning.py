"""The learning curves of a page: a median over runs for each cell, thinned to what a screen tells apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.page.findings import PagedSweep
from lstm_jax.figures.learning_curves import Curve, curve_of, median_curve, pick_evenly, reported
from lstm_jax.figures.page.charts import Axis, curves
from lstm_jax.figures.page.content import Section, Table, Value
from lstm_jax.figures.words import Words
from lstm_jax.sweeps.store.records import Record

_MOST_STEPS = 30
"""Points of a learning curve: more than a screen tells apart make the file large."""


def of_sweeps(sweeps: Sequence[PagedSweep], labels: Sequence[str], words: Words) -> list[Section]:
    """Return the section of the runs that the sweeps report; none where no run has a curve."""
    found = []
    for sweep in sweeps:
        records = reported(sweep.findings.records, sweep.findings.summaries, sweep.findings.config.grid.tuning_seeds)
        found += [(sweep.label(record.run.cell), record) for record in records]
    return section(labels, found, words)


def section(labels: Sequence[str], records: Sequence[tuple[str, Record]], words: Words) -> list[Section]:
    """Return the section of these records, each with what the page calls its cell; none where none has a curve."""
    groups: dict[tuple[str, int], list[Curve]] = {}
    for label, record in records:
        if record.curve:
            groups.setdefault((label, record.run.gap), []).append(curve_of(record))
    if not groups:
        return []
    gaps = sorted({gap for _, gap in groups})
    rows = [row for (label, gap), own in groups.items() for row in _median(label, gap, own)]
    table = Table("learning_curves", ["cell", "gap", "step", "score", "num_runs"], rows)
    is_share = all(0.0 <= record.run.chance < record.run.solved_at <= 1.0 for _, record in records)
    y = Axis("score", words.score, ends=(0.0, 1.0) if is_share else None)
    choice = f"; choose the {words.gap} under the figure" if len(gaps) > 1 else ""
    alt = (
        f"Median {words.score} on held-out sequences over the runs of each {words.cell} against updates{choice}. A run "
        "that has ended keeps its last score."
    )
    choose = ("gap", gaps, gaps[len(gaps) // 2]) if len(gaps) > 1 else None
    chart = curves(labels, table, Axis("step", "updates"), y, alt=alt, choose=choose)
    return [Section("Learning curves", chart=chart)]


def _median(label: str, gap: int, curves: Sequence[Curve]) -> list[list[Value]]:
    steps = np.array(pick_evenly(np.unique(np.concatenate([curve.steps for curve in curves])).tolist(), _MOST_STEPS))
    scores = median_curve(curves, steps)
    return [
        [label, gap, int(step), round(float(score), 5), len(curves)]
        for step, score in zip(steps, scores, strict=True)
        if np.isfinite(score)
    ]
