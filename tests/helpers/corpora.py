"""Small corpora for tests: the fixture's pairs, and running text that is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_jax.text import store
from lstm_jax.text.corpus import prepare_pairs, prepare_text
from lstm_jax.text.pairs import read_pairs

PAIRS = Path(__file__).parents[1] / "text" / "fixtures" / "english-marathi.tsv"


def drawn_text(num_words=4000, num_types=30, seed=0):
    """Lines of words, each of which depends on the one before: word n is followed by n + 1 in half of all cases."""
    random = np.random.default_rng(seed)
    words, word = [], 0
    for _ in range(num_words):
        word = (word + 1) % num_types if random.random() < 0.5 else int(random.integers(num_types))
        words.append(f"w{word}")
    return "\n".join(" ".join(words[start : start + 12]) for start in range(0, num_words, 12)) + "\n"


def stored_pairs(min_count=1):
    return store.store(prepare_pairs(read_pairs(PAIRS), min_count=min_count))


def stored_text(level="word", **options):
    return store.store(prepare_text(drawn_text(**options), level=level, min_count=1))
