"""What can be read from the vectors that an encoder makes of sentences: linear probes, neighbours, two dimensions."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lstm_jax.arrays import Floats, Integers
from lstm_jax.errors import ConfigError

Property = Literal["length", "first word", "word order"]
Sentences = Sequence[Sequence[str]]
BAG = "bag of words"
NUM_FIRST_WORDS = 10
MIN_SENTENCES = 20
_FOLDS = 5
_RIDGE = 10.0
_INVERSE_RIDGE = 0.1


@dataclass(frozen=True)
class Readable:
    """How well a linear probe reads a property of sentences it was not fitted on: a row of thoughts.csv.

    `length`: R² of the number of words, by ridge regression. `first word`: accuracy among sentences with one of the ten
    most frequent first words, and `word order`: whether two neighbouring words have changed places (the bigram shift of
    Conneau et al. 2018), both by logistic regression. `score` is the mean of five folds, `low` and `high` the worst and
    best fold; a sentence and its shifted form are in one fold. `chance` is the score of the best constant answer.
    """

    model: str
    seed: int | None
    """Of the training run; None: nothing was trained."""
    property: Property
    score: float
    low: float
    high: float
    chance: float
    num_sentences: int


def check_installed() -> None:
    """Raise ConfigError where scikit-learn, which the extra `text` brings, is missing."""
    if importlib.util.find_spec("sklearn") is None:
        raise ConfigError("probes are scikit-learn's, which is not installed: pip install 'lstm_jax[text]'")


def shifted(sentences: Sentences, seed: int = 0) -> tuple[list[int], list[list[str]]]:
    """Sentences with two different neighbouring words in each other's place: which they are, and what they are then."""
    random = np.random.default_rng(seed)
    places: list[int] = []
    changed: list[list[str]] = []
    for place, words in enumerate(sentences):
        pairs = [at for at in range(len(words) - 1) if words[at] != words[at + 1]]
        if pairs:
            at = int(random.choice(pairs))
            places.append(place)
            changed.append([*words[:at], words[at + 1], words[at], *words[at + 2 :]])
    return places, changed


def readable(
    model: str,
    sentences: Sentences,
    vectors: Floats,
    moved: Sequence[int],
    moved_vectors: Floats,
    *,
    seed: int | None = None,
) -> list[Readable]:
    """Probe the vectors [N, D] of sentences of words; `moved_vectors` are of the `shifted` ones among them.

    Raises ValueError for fewer than MIN_SENTENCES, of which five folds say nothing.
    """
    check_installed()
    if min(len(sentences), len(moved)) < MIN_SENTENCES:
        raise ValueError(f"expected {MIN_SENTENCES} sentences of two words or more, got {len(moved)}")
    lengths = np.array([len(words) for words in sentences], dtype=np.float64)
    common = [word for word, _ in Counter(words[0] for words in sentences).most_common(NUM_FIRST_WORDS)]
    chosen = [place for place, words in enumerate(sentences) if words[0] in common]
    first = np.array([common.index(sentences[place][0]) for place in chosen])
    both = np.concatenate([vectors[list(moved)], moved_vectors])
    is_moved = np.repeat([0, 1], len(moved))
    pairs = np.tile(np.arange(len(moved)), 2)
    every, some = np.arange(len(sentences)), np.arange(len(chosen))
    most = float(np.bincount(first).max() / len(first))
    return [
        Readable(model, seed, "length", *_probe(vectors, lengths, every, by_ridge=True), 0.0, len(every)),
        Readable(model, seed, "first word", *_probe(vectors[chosen], first, some), most, len(some)),
        Readable(model, seed, "word order", *_probe(both, is_moved, pairs), 0.5, len(moved)),
    ]


def bags(sentences: Sentences, words: Sequence[str]) -> Floats:
    """How often each of `words` is in each sentence [N, W]: what a sentence is without any order."""
    places = {word: place for place, word in enumerate(words)}
    counts = np.zeros((len(sentences), len(words)))
    for row, sentence in zip(counts, sentences, strict=True):
        for word in sentence:
            if word in places:
                row[places[word]] += 1.0
    return counts


def nearest(vectors: Floats, vector: Floats, number: int) -> list[tuple[int, float]]:
    """The rows of `vectors` [N, D] of the largest cosine with `vector` [D], and it; the first of equal ones."""
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector)
    cosines = vectors @ vector / np.where(norms > 0.0, norms, 1.0)
    return [(int(place), float(cosines[place])) for place in np.argsort(-cosines, kind="stable")[:number]]


def plane(vectors: Floats) -> tuple[Floats, Floats]:
    """The first two principal components of vectors [N, 2], and the shares of the variance that they have [2]."""
    check_installed()
    from sklearn.decomposition import PCA

    analysis = PCA(n_components=2, random_state=0)
    points = analysis.fit_transform(vectors)
    return np.asarray(points), np.asarray(analysis.explained_variance_ratio_)


def _probe(
    vectors: Floats, wanted: Floats | Integers, groups: Integers, *, by_ridge: bool = False
) -> tuple[float, float, float]:
    """The mean score of a probe over five folds, that of the worst and that of the best one."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    reader: Any = Ridge(_RIDGE) if by_ridge else LogisticRegression(C=_INVERSE_RIDGE, max_iter=1000)
    folds = GroupKFold(_FOLDS, shuffle=True, random_state=0)
    scores = cross_val_score(make_pipeline(StandardScaler(), reader), vectors, wanted, groups=groups, cv=folds)
    return float(scores.mean()), float(scores.min()), float(scores.max())
