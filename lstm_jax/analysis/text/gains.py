"""What changes gain: BLEU of systems of several sweeps on the same test sentences, in a row or beside the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lstm_jax.analysis.resampling import interval
from lstm_jax.analysis.text.ngram_scores import bleu, bleu_statistics
from lstm_jax.analysis.text.systems import Rows, collect, estimate, replicates_of
from lstm_jax.analysis.text.translation import statistics_of
from lstm_jax.choices import Against
from lstm_jax.sweeps.store.records import Run


@dataclass(frozen=True)
class Gain:
    """BLEU of one step, and what it gains over another, `against`: a row of gains.csv.

    `first_reference_bleu` is with the first reference alone. The interval of the gain is of the same resampled
    sentences, and seeds, for both steps; the first step has none.
    """

    step: str
    against: str
    num_runs: int
    learning_rate: float
    steps_trained: int
    bleu: float
    ci_low: float
    ci_high: float
    first_reference_bleu: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None


def gains(
    steps: Sequence[tuple[str, Sequence[tuple[Run, Rows]]]],
    *,
    against: Against = "before",
    num_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Gain]:
    """Compare each step, a name and its runs of one learning rate with their translations, with another.

    Raises ValueError where steps are of different test sentences, two have one name, or one has no translation.
    """
    names = [name for name, _ in steps]
    if len(set(names)) < len(names):
        raise ValueError(f"expected each step once, got {', '.join(names)}")
    test = collect([(replace(run, cell=name), rows) for name, runs in steps for run, rows in runs])
    if missing := [name for name in names if name not in {system.name for system in test.systems}]:
        raise ValueError(f"expected translations of each step, got none of {', '.join(missing)}")
    statistics = [statistics_of(system, test) for system in test.systems]
    options = {"num_bootstrap": num_bootstrap, "seed": seed}
    drawn = [replicates_of(bleu, own, **options) for own in statistics]
    values = [float(bleu(own.sum(axis=1)).mean()) for own in statistics]
    rows = []
    for place, (system, own) in enumerate(zip(test.systems, statistics, strict=True)):
        gain: tuple[float | None, float | None, float | None] = (None, None, None)
        other = 0 if against == "first" else place - 1
        if place:
            difference = values[place] - values[other]
            gain = (difference, *interval(difference, drawn[place] - drawn[other], confidence))
        first = [float(bleu(bleu_statistics(outputs, test.references).sum(axis=0))) for outputs in system.outputs]
        trained = max(run.steps for run in system.runs)
        scored = estimate(bleu, own, num_bootstrap, confidence, seed)
        name = names[other] if place else ""
        about = (name, len(system.runs), system.runs[0].learning_rate, trained)
        rows.append(Gain(system.name, *about, *scored, sum(first) / len(first), *gain))
    return rows
