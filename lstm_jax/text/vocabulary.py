"""Tokens and their numbers."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable
from typing import SupportsIndex

from lstm_jax.text.tokens import without_marks

PAD, BOS, EOS, UNK, MASK = range(5)
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>", "<mask>")


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The tokens of a language, a token's id its place; the first five are `SPECIAL`, the same in all vocabularies.

    Raises ValueError for tokens that do not begin so, or of which one comes twice.
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens[: len(SPECIAL)] != SPECIAL:
            raise ValueError(f"a vocabulary begins with {' '.join(SPECIAL)}, got {self.tokens[: len(SPECIAL)]}")
        if len(self._ids) != len(self.tokens):
            raise ValueError("a vocabulary has each token once")

    @classmethod
    def of(cls, sentences: Iterable[Iterable[str]], min_count: int = 1) -> Vocabulary:
        """The tokens that occur `min_count` times or more, the most frequent first, ties by code point.

        Punctuation with unusual spaces beside it, too rare for a token of its own, is counted as the usual.
        """
        counts = Counter(token for sentence in sentences for token in sentence)
        for token in [token for token in counts if counts[token] < min_count and without_marks(token) != token]:
            counts[without_marks(token)] += counts.pop(token)
        for token in SPECIAL:
            del counts[token]
        frequent = sorted(
            (token for token, count in counts.items() if count >= min_count), key=lambda t: (-counts[t], t)
        )
        return cls((*SPECIAL, *frequent))

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {token: place for place, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def encode(self, words: Iterable[str]) -> list[int]:
        """The ids of tokens; UNK for those that are not in the vocabulary.

        Punctuation that is not there with the spaces beside it is read with the usual ones.
        """
        ids = self._ids
        return [ids[word] if word in ids else ids.get(without_marks(word), UNK) for word in words]

    def unknown(self, words: Iterable[str]) -> list[str]:
        """The tokens, each once and without marks, that are read as UNK and are not it."""
        words = list(words)
        read = zip(words, self.encode(words), strict=True)
        return list(dict.fromkeys(without_marks(word) for word, id_ in read if id_ == UNK and word != SPECIAL[UNK]))

    def unk_share(self, sentences: Iterable[Iterable[str]]) -> float:
        """The share of the sentences' tokens that are read as UNK; of no tokens 0."""
        ids = [id_ for sentence in sentences for id_ in self.encode(sentence)]
        return ids.count(UNK) / max(len(ids), 1)

    def decode(self, ids: Iterable[SupportsIndex]) -> list[str]:
        """The tokens of ids, special ones too; raises IndexError for an id that no token has."""
        places = list(map(int, ids))
        if any(place < 0 for place in places):
            raise IndexError("an id is not negative")
        return [self.tokens[place] for place in places]
