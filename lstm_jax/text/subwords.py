"""Subwords: a byte-pair vocabulary (Sennrich et al. 2016) that sentencepiece learns from words and cuts them by.

One vocabulary is learned from both languages together. The first piece of a word begins with ▁, so words come back.
"""

from __future__ import annotations

import base64
import functools
import importlib.util
import io
from collections.abc import Iterable, Sequence
from typing import Any

from lstm_jax.errors import ConfigError, TextError
from lstm_jax.text.vocabulary import SPECIAL

BEGINS = "▁"


def check_installed() -> None:
    """Raise ConfigError where sentencepiece, which the extra `text` brings, is missing."""
    if importlib.util.find_spec("sentencepiece") is None:
        raise ConfigError("subwords are sentencepiece's, which is not installed: pip install 'lstm_jax[text]'")


def learn(sentences: Iterable[Sequence[str]], size: int) -> str:
    """A vocabulary of `size` pieces, as text that a corpus holds: the same for the same sentences.

    Raises TextError where the sentences have not so many pieces, or more characters than that.
    """
    check_installed()
    import sentencepiece

    model = io.BytesIO()
    options: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": size,
        "character_coverage": 1.0,
        "normalization_rule_name": "identity",  # words are normalised already, and have to come back
        "num_threads": 1,
        "minloglevel": 3,
    }
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(_plain(" ".join(words)) for words in sentences), model_writer=model, **options
        )
    except RuntimeError as error:
        raise TextError(f"vocab_size: got {size}; expected another for this corpus: {error}") from None
    return base64.b64encode(model.getvalue()).decode()


def cut(model: str, words: Iterable[str]) -> list[str]:
    """The pieces of words; `<unk>` and its like stay whole, and a ▁ that is text is read as _."""
    encode = _processor(model).encode
    pieces: list[str] = []
    for word in words:
        pieces += [word] if word in SPECIAL else encode(_plain(word), out_type=str)
    return pieces


def join(pieces: Iterable[str]) -> list[str]:
    """The words of pieces."""
    words: list[str] = []
    ended = True
    for piece in pieces:
        if piece in SPECIAL or ended or piece.startswith(BEGINS):
            words.append(piece.removeprefix(BEGINS))
        else:
            words[-1] += piece
        ended = piece in SPECIAL
    return [word for word in words if word]


def _plain(text: str) -> str:
    return text.replace(BEGINS, "_")


@functools.lru_cache(maxsize=8)
def _processor(model: str) -> Any:
    check_installed()
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_proto=base64.b64decode(model))
