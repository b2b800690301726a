"""Words and punctuation marks of running text, in any script, and back.

A word is a run of letters, digits and the marks that belong to them: a Devanagari consonant keeps its matras, virama,
nukta and anusvara. An apostrophe between letters (don't), a hyphen or underscore between letters or digits (read-only)
and a point or comma between digits (3.14, 1,000) belong to the word. Every other character is a token, the danda one of
them; points in a row (...) are one token.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable


class _Shapes(dict[int, str]):
    """A letter that says what a character is, found when it is first seen; for str.translate."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if character.isspace():
            shape = "s"
        elif category in ("Cc", "Cf", "Cs"):
            shape = "x"
        else:
            shape = {"L": "w", "N": "d", "M": "m"}.get(category[0], "p")
        self[code] = shape
        return shape


_SHAPES = _Shapes(
    {ord("'"): "a", ord("’"): "a", ord("-"): "h", ord("‐"): "h", ord("_"): "h", ord("."): "e", ord(","): "c"}
)
_INVISIBLE = re.compile("x+")
_LONE_MARKS = re.compile("(?:^|(?<=s))m+")
_TOKEN = re.compile(r"[wd][wdm]*(?:(?:(?<=[wm])a(?=w)|h(?=[wd])|(?<=d)[ec](?=d))[wdm]+)*|e{2,}m*|[^sm]m*")


def normalize(text: str) -> str:
    """NFC without what can't be seen: control and format characters (ZWJ and ZWNJ among them), marks on nothing.

    RA, virama, ZWJ, the old spelling of the Marathi eyelash ra, is first made RRA, virama (The Unicode Standard, 12.1,
    R5a), so that it is not lost with the joiner.
    """
    text = text.replace("\u0930\u094d\u200d", "\u0931\u094d")
    text = unicodedata.normalize("NFC", _without(_INVISIBLE, text))
    return _without(_LONE_MARKS, text)


def _without(pattern: re.Pattern[str], text: str) -> str:
    """`text` without the characters whose shapes match."""
    kept, end = [], 0
    for found in pattern.finditer(text.translate(_SHAPES)):
        kept.append(text[end : found.start()])
        end = found.end()
    return "".join([*kept, text[end:]])


def tokenize(text: str) -> list[str]:
    """The tokens of `text`, normalised; none is empty, has a space in it or begins with a combining mark."""
    text = normalize(text)
    return [text[found.start() : found.end()] for found in _TOKEN.finditer(text.translate(_SHAPES))]


_CLOSING = frozenset([".", ",", ";", ":", "!", "?", ")", "]", "}", "%", "...", "…", "।", "॥", "॰", "»", "”", "’", "°"])
_OPENING = frozenset(["(", "[", "{", "«", "“", "‘", "$", "£", "€", "₹", "#"])
_BETWEEN = frozenset(["/", "\\"])
_QUOTES = frozenset(['"', "'"])


def detokenize(tokens: Iterable[str]) -> str:
    """Running text of tokens: a space between words, punctuation where it is usually put, quotation marks in pairs."""
    text, glued, opened = "", True, set[str]()
    for token in tokens:
        closes = token in _CLOSING or token in _BETWEEN
        if token in _QUOTES:
            plural = token == "'" and token not in opened and text.endswith("s")  # the kings' sons
            closes = token in opened or plural
            if not plural:
                opened ^= {token}
        text += token if glued or closes else f" {token}"
        glued = token in _OPENING or token in _BETWEEN or (token in _QUOTES and not closes)
    return text
