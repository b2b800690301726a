"""Pairs in three splits, none of which has a sentence of another, and the other translations of a sentence."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from lstm_jax.text.tokens import straighten, without_marks

Words = tuple[str, ...]
NAMES = ("train", "dev", "test")


@dataclasses.dataclass
class Sentence:
    """A sentence, its first translation, and the others in the order of the file, each once."""

    source: Words
    target: Words
    others: list[Words] = dataclasses.field(default_factory=list)


def split_key(source: Sequence[str]) -> str:
    """What two English sentences share that must not be apart: their words, without case and punctuation."""
    words = [token for token in source if any(map(str.isalnum, token))]
    return straighten(without_marks(" ".join(words or source)).lower())


def split_pairs(
    pairs: Iterable[tuple[Words, Words]],
    dropped: Counter[str],
    *,
    max_tokens: int,
    dev_fraction: float,
    test_fraction: float,
    seed: int,
    all_translations: bool,
) -> dict[str, list[Sentence]]:
    """Sort pairs of tokens into the splits; what is left out is counted in `dropped`. See `prepare_pairs`.

    Only `test` has others: with `all_translations` those of `train` are sentences of their own.
    """
    splits: dict[str, dict[Words, Sentence]] = {name: {} for name in NAMES}
    for source, target in pairs:
        place = _place(split_key(source), seed)
        split = splits["test" if place < test_fraction else "dev" if place < test_fraction + dev_fraction else "train"]
        if not source or not target:
            dropped["no words"] += 1
        elif max(len(source), len(target)) > max_tokens:
            dropped[f"more than {max_tokens} tokens"] += 1
        elif (known := split.get(bare(source))) is None:
            split[bare(source)] = Sentence(source, target)
        elif bare(target) in map(bare, (known.target, *known.others)):
            dropped["duplicate"] += 1
        else:
            known.others.append(target)
    trained = {bare(sentence.target) for sentence in splits["train"].values()}
    found = {name: list(split.values()) for name, split in splits.items()}
    for name in ("dev", "test"):
        clear = [sentence for sentence in found[name] if bare(sentence.target) not in trained]
        lost = [sentence for sentence in found[name] if bare(sentence.target) in trained]
        dropped["dev or test, the Marathi is in train"] += sum(1 + len(sentence.others) for sentence in lost)
        found[name] = clear
    for sentence in found["test"]:
        others = [other for other in sentence.others if bare(other) not in trained]
        dropped["another translation of a test sentence, it is in train"] += len(sentence.others) - len(others)
        sentence.others = others
    asked = {bare(each) for name in ("dev", "test") for s in found[name] for each in (s.target, *s.others)}
    more = [
        Sentence(sentence.source, other)
        for sentence in found["train"]
        for other in sentence.others
        if all_translations and bare(other) not in asked
    ]
    for sentence in found["train"] + found["dev"]:
        dropped["another translation of the same English"] += len(sentence.others)
        sentence.others = []
    dropped["another translation of the same English"] -= len(more)
    found["train"] += more
    return found


def bare(tokens: Sequence[str]) -> Words:
    """What makes a sentence the same: its words and punctuation, not the spaces between them."""
    return tuple(map(without_marks, tokens))


def _place(key: str, seed: int) -> float:
    """A number from 0 to 1 that depends on the text and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{key}".encode()).digest()[:8]) / 2**64
