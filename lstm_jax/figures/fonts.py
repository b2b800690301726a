"""The font of all figures, the same on every machine, and text in the letters that it has."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font


def take_own_fonts() -> None:
    """Have the fonts that come with matplotlib found before the machine's: the list that it caches may lack them."""
    fonts = fontManager.ttflist
    num_others = len(fonts)
    for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"):
        fontManager.addfont(Path(mpl.get_data_path(), "fonts", "ttf", name))
    fontManager.ttflist = fonts[num_others:] + fonts[:num_others]


take_own_fonts()


def as_written(text: str) -> str:
    """Return text that matplotlib shows as it is: a dollar sign is no formula, and no glyph is missing."""
    return readable(text).replace("$", r"\$")


def readable(text: str) -> str:
    """Return text with every word that the font has no glyphs for in Latin letters.

    Devanagari among others: the font has none, fonts of the machine would make a figure depend on it, and matplotlib
    shapes such scripts from 3.11 on alone.
    """
    glyphs = _glyphs()
    if all(ord(character) in glyphs or character.isspace() for character in text):
        return text
    from anyascii import anyascii

    return re.sub(
        r"\S+", lambda word: word[0] if glyphs.issuperset(map(ord, word[0])) else anyascii(word[0]) or "?", text
    )


@functools.cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties())).get_charmap())
