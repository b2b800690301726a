"""Sweeps over text as pages for a browser: translation by source length, perplexity by context, and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.captions import words_of
from experiments.page import learning
from experiments.page.sections import all_runs, how_made
from lstm_jax.figures.formats import format_bound, format_ends
from lstm_jax.figures.page.charts import Axis, curves
from lstm_jax.figures.page.content import Page, Section, Table, Value
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import Record

if TYPE_CHECKING:
    from lstm_jax.analysis.text.context import ContextPoint, EffectiveContext
    from lstm_jax.analysis.text.translation import LengthScore, TranslationScore

_NUM_SAMPLES = 200


def of_translation(
    config: SweepConfig,
    records: Sequence[Record],
    protocol: str,
    scores: Sequence[TranslationScore],
    lengths: Sequence[LengthScore],
    samples: Sequence[Mapping[str, Any]],
    shown: Sequence[Record],
) -> Page:
    """Return the page of a sweep of translation models; `samples` have source, reference and output.

    `shown` are the records that are reported.
    """
    whole = sorted((row for row in scores if row.seed is None), key=lambda row: -row.bleu)
    said = [f"{row.system} {row.bleu:.1f} ({row.ci_low:.1f} to {row.ci_high:.1f})" for row in whole]
    labels = list(dict.fromkeys(row.system for row in lengths))
    sections = []
    for name, unit in (("bleu", "BLEU"), ("chrf", "chrF")):
        columns = ("system", "low", "high", "num_sentences", name, f"{name}_low", f"{name}_high")
        x = Axis("low", "source length from (tokens)", ticks=sorted({row.low for row in lengths}))
        alt = f"{unit} of each system against the length of the source, with 95% bootstrap intervals."
        table = Table.of(f"lengths_{name}", lengths, columns)
        ends = (f"{name}_low", f"{name}_high")
        chart = curves(labels, table, x, Axis(name, unit), alt=alt, of="system", band=ends)
        sections.append(Section(f"{unit} against source length", chart=chart))
    rows: list[list[Value]] = [
        [*(str(row[name]) for name in ("source", "reference", "output"))] for row in samples[:_NUM_SAMPLES]
    ]
    sections += [
        Section("Scores", tables=[Table.of("scores", scores)]),
        Section("Held-out sentences", tables=[Table("samples", ["source", "reference", "output"], rows)]),
        *_end(config, records, protocol, labels, shown),
    ]
    question = "How does translation degrade with the length of the sentence?"
    answer = f"BLEU on held-out sentences, with 95% intervals: {'; '.join(said)}."
    return Page(question, [answer], [protocol], labels, sections)


def of_language(
    config: SweepConfig,
    records: Sequence[Record],
    protocol: str,
    points: Sequence[ContextPoint],
    effective: Sequence[EffectiveContext],
    unit: str,
    shown: Sequence[Record],
) -> Page:
    """Return the page of a sweep of language models; `shown` are the records that are reported."""
    labels = list(dict.fromkeys(row.cell for row in points))
    said = [
        f"{row.cell} {format_bound(row.bound, row.context)} (95% interval {format_ends(row.ci_low, row.ci_high)})"
        for row in effective
    ]
    cut = [row for row in points if row.context > 0]
    x = Axis("context", f"context ({unit})", scale="log", ticks=sorted({row.context for row in cut}))
    alt = f"Perplexity of each model on held-out text from only the last {unit}, with 95% intervals."
    table = Table.of("context", cut, ("cell", "context", "perplexity", "ci_low", "ci_high", "num_runs"))
    chart = curves(labels, table, x, Axis("perplexity", "perplexity", scale="log"), alt=alt, band=("ci_low", "ci_high"))
    sections = [
        Section("Perplexity against context", chart=chart),
        Section("Effective context", tables=[Table.of("effective_context", effective)]),
        *_end(config, records, protocol, labels, shown),
    ]
    answer = f"The last {unit} that a model uses: {'; '.join(said)}." if said else "No run says how far back it looks."
    return Page("How far back does a language model look?", [answer], [protocol], labels, sections)


def _end(
    config: SweepConfig, records: Sequence[Record], protocol: str, labels: Sequence[str], shown: Sequence[Record]
) -> list[Section]:
    return [
        *learning.section(labels, [(record.run.cell, record) for record in shown], words_of(config)),
        all_runs([record.run for record in records]),
        how_made(config, records, protocol, machines=Directory(config.out).machines),
    ]
