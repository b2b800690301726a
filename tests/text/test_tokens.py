"""Words: Devanagari stays whole, punctuation stands alone, and text comes back."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_jax.text.pairs import read_pairs
from lstm_jax.text.tokens import detokenize, normalize, tokenize

FIXTURE = Path(__file__).parent / "fixtures" / "english-marathi.tsv"
PIECES = ["क", "्", "ष", "ि", "ं", "़", "र", "\u200d", "\u200c", "।", "e", "\u0301", "'", "’", "-", "_", ".", ",", "…"]
PIECES += ["1", "२", "%", "☎", "\ufe0f", " ", "\n", "\u00a0", "\ufeff", "\u00ad", "<", "A", "\x00", "\u2028"]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The file could not be opened.", "The file could not be opened ."),
        ("don't, won’t; 'tis the kings' read-only a_b", "don't , won’t ; ' tis the kings ' read-only a_b"),
        ("1,000.50 of 3.14, 5-7 (100%)", "1,000.50 of 3.14 , 5-7 ( 100 % )"),
        ("Open... really?!", "Open ... really ? !"),
        ("- all - and/or", "- all - and / or"),
        ("फाईल उघडू शकत नाही।", "फाईल उघडू शकत नाही ।"),
        ("क्षितिज॥ करण्याऱ्या (वर्तुळांची)", "क्षितिज ॥ करण्याऱ्या ( वर्तुळांची )"),
        ("डॉ. १,२३४ रु.", "डॉ . १,२३४ रु ."),
        ("☎️ ok", "☎️ ok"),
        ("", ""),
        (" \t\n", ""),
    ],
)
def test_words_and_punctuation(text, tokens):
    assert tokenize(text) == tokens.split()


def test_a_syllable_written_in_other_ways_is_the_same_word():
    """A nukta consonant in one or two code points; joiners; the eyelash ra stays apart from a plain one."""
    assert tokenize("\u0958") == tokenize("\u0915\u093c")
    assert tokenize("\u0930\u093c") == ["\u0931"]
    assert tokenize("क्\u200dष\u200c") == ["क्ष"]
    assert tokenize("दर्\u200dया") == ["दऱ्या"] != tokenize("दर्या")


@given(TEXTS)
@example("\u0301a \u093e b")
@example("a\u200b\u0301")
def test_what_a_token_is(text):
    tokens = tokenize(text)
    for token in tokens:
        assert token and unicodedata.is_normalized("NFC", token)
        assert not unicodedata.category(token[0]).startswith("M")
        assert not any(each.isspace() or unicodedata.category(each) in ("Cc", "Cf", "Cs") for each in token)
    assert "".join(tokens) == "".join(normalize(text).split())  # nothing seen is lost
    assert tokenize(" ".join(tokens)) == tokens


@given(TEXTS)
def test_normalizing_twice_is_once(text):
    assert normalize(normalize(text)) == normalize(text)


@pytest.mark.parametrize(
    "text",
    [
        "The file could not be opened.",
        'Save "notes.odt" as (read-only)?'.replace(".", "-"),
        "He said: 'no'; the kings' sons don't.",
        "It costs $5, 100% and/or [more]...",
        "फाईल उघडू शकत नाही। पुन्हा प्रयत्न करा!",
        "“एक”, «दोन»",
    ],
)
def test_common_text_comes_back(text):
    assert detokenize(tokenize(text)) == text


def test_the_fixture_comes_back_but_for_spaces():
    """Both sides of every pair; how many come back to the letter is what detokenize is for."""
    texts = [text for pair in read_pairs(FIXTURE).pairs for text in pair]
    for text in texts:
        assert "".join(detokenize(tokenize(text)).split()) == "".join(text.split())
    assert sum(detokenize(tokenize(text)) == text for text in texts) > 0.95 * len(texts)


def test_a_megabyte_takes_no_time(time_limit):
    for text in ("a" * 2**20, "a'" * 2**19, "1." * 2**19, "." * 2**20, "\u093f" * 2**20, "क्" * 2**19, "a b " * 2**18):
        with time_limit(5):
            detokenize(tokenize(text))
