"""Attention of the decoder: for each word it wrote, its weights on the words of the source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lstm_jax.arrays import Floats
from lstm_jax.figures import fonts, style
from lstm_jax.figures.stack import MARGIN, add_axes, make_page

_CELL, _LEAST_CELL, _LARGEST_CELL = 0.16, 0.145, 0.24  # inches; a tick label is 0.12 high
_WORD_INCHES = 1.05
_BETWEEN, _PAD = 0.22, 0.08
_NOTES = (
    "Columns are the words of the source, rows the words written, from the top. White is a weight of 0, dark blue 1."
)
_LATIN = " Words that the font has no glyphs for are in Latin letters."


class Alignment(NamedTuple):
    """A sentence and its translation as tokens, and the weights [S, T] of S output tokens on T source tokens."""

    source: Sequence[str]
    output: Sequence[str]
    weights: Floats


def alignments_figure(alignments: Sequence[Alignment], *, caption: str, title: str) -> Figure:
    """Draw one heat map for each sentence.

    Two stand side by side where the words of all sources fit so, else one. Of a sentence too long for the page, every
    second word (third, ...) is written. Raises ValueError where there is none, or weights are not [S, T].
    """
    if not alignments:
        raise ValueError("expected at least one alignment, got none")
    for found in alignments:
        expected = (len(found.output), len(found.source))
        if np.shape(found.weights) != expected or 0 in expected:
            raise ValueError(
                f"expected weights [S, T] = {expected}, at least one of each, got {np.shape(found.weights)}"
            )
    words = [word for found in alignments for word in (*found.source, *found.output)]
    notes = _NOTES + (_LATIN if any(fonts.readable(word) != word for word in words) else "")
    beside = max(_longest(found.output) for found in alignments) + _PAD
    num_words = max(len(found.source) for found in alignments)
    room = (style.WIDTH_INCHES - 2 * MARGIN - _BETWEEN) / 2 - beside
    num_columns = 2 if len(alignments) > 1 and room / num_words >= _CELL else 1
    if num_columns == 1:
        room = style.WIDTH_INCHES - 2 * MARGIN - beside

    rows = [alignments[start : start + num_columns] for start in range(0, len(alignments), num_columns)]
    above = [max(_longest(found.source) for found in row) + _PAD for row in rows]
    below = [_CELL * max(len(found.output) for found in row) + _BETWEEN for row in rows]
    page = make_page(title, f"{caption} {notes}".strip(), [], sum(above) + sum(below), above=0.02, below=0.0)
    top = page.top
    for row, words_inches, cells_inches in zip(rows, above, below, strict=True):
        top -= words_inches
        for column, found in enumerate(row):
            left = MARGIN + beside + column * (beside + room + _BETWEEN)
            cell = min(_LARGEST_CELL, room / len(found.source))
            width, height = cell * len(found.source), _CELL * len(found.output)
            axes = add_axes(page.figure, left, top - height, width, height)
            _draw(axes, found, every=math.ceil(_LEAST_CELL / cell))
        top -= cells_inches
    return page.figure


def _draw(axes: Axes, found: Alignment, every: int) -> None:
    num_rows, num_columns = np.shape(found.weights)
    axes.pcolormesh(np.asarray(found.weights), cmap="Blues", vmin=0.0, vmax=1.0, edgecolors="0.92", linewidth=0.3)
    axes.set_ylim(num_rows, 0)
    axes.xaxis.tick_top()
    labels = [fonts.as_written(_short(word)) for word in found.source[::every]]
    axes.set_xticks(np.arange(0, num_columns, every) + 0.5, labels, rotation=90)
    axes.set_yticks(np.arange(num_rows) + 0.5, [fonts.as_written(_short(word)) for word in found.output])
    axes.tick_params(labelsize=style.TICK_POINTS, length=0, pad=2.5)
    for spine in axes.spines.values():
        spine.set_linewidth(0.5)


def _longest(words: Sequence[str]) -> float:
    return max(style.text_width_inches(_short(word), style.TICK_POINTS) for word in words)


def _short(word: str) -> str:
    """Return a word in letters of the font, cut where it is too long to stand beside the axes."""
    word = fonts.readable(word)
    if style.text_width_inches(word, style.TICK_POINTS) <= _WORD_INCHES:
        return word
    return style.wrap(word, _WORD_INCHES - 0.1, style.TICK_POINTS)[0] + "…"
