"""The learning curves of a page: a median over runs for each cell, thinned to what a screen tells apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.page.findings import PagedSweep, summaries_of
from lstm_jax.figures.learning_curves import Curve, median_curve
from lstm_jax.figures.page.charts import Axis, curves
from lstm_jax.figures.page.content import Section, Table, Value
from lstm_jax.figures.words import Words
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.store.records import Record

_MOST_STEPS = 30
"""Points of a learning curve: more than a screen tells apart make the file large."""


def learning_curves(sweeps: Sequence[PagedSweep], labels: Sequence[str], words: Words) -> list[Section]:
    """Return their section; none where no run has a curve."""
    rows: list[list[Value]] = []
    for sweep in sweeps:
        findings = sweep.findings
        chosen = {(row.cell, row.gap): row.learning_rate for row in findings.summaries}
        rows += _median_curves(sweep, findings.records, chosen, findings.config)
    if not rows:
        return []
    gaps = sorted({int(str(row[1])) for row in rows})
    table = Table("learning_curves", ["cell", "gap", "step", "score", "num_runs"], rows)
    solved_at = [row.solved_at for row in summaries_of(sweeps)]
    share = all(0.0 < each <= 1.0 for each in solved_at) and summaries_of(sweeps)[0].higher_is_better
    y = Axis("score", words.score, ends=(0.0, 1.0) if share else None)
    alt = (
        f"Median {words.score} on held-out sequences over the runs of each {words.cell} against updates; choose the "
        f"{words.gap} under the figure. A run that has ended keeps its last score."
    )
    first = gaps[len(gaps) // 2]
    chart = curves(labels, table, Axis("step", "updates"), y, alt=alt, choose=("gap", gaps, first))
    return [Section("Learning curves", chart=chart)]


def _median_curves(
    sweep: PagedSweep, records: Sequence[Record], chosen: Mapping[tuple[str, int], float], config: SweepConfig
) -> list[list[Value]]:
    found: dict[tuple[str, int], list[Curve]] = {}
    tuning = frozenset(config.grid.tuning_seeds)
    for record in records:
        run = record.run
        if not record.curve or run.seed in tuning or chosen.get((run.cell, run.gap)) != run.learning_rate:
            continue
        steps = np.array([point.step for point in record.curve], dtype=np.float64)
        scores = np.array([point.score for point in record.curve], dtype=np.float64)
        scores[~np.isfinite(scores)] = run.chance
        if run.status == "diverged":
            scores[-1] = run.chance
        found.setdefault((run.cell, run.gap), []).append(Curve(steps, scores, run.status == "solved", False))
    rows: list[list[Value]] = []
    for (cell, gap), own in found.items():
        last = max(float(curve.steps[-1]) for curve in own)
        steps = np.unique(np.concatenate([curve.steps for curve in own]))
        if len(steps) > _MOST_STEPS:
            steps = steps[np.unique(np.linspace(0, len(steps) - 1, _MOST_STEPS).round().astype(int))]
        scores = median_curve(own, np.union1d(steps, [last]))
        for step, score in zip(np.union1d(steps, [last]), scores, strict=True):
            if np.isfinite(score):
                rows.append([sweep.label(cell), gap, int(step), round(float(score), 5), len(own)])
    return rows
