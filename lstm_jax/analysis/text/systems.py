"""Systems that translated one test set, the runs of each cell and the baselines: their scores and resamples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from lstm_jax.analysis.resampling import interval, seed_shifts, unit_weights
from lstm_jax.arrays import Floats, Integers
from lstm_jax.sweeps.store.records import Run
from lstm_jax.text.tokens import without_marks

Rows = Sequence[Mapping[str, Any]]
Translations = Sequence[tuple[Run, Rows]]
Kind = Literal["model", "baseline"]
FIRST_LENGTHS = (1, 3, 5, 9, 17)  # of the bins of source length in tokens; the last is open
MIN_SENTENCES = 10
NO_BASELINES: Mapping[str, Sequence[str]] = {}


class System(NamedTuple):
    """A cell with its runs in order of seed, or a baseline, which has none and one list of outputs.

    `outputs` are by beam search, `greedy` by greedy search (None for a run without), for each run and sentence.
    """

    name: str
    kind: Kind
    runs: list[Run]
    outputs: list[list[str]]
    greedy: list[list[str] | None]


class Comparison(NamedTuple):
    """The sentences of a test set and the systems that translated them.

    What is scored are words and punctuation: what tokens say of unusual spaces is not in references or outputs.
    `further` has the other references of each sentence; it is empty where none has any.
    """

    sources: list[str]
    references: list[str]
    further: list[list[str]]
    systems: list[System]


def collect(translations: Translations, baselines: Mapping[str, Sequence[str]] = NO_BASELINES) -> Comparison:
    """Bring the runs of each cell together; cells in order of first appearance, then the baselines.

    A failed run, and one without rows, is left out; but one that diverged before it wrote anything wrote nothing, and
    its outputs are empty. Raises ValueError where runs are of different test sentences, or two of one cell and seed.
    """
    done = [(run, rows) for run, rows in translations if run.status != "failed" and (rows or run.status == "diverged")]
    first = next((rows for _, rows in done if rows), None)
    if first is None:
        return Comparison([], [], [], [])
    sources, references = ([row[name] for row in first] for name in ("source", "reference"))
    scored = [without_marks(reference) for reference in references]
    further = [further_of(row) for row in first]
    nothing = [{"output": "", "greedy": ""}] * len(first)
    systems = {run.cell: System(run.cell, "model", [], [], []) for run, _ in done}
    for run, rows in sorted(done, key=lambda item: item[0].seed):
        system = systems[run.cell]
        if rows and ([row["source"] for row in rows], [row["reference"] for row in rows]) != (sources, references):
            raise ValueError(f"expected the same test sentences from every run, got others from {run.job} ({run.cell})")
        if any(run.seed == other.seed for other in system.runs):
            raise ValueError(f"expected one run per cell and seed, got several of {run.cell} with seed {run.seed}")
        greedy: list[Any] = [row.get("greedy") for row in rows or nothing]
        system.runs.append(run)
        system.outputs.append([without_marks(row["output"]) for row in rows or nothing])
        system.greedy.append(None if None in greedy else [*map(without_marks, greedy)])
    for name, outputs in baselines.items():
        if len(outputs) != len(sources):
            raise ValueError(f"expected {len(sources)} outputs of the baseline {name!r}, got {len(outputs)}")
        if name in systems:
            raise ValueError(f"expected a baseline with a name of its own, got {name!r}, which is a cell")
        systems[name] = System(name, "baseline", [], [[*map(without_marks, outputs)]], [])
    return Comparison(sources, scored, further if any(further) else [], list(systems.values()))


def further_of(row: Mapping[str, Any]) -> list[str]:
    """Return the other references of a row, which tabs separate."""
    return [without_marks(each) for each in (row.get("further") or "").split("\t") if each]


def replicates_of(score: Callable[[Floats], Floats], statistics: Floats, num_bootstrap: int, seed: int) -> Floats:
    """Return the mean score over runs in each replicate [R], from statistics [S, N, K] of runs and sentences.

    `score` takes statistics summed over sentences [..., K] to scores from 0 to 100. Sentences are drawn with
    replacement, and the mean over seeds is shifted as `resampling.seed_shifts` says.
    """
    sums = unit_weights(statistics.shape[1], num_bootstrap, seed) @ statistics  # [S, R, K]
    shifts = seed_shifts(score(statistics.sum(axis=1)), num_bootstrap, seed)
    return np.asarray(np.clip(score(sums).mean(axis=0) + shifts, 0.0, 100.0))


def estimate(
    score: Callable[[Floats], Floats], statistics: Floats, num_bootstrap: int, confidence: float, seed: int
) -> tuple[float, float, float]:
    """Return the mean score over runs and the ends of its interval, from statistics [S, N, K]."""
    value = float(score(statistics.sum(axis=1)).mean())
    return value, *interval(value, replicates_of(score, statistics, num_bootstrap, seed), confidence)


def length_bins(lengths: Sequence[int], min_sentences: int = MIN_SENTENCES) -> list[tuple[int, int | None, Integers]]:
    """Sort sentences by length into 1-2, 3-4, 5-8, 9-16, 17 and more tokens: first, last, and which sentences [n].

    A bin without sentences is left out; one with fewer than `min_sentences` is merged with its smaller neighbour.
    """
    place = np.searchsorted(FIRST_LENGTHS, np.array(lengths, dtype=np.int64), side="right") - 1
    lasts = [*(first - 1 for first in FIRST_LENGTHS[1:]), None]
    bins: list[tuple[int, int | None, Integers]] = [
        (first, last, np.flatnonzero(np.maximum(place, 0) == index))
        for index, (first, last) in enumerate(zip(FIRST_LENGTHS, lasts, strict=True))
    ]
    bins = [found for found in bins if len(found[2])]
    while len(bins) > 1 and min(len(found[2]) for found in bins) < min_sentences:
        index = min(range(len(bins)), key=lambda index: len(bins[index][2]))
        beside = [other for other in (index - 1, index + 1) if 0 <= other < len(bins)]
        other = min(beside, key=lambda other: len(bins[other][2]))
        (first, _, some), (_, last, more) = bins[min(index, other)], bins[max(index, other)]
        bins[min(index, other) : max(index, other) + 1] = [(first, last, np.sort(np.concatenate([some, more])))]
    return bins
