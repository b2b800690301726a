"""The answer of a sweep in words: how far back each cell learns to look, with intervals, and what to distrust."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from lstm_jax.analysis.gaps.horizon import Horizon
from lstm_jax.analysis.gaps.summary import Summary
from lstm_jax.figures.formats import format_ends, format_gap
from lstm_jax.figures.words import GAP_SWEEP, Words


def answer(horizons: Sequence[Horizon], words: Words = GAP_SWEEP) -> str:
    """Say how far each cell looks back, the farthest first, each with its 95% interval.

    Cells beyond the largest measured gap come first, those below the smallest last, those of which the runs do not say
    at the end.
    """
    unit = words.axis.partition(" (")[2].rstrip(")") or words.gaps
    beyond = [found for found in horizons if found.bound == ">"]
    measured = sorted(
        (found for found in horizons if found.bound == "" and found.horizon is not None),
        key=lambda found: -(found.horizon or 0.0),
    )
    below = [found for found in horizons if found.bound == "<"]
    unknown = [found for found in horizons if found.horizon is None]
    sentences = []
    if beyond:
        verb = "learns" if len(beyond) == 1 else "learn"
        sentences.append(f"{_names(beyond)} {verb} to look back more than {_at(beyond)} {unit}, the most measured.")
    for index, found in enumerate(measured):
        what = f" {unit} back (95% interval {_ends(found)})" if index == 0 else f" ({_ends(found)})"
        verb = " learns to look " if index == 0 else ": "
        sentences.append(f"{found.cell}{verb}{format_gap(found.horizon or 0.0)}{what}.")
    if below:
        sentences.append(f"{_names(below)}: less than {_at(below)}, the least measured.")
    if unknown:
        sentences.append(f"{_names(unknown)}: these runs do not say.")
    return " ".join(sentences)


def flags(summaries: Sequence[Summary], horizons: Sequence[Horizon], words: Words = GAP_SWEEP) -> list[str]:
    """Name what to distrust: rates at the edge of those tried, diverged runs, solve rates that rise with the gap."""
    lines = []
    for cell, group in itertools.groupby(summaries, key=lambda row: row.cell):
        rows = list(group)
        if rows[0].at_edge:
            lines.append(
                f"{cell}: its learning rate, {rows[0].learning_rate:g}, is at the edge of those tried; a better one "
                "may lie outside"
            )
        diverged = [row for row in rows if row.num_diverged]
        if diverged:
            at = ", ".join(f"{row.gap} ({row.num_diverged} of {row.num_runs})" for row in diverged)
            lines.append(f"{cell}: runs diverged at {words.gap if len(diverged) == 1 else words.gaps} {at}")
    lines += [
        f"{found.cell}: solve rates rise with the {words.gap} (p = {found.monotone_p:.3f}), so no horizon fits them all"
        for found in horizons
        if found.monotone_p < 0.05
    ]
    return lines


def _names(found: Sequence[Horizon]) -> str:
    cells = [each.cell for each in found]
    return cells[0] if len(cells) == 1 else f"{', '.join(cells[:-1])} and {cells[-1]}"


def _at(found: Sequence[Horizon]) -> str:
    return " or ".join(dict.fromkeys(format_gap(each.horizon or 0.0) for each in found))


def _ends(found: Horizon) -> str:
    return format_ends(found.ci_low, found.ci_high)
