"""Sweeps as one page for a browser, report.html: the answer, the figures, the tables, and how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.captions import off_terms
from experiments.page import learning
from experiments.page.findings import Findings, PagedSweep, alike_pairs, summaries_of
from experiments.page.sections import QUESTION, all_runs, as_text, budgets_chart, how_made, room
from lstm_jax.figures.gaps.answer import answer, flags
from lstm_jax.figures.gaps.budgets import sentence
from lstm_jax.figures.page.charts import Axis, curves, intervals
from lstm_jax.figures.page.content import Page, Section, Table, Value
from lstm_jax.figures.words import Words

if TYPE_CHECKING:
    from lstm_jax.analysis.causes import Verdict
    from lstm_jax.analysis.gaps.summary import Summary


def of_gaps(
    sweeps: Sequence[PagedSweep],
    verdicts: Sequence[Verdict] = (),
    progress: Sequence[str] = (),
    refresh_seconds: int | None = None,
) -> Page:
    """Return the page of one sweep over gaps, or of several side by side.

    `progress` says how far a sweep at work is, and `refresh_seconds` when to look again.
    """
    shown = [sweep for sweep in sweeps if sweep.findings.summaries]
    labels = list(dict.fromkeys(label for sweep in shown for label in sweep.labels))
    words = sweeps[0].findings.words
    warned = [line for sweep in shown for line in _flags(sweep)]
    limits = [*progress, *(f"{_named(sweep)}{text}" for sweep in shown if (text := _limits(sweep.findings)))]
    if warned:
        limits.append(f"To distrust: {'; '.join(warned[:2])}{f'; and {len(warned) - 2} more' * (len(warned) > 2)}.")
    sections: list[Section] = []
    if shown:
        sections = [
            *_first(shown, labels, words),
            *_settings(sweeps),
            *_horizons(shown, labels, words),
            *_budgets(shown, labels, words),
            *learning.of_sweeps(shown, labels, words),
            *_rates(shown, labels),
            *_steps(shown, labels, words),
            *_why(verdicts),
            Section("Flags", warned or ["Nothing to distrust was found: no rate at an edge, no run diverged."]),
            *(all_runs([record.run for record in sweep.findings.records], sweep.name) for sweep in shown),
        ]
    for sweep in sweeps:
        findings = sweep.findings
        sections.append(how_made(findings.config, findings.records, findings.protocol, sweep.name, sweep.machines))
    found = [f"{_named(sweep)}{text}" for sweep in shown if (text := answer(sweep.findings.horizons, words))]
    return Page(QUESTION, found or ["No horizon is known yet."], limits, labels, sections, refresh_seconds)


def _limits(findings: Findings) -> str:
    config = findings.config
    seeds, tuning = len(config.grid.seeds), len(config.grid.tuning_seeds)
    size = f"{seeds} seeds at most per point, {tuning} others for tuning, {config.training.max_steps:,} updates."
    return f"{size} {findings.limits}".strip()


def _named(sweep: PagedSweep) -> str:
    return f"{sweep.name}: " if sweep.name else ""


def _flags(sweep: PagedSweep) -> list[str]:
    findings = sweep.findings
    found = flags(findings.summaries, findings.horizons, findings.words)
    lines = [*found, *(f"not on equal terms: {line}" for line in off_terms(findings.config, findings.records))]
    return [f"{_named(sweep)}{line}" for line in [*lines, *findings.notes]]


def _first(sweeps: Sequence[PagedSweep], labels: Sequence[str], words: Words) -> list[Section]:
    rows = summaries_of(sweeps)
    columns = ("cell", "gap", "solve_rate", "ci_low", "ci_high", "num_solved", "num_runs", "score", "chance")
    table = Table.of("summary", rows, columns)
    x = Axis("gap", words.axis, scale="log", ticks=sorted({row.gap for row in rows}))
    y = Axis("solve_rate", "solve rate", ticks=(0.0, 0.25, 0.5, 0.75, 1.0), ends=(0.0, 1.0))
    alt = (
        f"Share of runs that solved the task against the {words.gap}, with 95% Wilson intervals; dashed: one half. "
        f"Points stand side by side, so that none hides another. {_extremes(rows)}"
    )
    chart = curves(labels, table, x, y, alt=alt, band=("ci_low", "ci_high"), level=0.5)
    return [Section(f"Solve rate against {words.gap}", chart=chart)]


def _extremes(rows: Sequence[Summary]) -> str:
    """Say in words where each curve begins and ends."""
    parts = []
    for cell in dict.fromkeys(row.cell for row in rows):
        own = sorted((row for row in rows if row.cell == cell), key=lambda row: row.gap)
        first, last = own[0], own[-1]
        parts.append(
            f"{cell}: {first.num_solved} of {first.num_runs} at {first.gap}, {last.num_solved} of {last.num_runs} at "
            f"{last.gap}"
        )
    return f"{'; '.join(parts)}."


def _settings(sweeps: Sequence[PagedSweep]) -> list[Section]:
    """The settings that differ between several sweeps."""
    if len(sweeps) < 2:
        return []
    flats = [sweep.findings.config.flat for sweep in sweeps]
    rows: list[list[Value]] = [
        [name, *(as_text(flat[name]) for flat in flats)]
        for name in flats[0]
        if name != "out" and len({as_text(flat[name]) for flat in flats}) > 1
    ]
    text = [] if rows else ["No setting differs: the same sweep, made several times."]
    tables = [Table("settings", ["option", *(sweep.name for sweep in sweeps)], rows)] if rows else []
    return [Section("Settings that differ", text, tables=tables)]


def _horizons(sweeps: Sequence[PagedSweep], labels: Sequence[str], words: Words) -> list[Section]:
    horizons = [row for sweep in sweeps for row in sweep.labelled(sweep.findings.horizons)]
    if not horizons:
        return []
    columns = ("cell", "bound", "horizon", "ci_low", "ci_high", "learning_rate", "num_seeds")
    table = Table.of("horizon", horizons, columns)
    gaps = sorted({row.gap for row in summaries_of(sweeps)})
    x = Axis("horizon", f"horizon: {words.axis}", scale="log", ticks=gaps, ends=room(gaps))
    alt = f"Horizon of each {words.cell}, the {words.gap} that half of its runs still learn, with its 95% interval."
    chart = intervals(
        labels, table, x, ("ci_low", "ci_high"), "datum.bound !== ''", alt=f"{alt} A hollow sign is a bound."
    )
    tables = [
        Table.of(f"contrasts of {sweep.name}" if sweep.name else "contrasts", sweep.findings.contrasts)
        for sweep in sweeps
        if sweep.findings.contrasts
    ]
    text = (
        "Below the figure, the horizon of cell_a over that of cell_b for all pairs of a sweep; p-values are corrected "
        f"for all its pairs (Holm). {' '.join(filter(None, (_alike(sweep) for sweep in sweeps)))}"
    )
    return [Section("Horizons and their ratios", [text] if tables else [], chart, tables)]


def _alike(sweep: PagedSweep) -> str:
    text = alike_pairs(sweep.findings.contrasts)
    return f"{_named(sweep)}{text}" if text else ""


def _budgets(sweeps: Sequence[PagedSweep], labels: Sequence[str], words: Words) -> list[Section]:
    rows = [row for sweep in sweeps for row in sweep.labelled(sweep.findings.budgets)]
    if not rows:
        return []
    text = [
        f"{_named(sweep)}{sentence(grown, sweep.findings.config.training.max_steps, words)}."
        for sweep in sweeps
        for grown in sweep.findings.growths
    ]
    gaps = sorted({row.gap for row in summaries_of(sweeps)})
    return [Section("Horizon against budget", text, budgets_chart(labels, rows, gaps, words))]


def _rates(sweeps: Sequence[PagedSweep], labels: Sequence[str]) -> list[Section]:
    rows = [row for sweep in sweeps for row in sweep.labelled(sweep.findings.rates)]
    if not rows:
        return []
    x = Axis("learning_rate", "learning rate", scale="log", ticks=sorted({row.learning_rate for row in rows}))
    y = Axis("solve_rate", "solve rate over all gaps", ticks=(0.0, 0.25, 0.5, 0.75, 1.0), ends=(0.0, 1.0))
    chosen = ", ".join(f"{row.cell} {row.learning_rate:g}" for row in rows if row.chosen)
    alt = f"Share of runs on the tuning seeds that solved, over all gaps, against the learning rate. Chosen: {chosen}."
    return [Section("Learning rates", chart=curves(labels, Table.of("rates", rows), x, y, alt=alt))]


def _steps(sweeps: Sequence[PagedSweep], labels: Sequence[str], words: Words) -> list[Section]:
    rows = [row for row in summaries_of(sweeps) if row.median_solved_step is not None]
    if not rows:
        return []
    table = Table.of("steps_to_solve", rows, ("cell", "gap", "median_solved_step", "num_solved", "num_runs"))
    x = Axis("gap", words.axis, scale="log", ticks=sorted({row.gap for row in rows}))
    y = Axis("median_solved_step", "updates until solved", scale="log")
    alt = (
        f"Median of the updates until a run has solved (Kaplan-Meier), where at least half do, against the {words.gap}."
    )
    return [Section("Steps to solve", chart=curves(labels, table, x, y, alt=alt))]


def _why(verdicts: Sequence[Verdict]) -> list[Section]:
    if not verdicts:
        return []
    lines = []
    for cell in dict.fromkeys(row.cell for row in verdicts):
        causes: dict[str, list[str]] = {}
        for row in sorted((row for row in verdicts if row.cell == cell), key=lambda row: row.gap):
            causes.setdefault(row.cause, []).append(str(row.gap))
        found = [(cause, ", ".join(gaps)) for cause, gaps in causes.items()]
        lines.append(f"{cell}: {'; '.join(f'{cause} at {gaps}' for cause, gaps in found)}.")
    text = [*lines, "What these words mean, and the rules that decide: docs/why.md."]
    return [Section("Why it stops", text, tables=[Table.of("verdicts", verdicts)])]
