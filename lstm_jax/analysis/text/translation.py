"""Scores of translations: BLEU, chrF and the rest with intervals, contrasts, and by source length.

A test sentence is a row {"source", "reference", "output", "greedy"} of words joined by single spaces, and perhaps
{"further"}, more references between tabs; a run comes with the rows of all its test sentences. Which runs to report
(of several learning rates, say) is chosen before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstm_jax.analysis.resampling import holm, interval, p_value
from lstm_jax.analysis.text.ngram_scores import bleu, bleu_of_short, bleu_statistics, chrf, chrf_statistics, signatures
from lstm_jax.analysis.text.systems import (
    NO_BASELINES,
    Comparison,
    Kind,
    Rows,
    System,
    Translations,
    collect,
    estimate,
    further_of,
    length_bins,
    replicates_of,
)
from lstm_jax.arrays import Floats
from lstm_jax.sweeps.stages.run_table import final_score
from lstm_jax.text.corpus import Reader
from lstm_jax.text.tokens import without_marks

Vocabularies = tuple[Reader, Reader]
_AVERAGED = ("chrf", "greedy_bleu", "exact_match", "token_accuracy", "loss")


@dataclass(frozen=True)
class TranslationScore:
    """The scores of one run, or of a system as the mean over its runs (`seed` None): a row of scores.csv.

    BLEU and chrF are 0 to 100, the interval that of BLEU; `greedy_bleu` is BLEU of greedy search. `exact_match` is the
    share of outputs that are a reference. `token_accuracy` (a fraction) and `loss` (nats per token) are with the
    reference fed to the decoder; None for a baseline, and a mean over runs of which one has none. `signature` says how
    sacrebleu was called. `unk_share` is the share of the references' tokens that the vocabulary lacks, so that no model
    can write them, `source_unk_share` of the sources' that models read as <unk>; a baseline has no vocabulary.
    """

    system: str
    kind: Kind
    seed: int | None
    num_runs: int
    bleu: float
    ci_low: float
    ci_high: float
    chrf: float
    greedy_bleu: float | None
    exact_match: float
    token_accuracy: float | None
    loss: float | None
    num_sentences: int
    num_params: int | None
    signature: str
    unk_share: float | None = None
    source_unk_share: float | None = None


@dataclass(frozen=True)
class TranslationContrast:
    """BLEU of `system_a` less that of `system_b`, on the same resampled sentences and seeds: a row of contrasts.csv.

    The interval is for this pair alone; `p_value` is two-sided for no difference, corrected by Holm's method.
    """

    system_a: str
    system_b: str
    difference: float
    ci_low: float
    ci_high: float
    p_value: float


@dataclass(frozen=True)
class LengthScore:
    """A system's scores on the sentences with `low` to `high` source tokens (`high` None: and more), mean over runs.

    A row of lengths.csv. BLEU here is by sacrebleu's effective order: sentences of one or two words have no 4-grams, so
    that BLEU would be 0 by definition and not by error. It then averages fewer orders where sentences are short, which
    flatters them: systems can be compared within a bin, but across bins it is chrF that measures the same. The shares
    of <unk> are those of the bin's sentences, as in `TranslationScore`.
    """

    system: str
    kind: Kind
    low: int
    high: int | None
    num_sentences: int
    bleu: float
    bleu_low: float
    bleu_high: float
    chrf: float
    chrf_low: float
    chrf_high: float
    unk_share: float | None = None
    source_unk_share: float | None = None


def translation_scores(
    translations: Translations,
    baselines: Mapping[str, Sequence[str]] = NO_BASELINES,
    vocabularies: Vocabularies | None = None,
    *,
    num_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[TranslationScore]:
    """Score every system, then each of its runs, and the baselines; systems come in order of first appearance.

    The interval of a run is a percentile bootstrap over sentences (Koehn 2004), that of a system over sentences and
    seeds (`resampling.seed_shifts`); of one run, over sentences alone. A failed run is left out. One that diverged
    before it wrote anything wrote nothing: its outputs are empty. `vocabularies` are those of source and target.

    Raises ValueError where runs are of different test sentences, or two are of the same cell and seed.
    """
    test = collect(translations, baselines)
    signature = signatures(test.further) if test.systems else ""
    shares = _unk_shares(vocabularies, test.sources, test.references)
    rows = []
    for system in test.systems:
        statistics = statistics_of(system, test)
        each = []
        for place, outputs in enumerate(system.outputs):
            run = system.runs[place] if system.runs else None
            greedy = system.greedy[place] if system.runs else None
            value, low, high = estimate(bleu, statistics[place : place + 1], num_bootstrap, confidence, seed)
            row = TranslationScore(
                system.name,
                system.kind,
                seed=run.seed if run else None,
                num_runs=1,
                bleu=value,
                ci_low=low,
                ci_high=high,
                chrf=float(chrf(chrf_statistics(outputs, test.references, test.further).sum(axis=0))),
                greedy_bleu=None if greedy is None else _bleu(greedy, test),
                exact_match=_exact_match(outputs, test),
                token_accuracy=final_score(run) if run else None,
                loss=run.loss if run and run.loss is not None and math.isfinite(run.loss) else None,
                num_sentences=len(test.references),
                num_params=run.num_params if run else None,
                signature=signature,
                **(shares if run else {}),
            )
            each.append(row)
        if system.runs:
            value, low, high = estimate(bleu, statistics, num_bootstrap, confidence, seed)
            mean = replace(each[0], seed=None, num_runs=len(each), bleu=value, ci_low=low, ci_high=high)
            averages: dict[str, Any] = {name: _mean([getattr(row, name) for row in each]) for name in _AVERAGED}
            rows.append(replace(mean, **averages))
        rows += each
    return rows


def translation_contrasts(
    translations: Translations,
    baselines: Mapping[str, Sequence[str]] = NO_BASELINES,
    *,
    num_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[TranslationContrast]:
    """Compare BLEU of all pairs of models, and of each model with the baseline that scores best.

    Sentences are drawn alike for both, seeds alike where both have as many. The p-value is one minus the confidence at
    which the interval would just touch 0; its least value is 2 / (num_bootstrap + 1) before the correction.
    """
    test = collect(translations, baselines)
    statistics = {system.name: statistics_of(system, test) for system in test.systems}
    values = {name: float(bleu(own.sum(axis=1)).mean()) for name, own in statistics.items()}
    replicates = {name: replicates_of(bleu, own, num_bootstrap, seed) for name, own in statistics.items()}
    models = [system.name for system in test.systems if system.kind == "model"]
    best = sorted((name for name in values if name not in models), key=lambda name: -values[name])[:1]
    pairs = [*itertools.combinations(models, 2), *itertools.product(models, best)]
    corrected = holm([p_value(replicates[a] - replicates[b]) for a, b in pairs])
    rows = []
    for (a, b), probability in zip(pairs, corrected, strict=True):
        difference = values[a] - values[b]
        low, high = interval(difference, replicates[a] - replicates[b], confidence)
        rows.append(TranslationContrast(a, b, difference, low, high, probability))
    return rows


def bleu_by_length(
    translations: Translations,
    baselines: Mapping[str, Sequence[str]] = NO_BASELINES,
    vocabularies: Vocabularies | None = None,
    *,
    num_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[LengthScore]:
    """Score every system on the sentences of each bin of source length, mean over its runs; bins by `length_bins`.

    Intervals are as those of `translation_scores`, sentences drawn within the bin and alike for all systems.
    """
    test = collect(translations, baselines)
    bins = length_bins([len(source.split()) for source in test.sources])
    by_bin = [
        _unk_shares(vocabularies, *([sentences[index] for index in members] for sentences in test[:2]))
        for _, _, members in bins
    ]
    rows = []
    for system in test.systems:
        words = statistics_of(system, test)
        characters = np.stack([chrf_statistics(outputs, test.references, test.further) for outputs in system.outputs])
        for (low, high, members), shares in zip(bins, by_bin, strict=True):
            by_words = estimate(bleu_of_short, words[:, members], num_bootstrap, confidence, seed)
            by_characters = estimate(chrf, characters[:, members], num_bootstrap, confidence, seed)
            unk = shares if system.runs else {}
            rows.append(
                LengthScore(system.name, system.kind, low, high, len(members), *by_words, *by_characters, **unk)
            )
    return rows


def sentence_scores(rows: Rows) -> list[float]:
    """Return chrF of each row's output against its references, alone; it sorts samples from good to bad."""
    outputs, references = ([without_marks(row[name]) for row in rows] for name in ("output", "reference"))
    further = [further_of(row) for row in rows]
    statistics = chrf_statistics(outputs, references, further if any(further) else ())
    return [float(score) for score in chrf(statistics)]


def _unk_shares(
    vocabularies: Vocabularies | None, sources: Sequence[str], references: Sequence[str]
) -> dict[str, float]:
    if vocabularies is None:
        return {}
    source, target = vocabularies
    return {
        "unk_share": target.unk_share(map(str.split, references)),
        "source_unk_share": source.unk_share(map(str.split, sources)),
    }


def statistics_of(system: System, test: Comparison) -> Floats:
    """Return the statistics of BLEU of each run and sentence [S, N, K]."""
    return np.stack([bleu_statistics(outputs, test.references, test.further) for outputs in system.outputs])


def _bleu(outputs: Sequence[str], test: Comparison) -> float:
    return float(bleu(bleu_statistics(outputs, test.references, test.further).sum(axis=0)))


def _exact_match(outputs: Sequence[str], test: Comparison) -> float:
    further = test.further or [[]] * len(outputs)
    rows = zip(outputs, test.references, further, strict=True)
    return float(np.mean([output in (reference, *others) for output, reference, others in rows]))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None
