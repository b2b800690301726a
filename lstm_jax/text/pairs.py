"""Pairs of an English sentence and its Marathi translation: read from a file, or cleaned of what software puts in."""

from __future__ import annotations

import dataclasses
import html
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from lstm_jax.errors import TextError
from lstm_jax.text.files import excerpt, read_text
from lstm_jax.text.tokens import normalize

MAX_CHARACTERS = 1000  # no sentence of 30 words is longer; cut off before any pattern is tried on it


class SentencePair(NamedTuple):
    """A sentence and its translation, as text."""

    english: str
    marathi: str


@dataclasses.dataclass(frozen=True)
class Cleaned:
    """The pairs that can be used, how many others were dropped for which reason, and facts: origin, licence."""

    pairs: tuple[tuple[str, str], ...]
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


def read_pairs(path: Path) -> Cleaned:
    """Read lines of `English<TAB>Marathi[<TAB>attribution]`, the form of ManyThings and Anki, UTF-8.

    Blank lines are skipped. A line without a tab, one of more than 1,000 characters a side, and a pair that can't be
    used (see `reason_against`) are dropped and counted. Raises TextError, in one line that names the file: for a file
    that can't be read as UTF-8 text, where most lines have no tab or the Marathi first, or where nothing is left.
    """
    pairs: list[SentencePair] = []
    dropped = Counter[str]()
    swapped: list[tuple[int, str]] = []
    num_lines, without_tab = 0, (0, "")
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        num_lines += 1
        english, tab, rest = line.partition("\t")
        if not tab:
            dropped["no tab"] += 1
            without_tab = without_tab if without_tab[0] else (number, line)
            continue
        marathi = rest.partition("\t")[0]
        if _is_marathi(english) and not _is_marathi(marathi):
            swapped.append((number, line))
        _keep(english, marathi, pairs, dropped)
    if 2 * dropped["no tab"] > num_lines:
        number, line = without_tab
        raise TextError(
            f"{path}, line {number}: expected English<TAB>Marathi, got {excerpt(line)}: "
            f"{dropped['no tab']} of {num_lines} lines have no tab"
        )
    if 2 * len(swapped) > num_lines:
        number, line = swapped[0]
        raise TextError(
            f"{path}, line {number}: expected English<TAB>Marathi, got {excerpt(line)}: the Marathi comes first in "
            f"{len(swapped)} of {num_lines} lines: swap the columns"
        )
    if not pairs:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
        raise TextError(f"{path}: expected lines of English<TAB>Marathi, none can be used ({reasons})")
    return Cleaned(tuple(pairs), dict(dropped), {"origin": path.name})


def clean_catalogue(messages: Iterable[tuple[str, str]]) -> Cleaned:
    """Sentences of the messages of software and their translations.

    Access keys (_File, ~File, &File, (_F) after the word) and simple tags (<b>) are taken out, entities resolved, lines
    joined. Dropped and counted: messages with placeholders, other markup, several paragraphs, tabs, identifiers, and
    what `reason_against` says.
    """
    pairs: list[SentencePair] = []
    dropped = Counter[str]()
    for message in messages:
        if max(map(len, message)) > MAX_CHARACTERS:
            dropped[_TOO_LONG] += 1
            continue
        english, marathi = (_MARKUP.sub("", text.replace("%PRODUCTNAME", "LibreOffice")).strip() for text in message)
        english, marathi = (html.unescape(text) for text in (english, marathi))
        for reason, pattern in _SOFTWARE:
            if pattern.search(english) or pattern.search(marathi):
                dropped[reason] += 1
                break
        else:
            _keep(_without_key(english), _without_key(marathi), pairs, dropped)
    return Cleaned(tuple(pairs), dict(dropped))


_TOO_LONG = f"more than {MAX_CHARACTERS} characters"
_MARKUP = re.compile(r"</?(?:b|i|u|tt|big|small|span|strong|em|p|br|a|sup|sub)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_SOFTWARE = (
    ("several paragraphs", re.compile(r"\n\s*\n|\\n")),
    ("tab", re.compile(r"\t|\\t")),
    (
        "placeholder",
        re.compile(
            r"%[-+ #0]*[\d.*]*(?:l|ll|h|z)?[a-zA-Z@]\b|%\d|%[A-Z(&{]|%%|\$\(|\$\{|\$\w+|#\w+#|#\d|\{\w*\}|\[x\]|<\d>"
        ),
    ),
    ("markup", re.compile(r"</?[a-zA-Z][^<>]*>|&#?\w+;|\|")),
    ("identifier", re.compile(r"\w_\w+_\w|://|\w\(\)|^\S*\w[./=@\\]\w\S*$")),
)
_KEY_AFTER = re.compile(r"\s*\([_~&]\s?[^\s()]\)")
_KEY_BEFORE = re.compile(r"(?<!\w)[_~&](?=\w)|(?<=\w)[_~](?=\w)|(?<=\w)&(?=[a-z\u0900-\u097f])")


def _without_key(text: str) -> str:
    return _KEY_BEFORE.sub("", _KEY_AFTER.sub("", text)).replace("&&", "&")


def _keep(english: str, marathi: str, pairs: list[SentencePair], dropped: Counter[str]) -> None:
    """Put a pair in order and add it to `pairs`, or count why not."""
    if max(len(english), len(marathi)) > MAX_CHARACTERS:
        dropped[_TOO_LONG] += 1
        return
    english, marathi = (" ".join(normalize(text).split()) for text in (english, marathi))
    if reason := reason_against(english, marathi):
        dropped[reason] += 1
    else:
        pairs.append(SentencePair(english, marathi))


_LATIN = re.compile("[A-Za-z]")
_DEVANAGARI = re.compile("[\u0904-\u0939\u0958-\u0961\u0972-\u097f]")


def _is_marathi(text: str) -> bool:
    return _DEVANAGARI.search(text[:MAX_CHARACTERS]) is not None


def reason_against(english: str, marathi: str) -> str:
    """Why a pair is of no use, "" where it is."""
    if not english or not marathi:
        return "one side is empty"
    if english.casefold() == marathi.casefold():
        return "both sides are the same"
    if not _DEVANAGARI.search(marathi):
        return "no Devanagari letter in the Marathi"
    if _DEVANAGARI.search(english):
        return "Devanagari in the English"
    if not _LATIN.search(english):
        return "no letter in the English"
    return ""
