"""Text: reading and cleaning pairs and running text, words, vocabularies, corpora with their splits. No jax."""

from __future__ import annotations

from lstm_jax.text.files import TextError

__all__ = ["TextError"]
