"""The summary and the horizons as tables in the terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_jax.analysis.gaps.horizon import Horizon
from lstm_jax.analysis.gaps.summary import Summary
from lstm_jax.figures.formats import format_ends, format_horizon
from lstm_jax.figures.scores import format_score
from lstm_jax.figures.words import GAP_SWEEP, Words

_UNLIKELY = 0.05
# Least widths, which fit the widest entry, so that the tables of all cells line up; 76 columns in all, where axis and
# score have no word of more than seven and eight letters.
_COLUMNS = (
    ("axis", 7),
    ("learning rate", 14),
    ("solved", 8),
    ("diverged", 8),
    ("solve rate (95%)", 17),
    ("score", 8),
    ("updates", 8),
)


def print_summary(
    console: Console,
    summaries: Sequence[Summary],
    horizons: Sequence[Horizon],
    words: Words = GAP_SWEEP,
) -> None:
    """Print a table per cell with a row per gap, then the horizons; readable from 80 columns on.

    A star flags a chosen learning rate at the edge of those tried, where a better one may lie outside. `updates` is the
    Kaplan-Meier median until solved. A cell whose solve rates rise with the gap by more than chance is named.
    """
    flagged = False
    console.print(_table(words, show_header=True))
    for cell, group in itertools.groupby(summaries, key=lambda row: row.cell):
        # As text: a label with brackets is no markup.
        console.print(Text(cell, style="bold"))
        table = _table(words, show_header=False)
        for row in group:
            flagged |= row.at_edge
            table.add_row(
                str(row.gap),
                f"{row.learning_rate:.3g}{'*' if row.at_edge else ' '}",
                f"{row.num_solved}/{row.num_runs}",
                str(row.num_diverged),
                f"{row.solve_rate:.2f} ({row.ci_low:.2f}, {row.ci_high:.2f})",
                "-" if row.score is None else format_score(row.score, row.solved_at),
                "-" if row.median_solved_step is None else f"{row.median_solved_step:.0f}",
            )
        console.print(table)
    if flagged:
        console.print("* at the edge of the learning rates tried: a better one may lie outside", style="dim")
    if horizons:
        rows = [(found.cell, format_horizon(found), format_ends(found.ci_low, found.ci_high)) for found in horizons]
        print_reaches(console, "horizon", rows, words.cell)
    for found in horizons:
        if found.monotone_p < _UNLIKELY:
            p_value = f"p = {found.monotone_p:.3f}"
            note = f"{found.cell}: solve rates rise with the {words.gap} ({p_value}), so no horizon fits them all"
            console.print(Text(note, style="dim"))


def print_reaches(console: Console, name: str, rows: Sequence[tuple[str, str, str]], compared: str) -> None:
    """Print how far each cell, or model, reaches: its label, the value and the interval as text."""
    reach = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    reach.add_column(compared, overflow="fold", max_width=44)
    reach.add_column(name, justify="right", no_wrap=True)
    reach.add_column("95% interval", justify="right", no_wrap=True)
    for cell, value, ends in rows:
        reach.add_row(Text(cell), value, ends)
    console.print(reach)


def _table(words: Words, show_header: bool) -> Table:
    table = Table(box=None, show_header=show_header, pad_edge=False, padding=(0, 1, 0, 0))
    own_names = {"axis": words.gap.replace(" ", "\n"), "score": words.score.replace(" ", "\n")}  # a line for each word
    for column, width in _COLUMNS:
        name = own_names.get(column, column)
        table.add_column(name, justify="right", min_width=max(width, *map(len, name.split("\n"))), no_wrap=True)
    return table
