"""Words and punctuation marks of running text, in any script, and back.

A word is a run of letters, digits and the marks that belong to them: a Devanagari consonant keeps its matras, virama,
nukta and anusvara. An apostrophe between letters (don't), a hyphen or underscore between letters or digits (read-only)
and a point or comma between digits (3.14, 1,000) belong to the word. Every other character is a token, the danda one of
them; points in a row (...) are one token.

Tokens say where the spaces were: where text has one, or none, other than `detokenize` would put there of itself, the
punctuation mark beside it says so (2:30 is `2`, `:` with a mark that joins, `30`). So text comes back as it was.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator

JOINED, APART = "\u2060", "\u200b"
"""At an end of a punctuation token: no space here, a space here. No text has them, since `normalize` takes them out."""
_MARKS = frozenset([JOINED, APART])
_NO_MARKS = dict.fromkeys(map(ord, _MARKS))


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
_WHOLE, _REST = "U", "u"  # of what is not cut
_TOKEN = re.compile(r"Uu*|[wd][wdm]*(?:(?:(?<=[wm])a(?=w)|h(?=[wd])|(?<=d)[ec](?=d))[wdm]+)*|e{2,}m*|[^sm]m*")


# The Unicode Standard, table 12-1: letters that are written as they look, and what they are. NFC leaves them.
_LOOKS = {
    "अॆ": "ऄ", "अा": "आ", "र्इ": "ई", "उु": "ऊ", "एॅ": "ऍ", "एॆ": "ऎ", "एे": "ऐ",
    "अॉ": "ऑ", "आॅ": "ऑ", "अॊ": "ऒ", "आॆ": "ऒ", "अो": "ओ", "आे": "ओ", "अौ": "औ", "आै": "औ",
    "अॅ": "ॲ", "अऺ": "ॳ", "अऻ": "ॴ", "आऺ": "ॴ", "अॏ": "ॵ", "अॖ": "ॶ", "अॗ": "ॷ",
}  # fmt: skip
_LOOKS_LIKE_A_VOWEL = re.compile("|".join(_LOOKS))


def normalize(text: str) -> str:
    """NFC without what can't be seen: control and format characters (ZWJ and ZWNJ among them), marks on nothing.

    RA, virama, ZWJ, the old spelling of the Marathi eyelash ra, is first made RRA, virama (The Unicode Standard, 12.1,
    R5a), so that it is not lost with the joiner. Devanagari vowels that are spelt as they look (A with the sign of
    candra E) become the one letter that they are (candra A), as the standard's table 12-1 says.
    """
    text = text.replace("\u0930\u094d\u200d", "\u0931\u094d")
    text = unicodedata.normalize("NFC", _without(_INVISIBLE, text))
    found = 1
    while found:  # A, the sign AA, the sign E: of AA and the sign E
        text, found = _LOOKS_LIKE_A_VOWEL.subn(lambda match: _LOOKS[match[0]], text)
    return _without(_LONE_MARKS, text)


_STRAIGHT = str.maketrans(dict.fromkeys("’‘‛ʼ′´`＇", "'") | dict.fromkeys("“”„‟″＂", '"'))


def straighten(text: str) -> str:
    """Text with the apostrophe and quotation mark of a keyboard in the place of their typographic forms."""
    return text.translate(_STRAIGHT)


def _without(pattern: re.Pattern[str], text: str) -> str:
    """`text` without the characters whose shapes match."""
    pieces, end = [], 0
    for found in pattern.finditer(text.translate(_SHAPES)):
        pieces.append(text[end : found.start()])
        end = found.end()
    return "".join([*pieces, text[end:]])


def tokenize(text: str, whole: Collection[str] = ()) -> list[str]:
    """The tokens of `text`, normalised; none is empty, has a space in it or begins with a combining mark.

    Without their marks (`without_marks`) they are what stands between the spaces, cut. A string in `whole` is a word
    wherever it stands.
    """
    text = normalize(text)
    shapes = text.translate(_SHAPES)
    for word in whole:
        if word in text:
            each = list(shapes)
            for found in re.finditer(re.escape(word), text):
                each[found.start() : found.end()] = _WHOLE + _REST * (len(word) - 1)
            shapes = "".join(each)
    found_tokens = list(_TOKEN.finditer(shapes))
    bare = [text[found.start() : found.end()] for found in found_tokens]
    tokens: list[str] = []
    end, could_say = 0, False
    for found, token, is_usual in zip(found_tokens, bare, _usual_spaces(bare), strict=True):
        is_apart, says = found.start() > end, shapes[found.start()] not in "wdU"
        if is_usual != is_apart and tokens:
            mark = APART if is_apart else JOINED
            if says:
                token = mark + token
            elif could_say:  # a word says nothing: it would be another word
                tokens[-1] += mark
        tokens.append(token)
        end, could_say = found.end(), says
    return tokens


def without_marks(text: str) -> str:
    """A token, or tokens joined by spaces, without what is said in them about spaces."""
    return text.translate(_NO_MARKS)


_CLOSING = frozenset([".", ",", ";", ":", "!", "?", ")", "]", "}", "%", "...", "…", "।", "॥", "॰", "»", "”", "’", "°"])
_OPENING = frozenset(["(", "[", "{", "«", "“", "‘", "$", "£", "€", "₹", "#"])
_BETWEEN = frozenset(["/", "\\"])
_QUOTES = frozenset(['"', "'"])


def _usual_spaces(tokens: Iterable[str]) -> Iterator[bool]:
    """Whether a space is usual before each token: between words; punctuation as it is put, quotation marks in pairs."""
    glued, opened, last = True, set[str](), ""
    for token in tokens:
        closes = token in _CLOSING or token in _BETWEEN
        if token in _QUOTES:
            plural = token == "'" and token not in opened and last.endswith("s")  # the kings' sons
            closes = token in opened or plural
            if not plural:
                opened ^= {token}
        yield not (glued or closes)
        glued = token in _OPENING or token in _BETWEEN or (token in _QUOTES and not closes)
        last = token


def detokenize(tokens: Iterable[str]) -> str:
    """Running text of tokens, spaces where the tokens say or else where they usually are.

    Of the tokens of a text it is that text, normalised and with single spaces.
    """
    marked = list(tokens)
    bare = [token.translate(_NO_MARKS) for token in marked]
    pieces: list[str] = []
    said = ""
    for token, word, is_apart in zip(marked, bare, _usual_spaces(bare), strict=True):
        said = token[0] if token[:1] in _MARKS else said
        if pieces and (said == APART if said else is_apart):
            pieces.append(" ")
        pieces.append(word)
        said = token[-1] if token[-1:] in _MARKS else ""
    return "".join(pieces)
