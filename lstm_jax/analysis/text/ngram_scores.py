"""BLEU and chrF from their sufficient statistics, so that thousands of resamples cost no more than a matrix product."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_jax.arrays import Floats
from lstm_jax.errors import ConfigError

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

MAX_ORDER = 4
Further = Sequence[Sequence[str]]
_CHRF_BETA = 2.0


def check_installed() -> None:
    """Raise ConfigError where sacrebleu, which the extra `text` brings, is missing."""
    if importlib.util.find_spec("sacrebleu") is None:
        raise ConfigError("translations are scored by sacrebleu, which is not installed: pip install 'lstm_jax[text]'")


def bleu_statistics(outputs: Sequence[str], references: Sequence[str], further: Further = ()) -> Floats:
    """Return the statistics of each sentence for corpus BLEU [N, 10], by sacrebleu.

    The lengths of output and reference, then matched n-grams, then n-grams of the output, of 1 to 4 tokens. Texts are
    our own tokens joined by single spaces, so nothing is tokenised again (`tok:none` in the signature). `further` has
    other references of each sentence, none of any where it is empty: an n-gram counts that one of them has, and the
    length of the reference is that of the one nearest in length.
    """
    # Private there, yet what its own significance tests are made of; our tests compare with its public scores.
    statistics = _bleu_metric()._extract_corpus_statistics(outputs, _streams(references, further))
    return np.array(statistics, dtype=np.float64).reshape(len(outputs), 2 + 2 * MAX_ORDER)


def bleu(statistics: Floats, effective_order: bool = False) -> Floats:
    """Return BLEU, 0 to 100, from statistics summed over the sentences of a corpus [..., 10] (Papineni et al. 2002).

    As sacrebleu's: an order without a match counts as 1 / (2^k n-grams), at the k-th such order (`smooth:exp`). Where
    no output has n-grams of the highest order, BLEU is 0, with `effective_order` the mean over the orders there are.
    """
    output_length, reference_length = statistics[..., 0], statistics[..., 1]
    matched, total = statistics[..., 2 : 2 + MAX_ORDER], statistics[..., 2 + MAX_ORDER :]
    exists = total > 0.0
    missed = exists & (matched == 0.0)
    floor = 0.5 ** np.cumsum(missed, axis=-1)
    precision = np.where(missed, floor, matched) / np.where(exists, total, 1.0)
    logs = np.log(np.where(exists, precision, 1.0)).sum(axis=-1)
    orders = np.maximum(exists.sum(axis=-1), 1) if effective_order else MAX_ORDER
    shortfall = np.minimum(0.0, 1.0 - reference_length / np.maximum(output_length, 1.0))
    defined = matched.any(axis=-1) & (effective_order | exists.all(axis=-1))
    return np.where(defined, 100.0 * np.exp(shortfall + logs / orders), 0.0)


def bleu_of_short(statistics: Floats) -> Floats:
    """Return BLEU by effective order, which is defined for a corpus of sentences of fewer than four tokens."""
    return bleu(statistics, effective_order=True)


def chrf_statistics(outputs: Sequence[str], references: Sequence[str], further: Further = ()) -> Floats:
    """Return the statistics of each sentence for corpus chrF [N, 18], by sacrebleu.

    Character n-grams of the output, of the reference and matched, for 1 to 6 characters. White space is left out, so
    it is the same on tokens joined by spaces as on the text they came from. Of several references the best counts.
    """
    metric = _chrf_metric()
    statistics = metric._extract_corpus_statistics(outputs, _streams(references, further))
    return np.array(statistics, dtype=np.float64).reshape(len(outputs), 3 * metric.char_order)


def chrf(statistics: Floats) -> Floats:
    """Return chrF, 0 to 100, from statistics summed over the sentences of a corpus [..., 18] (Popović 2015)."""
    output, reference, matched = (statistics[..., place::3] for place in range(3))
    exists = (output > 0.0) & (reference > 0.0)
    orders = np.maximum(exists.sum(axis=-1), 1)
    precision, recall = (
        np.where(exists, matched / np.maximum(count, 1.0), 0.0).sum(axis=-1) / orders for count in (output, reference)
    )
    weighted = _CHRF_BETA**2 * precision + recall
    score = (1.0 + _CHRF_BETA**2) * precision * recall / np.where(weighted > 0.0, weighted, 1.0)
    return np.asarray(100.0 * score)


def signatures(further: Further = ()) -> str:
    """Return sacrebleu's signatures of both scores, with which others can repeat them."""
    found = []
    for metric in (_bleu_metric(), _chrf_metric()):
        # The number of references is in the signature.
        metric.corpus_score(["a"] * max(len(further), 1), _streams(["a"] * max(len(further), 1), further))
        found.append(f"{metric.__class__.__name__}|{metric.get_signature()}")
    return " ".join(found)


def _streams(references: Sequence[str], further: Further) -> Any:
    """References as sacrebleu takes them: the first of each sentence, the second, None where there is none."""
    return [references, *itertools.zip_longest(*further)]


def _bleu_metric() -> BLEU:
    check_installed()
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize="none", max_ngram_order=MAX_ORDER, force=True)  # force: no warning that texts are tokenised


def _chrf_metric() -> CHRF:
    check_installed()
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(beta=round(_CHRF_BETA))
