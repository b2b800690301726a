"""Ties among cells: sets of which no two have horizons that differ significantly."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Sequence

from lstm_jax.analysis.gaps.arms import shorter_of
from lstm_jax.analysis.gaps.contrasts import Contrast


def ties(cells: Sequence[str], contrasts: Sequence[Contrast]) -> list[tuple[str, ...]]:
    """Return the largest sets of cells of which no two are told apart by `contrasts`, each in the order of `cells`.

    Two cells have a set in common exactly where they are not told apart, which need not go on from one to the next: a
    may be tied with b, and b with c, where a and c differ. By insertion and absorption (Piepho 2004, "An algorithm for
    a letter-based representation of all-pairwise comparisons"); cells without a contrast count as tied. Sets are in the
    order of their first cells.
    """
    sets = {frozenset(cells)}
    for pair in contrasts:
        both = {pair.cell_a, pair.cell_b}
        if shorter_of(pair) is None:
            continue
        split = {own - {each} for own in sets if both <= own for each in both}
        found = {own for own in sets if not both <= own} | split
        sets = {own for own in found if not any(own < other for other in found)}
    places = {cell: place for place, cell in enumerate(cells)}
    ordered = sorted(sorted(places[cell] for cell in own) for own in sets)
    return [tuple(cells[place] for place in own) for own in ordered]


def letters(cells: Sequence[str], contrasts: Sequence[Contrast]) -> dict[str, str]:
    """Return the letters of each cell, a for the first of its `ties`: cells that share one are not told apart."""
    named = list(zip(_names(), ties(cells, contrasts), strict=False))
    return {cell: " ".join(name for name, own in named if cell in own) for cell in cells}


def _names() -> Iterator[str]:
    """a, b, ..., z, aa, ab, ..."""
    for length in itertools.count(1):
        yield from map("".join, itertools.product(string.ascii_lowercase, repeat=length))
