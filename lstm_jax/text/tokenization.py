"""How text is made tokens: words (`tokens`), what is between spaces, or the pieces of words (`subwords`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal

from lstm_jax.text import subwords
from lstm_jax.text.tokens import detokenize, normalize, tokenize

Cut = Literal["words", "space"]
PairCut = Literal["words", "space", "bpe"]


@dataclasses.dataclass(frozen=True)
class Tokenization:
    """How text is made tokens and they are made text; a corpus has one, and new text is read as the corpus was.

    `cut` is "words" (`tokenize`), "space" for text that is tokenised already, or "bpe": words, which are then cut into
    pieces by the vocabulary in `subwords`.
    """

    lower: bool = False
    cut: PairCut = "words"
    subwords: str = ""

    def tokens(self, text: str, whole: Sequence[str] = ()) -> list[str]:
        """The tokens of a text."""
        text = text.lower() if self.lower else text
        return self.pieces(normalize(text).split() if self.cut == "space" else tokenize(text, whole))

    def pieces(self, words: Iterable[str]) -> list[str]:
        """The tokens of words."""
        return subwords.cut(self.subwords, words) if self.cut == "bpe" else list(words)

    def words(self, tokens: Iterable[str]) -> list[str]:
        """The words of tokens."""
        return subwords.join(tokens) if self.cut == "bpe" else list(tokens)

    def text(self, tokens: Iterable[str]) -> str:
        """The text of tokens."""
        return self.text_of_words(self.words(tokens))

    def text_of_words(self, words: Iterable[str]) -> str:
        """The text of words."""
        return " ".join(words) if self.cut == "space" else detokenize(words)


AS_WORDS = Tokenization()
