"""Translations without learning, which a trained model has to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from lstm_jax.text.tokens import without_marks

Sentences = Sequence[Sequence[str]]  # tokens
NEAREST = "nearest neighbour"
_ROWS_AT_ONCE = 64  # 64 rows of similarities to 50,000 sentences are 26 MB


def baselines(train_sources: Sentences, train_targets: Sentences, test_sources: Sentences) -> dict[str, list[str]]:
    """Translate the test sentences without a model; outputs are tokens joined by single spaces.

    "most frequent" always writes the training target seen most often, "copy" the source itself, and "nearest
    neighbour" the target of the training source that has the most similar words. Raises ValueError without training
    pairs.
    """
    if not train_targets or len(train_sources) != len(train_targets):
        raise ValueError(f"expected training pairs, got {len(train_sources)} sources and {len(train_targets)} targets")
    targets = [" ".join(target) for target in train_targets]
    frequent = Counter(targets).most_common(1)[0][0]
    nearest = nearest_sentences(train_sources, test_sources)
    return {
        "most frequent": [frequent] * len(test_sources),
        "copy": [" ".join(source) for source in test_sources],
        NEAREST: [frequent if index is None else targets[index] for index in nearest],
    }


def nearest_sentences(train: Sentences, test: Sentences) -> list[int | None]:
    """Return the index of the training sentence most similar to each test sentence, None where no word is shared.

    Punctuation with unusual spaces beside it is the same word as with the usual ones.

    Similarity is the cosine between sets of words, each word weighted by its inverse document frequency,
    log((1 + N) / (1 + n)) + 1. Of equally similar sentences the first is taken.
    """
    train, test = ([[*map(without_marks, words)] for words in sentences] for sentences in (train, test))
    places = {word: place for place, word in enumerate(sorted({word for words in train for word in words}))}
    known, queries = (_bags(sentences, places) for sentences in (train, test))
    document_frequency = np.asarray(known.sum(axis=0)).ravel()
    weights = sparse.diags_array(np.log((1.0 + len(train)) / (1.0 + document_frequency)) + 1.0)
    known, queries = (_unit_rows(bags @ weights) for bags in (known, queries))
    found: list[int | None] = []
    for start in range(0, len(test), _ROWS_AT_ONCE):
        similarity = (queries[start : start + _ROWS_AT_ONCE] @ known.T).toarray()
        # Equal but for rounding is equal.
        best = np.argmax(similarity >= similarity.max(axis=1, keepdims=True) - 1e-12, axis=1)
        found += [int(index) if row[index] > 0.0 else None for row, index in zip(similarity, best, strict=True)]
    return found


def _bags(sentences: Sentences, places: dict[str, int]) -> sparse.csr_array:
    sets = [sorted({places[word] for word in words if word in places}) for words in sentences]
    ends = np.cumsum([0, *map(len, sets)])
    columns = np.array([place for words in sets for place in words], dtype=np.int64)
    return sparse.csr_array((np.ones(len(columns)), columns, ends), shape=(len(sentences), len(places)))


def _unit_rows(bags: sparse.csr_array) -> sparse.csr_array:
    norms = np.sqrt(np.asarray(bags.multiply(bags).sum(axis=1)).ravel())
    return (sparse.diags_array(1.0 / np.where(norms > 0.0, norms, 1.0)) @ bags).tocsr()
