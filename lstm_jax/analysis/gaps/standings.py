"""Cells on all tasks of a suite: how often each reaches significantly further than another, and less far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lstm_jax.analysis.gaps.arms import Place, shorter_of
from lstm_jax.analysis.gaps.contrasts import Contrast


class Standing(NamedTuple):
    """A cell on all tasks: in how many pairs it reaches significantly further, or less far, and its places by task."""

    cell: str
    further: int
    less_far: int
    places: Mapping[str, int]


def standings(places: Sequence[Place], contrasts: Sequence[Contrast]) -> list[Standing]:
    """Return the standing of each cell, from its places on all tasks and all their pairs; `arm` is a place's task.

    In the order of the difference of both counts, which is no test of anything; among equals of the names.
    """
    further = dict.fromkeys((row.cell for row in places), 0)
    less_far = dict(further)
    for pair in contrasts:
        if shorter := shorter_of(pair):
            less_far[shorter] += 1
            further[pair.cell_a if pair.cell_b == shorter else pair.cell_b] += 1
    found = [
        Standing(cell, further[cell], less_far[cell], {row.arm: row.place for row in places if row.cell == cell})
        for cell in further
    ]
    return sorted(found, key=lambda row: (row.less_far - row.further, row.cell))
