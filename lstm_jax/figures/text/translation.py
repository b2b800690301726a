"""Translation: scores against source length as a figure, scores as a table, samples that nobody picked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_jax.analysis.text.translation import LengthScore, TranslationScore
from lstm_jax.figures import fonts, style
from lstm_jax.figures.learning_curves import pick_evenly
from lstm_jax.figures.stack import label_axes, stack_axes
from lstm_jax.figures.style import CellStyle
from lstm_jax.text.tokens import detokenize

_SCORE_INCHES = 2.1
_BASELINES = ((0.0, (4.0, 3.0)), (0.0, (1.2, 1.8)), (0.0, (7.0, 2.0, 1.2, 2.0)), (0.0, (2.5, 1.5)))
_NOTES = (
    "Lines are means over runs, bands and bars 95% bootstrap intervals over sentences and, where there are several, "
    "runs; n counts sentences. BLEU here averages those of its four orders that a bin has n-grams of, fewer where "
    "sentences are short: compare it within a bin. chrF measures the same everywhere."
)


def by_length_figure(scores: Sequence[LengthScore], *, caption: str, title: str) -> Figure:
    """Draw BLEU and chrF against source length.

    A curve with its 95% band for each cell, a grey line for each baseline. Points stand beside their bin by at most a
    tenth of the distance between two bins; their heights are exact. Raises ValueError where there is nothing to draw.
    """
    if not scores:
        raise ValueError("expected the scores of at least one system, got none: no run has been reported yet")
    cells = style.in_order(row.system for row in scores if row.kind == "model")
    styles = style.cell_styles(cells)
    lines = {
        name: Line2D([], [], label=fonts.as_written(name), color="0.5", linewidth=1.1, linestyle=_BASELINES[index % 4])
        for index, name in enumerate(style.in_order(row.system for row in scores if row.kind == "baseline"))
    }
    bins = sorted({row.low: row for row in scores}.values(), key=lambda row: row.low)
    stack = stack_axes(
        title,
        f"{caption} {_NOTES}".strip(),
        [*(style.handle(cell, styles[cell]) for cell in cells), *lines.values()],
        [],
        (_SCORE_INCHES, _SCORE_INCHES),
        x_label_inches=0.65,
    )
    for axes, name in zip(stack.axes, ("bleu", "chrf"), strict=True):
        _draw_score(axes, name, scores, [row.low for row in bins], styles, lines)
    stack.axes[0].set_xlim(-0.5, len(bins) - 0.5)
    stack.axes[0].set_xticks(range(len(bins)), [f"{_length(row)}\nn = {row.num_sentences}" for row in bins])
    label_axes(stack, "source length (tokens)", ("BLEU", "chrF"))
    return stack.figure


def _draw_score(
    axes: Axes,
    name: str,
    scores: Sequence[LengthScore],
    lows: Sequence[int],
    styles: Mapping[str, CellStyle],
    lines: Mapping[str, Line2D],
) -> None:
    highest = max(getattr(row, f"{name}_high") for row in scores)
    axes.set_ylim(0.0, min(104.0, max(10.0, 1.06 * highest)))
    axes.locator_params(axis="y", nbins=5)
    for index, system in enumerate([*styles, *lines]):
        rows = sorted((row for row in scores if row.system == system), key=lambda row: row.low)
        x = np.array([lows.index(row.low) for row in rows], dtype=np.float64)
        value, low, high = (np.array([getattr(row, name + end) for row in rows]) for end in ("", "_low", "_high"))
        if system in lines:
            line, dashes = lines[system], _BASELINES[(index - len(styles)) % 4]
            axes.plot(
                x, value, color=line.get_color(), linewidth=line.get_linewidth(), linestyle=dashes,
                marker="." if len(x) == 1 else None, zorder=1.2,
            )  # fmt: skip
            continue
        x = x + style.side_by_side(index, len(styles))
        style.draw_band(axes, x, low, high, styles[system])
        style.draw_curve(axes, x, value, styles[system], index)


def _length(row: LengthScore) -> str:
    if row.high is None:
        return f"{row.low}+"
    return str(row.low) if row.low == row.high else f"{row.low}–{row.high}"


def print_scores(console: Console, scores: Sequence[TranslationScore]) -> None:
    """Print a row per system, the mean over its runs; readable from 80 columns on."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("system", overflow="fold", min_width=18, max_width=18)
    for name in ("runs", "BLEU (95%)", "greedy", "chrF", "exact", "accuracy", "loss"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = [row for row in scores if row.seed is None]
    for row in shown:
        table.add_row(
            Text(row.system),  # as text: a label with brackets is no markup
            str(row.num_runs) if row.kind == "model" else "-",
            f"{row.bleu:.1f} ({row.ci_low:.1f}, {row.ci_high:.1f})",
            _number(row.greedy_bleu, ".1f"),
            f"{row.chrf:.1f}",
            f"{row.exact_match:.1%}",
            _number(row.token_accuracy, ".3f"),
            _number(row.loss, ".3f"),
        )
    console.print(table)
    for row in shown[:1]:
        console.print(f"{row.num_sentences} sentences; {row.signature}", style="dim", markup=False, highlight=False)
        if row.unk_share is not None and row.source_unk_share is not None:
            console.print(
                f"<unk>: {row.unk_share:.1%} of the references' tokens, {row.source_unk_share:.1%} of the sources'",
                style="dim", markup=False, highlight=False,
            )  # fmt: skip


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def samples_markdown(
    rows: Sequence[Mapping[str, Any]],
    scores: Sequence[float],
    write: Callable[[Sequence[str]], str] = detokenize,
    num_samples: int = 20,
) -> str:
    """Return sample translations, from good to bad, as a Markdown table.

    `rows` have "source", "reference" and "output" as tokens joined by spaces, `scores` are those of `sentence_scores`.
    `write` makes text of tokens. The sentences are sorted by score, ties in their own order, and taken at equal
    distances, best and worst included: nobody picks them. `num_samples` is at least 2.
    """
    order = sorted(range(len(rows)), key=lambda index: (-scores[index], index))
    chosen = pick_evenly(order, num_samples)
    lines = [
        f"{len(chosen)} of {len(rows)} held-out sentences: sorted by chrF of the output, taken at equal distances.",
        "",
        "| chrF | source | reference | output |",
        "|---:|---|---|---|",
    ]
    for index in chosen:
        texts = (write(rows[index][name].split()) for name in ("source", "reference", "output"))
        lines.append(f"| {scores[index]:.1f} | " + " | ".join(map(as_markdown, texts)) + " |")
    return "\n".join(lines) + "\n"


def as_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, in one line, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>|~&$#!])", r"\\\1", " ".join(text.split()))
