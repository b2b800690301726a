"""Words: Devanagari stays whole, punctuation stands alone, and text comes back."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_jax.text.pairs import read_pairs
from lstm_jax.text.tokens import APART, JOINED, detokenize, normalize, straighten, tokenize, without_marks

FIXTURE = Path(__file__).parent / "fixtures" / "english-marathi.tsv"
PIECES = ["क", "्", "ष", "ि", "ं", "़", "र", "\u200d", "\u200c", "।", "e", "\u0301", "'", "’", "-", "_", ".", ",", "…"]
PIECES += [
    '"',
    "s",
    ":",
    "(",
    "/",
    "\u0905",
    "\u0945",
    "\u0947",
    "\u093e",
    "\u2060",
    "\u200b",
    "1",
    "२",
    "%",
    "☎",
    "\ufe0f",
    " ",
    "\n",
    "\u00a0",
    "\ufeff",
    "\u00ad",
    "<",
    "A",
    "\x00",
    "\u2028",
]
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
    marked = tokenize(text)
    tokens = [without_marks(token) for token in marked]
    assert all(token == bare or not bare[0].isalnum() for token, bare in zip(marked, tokens, strict=True))
    for token in tokens:
        assert token and unicodedata.is_normalized("NFC", token)
        assert not unicodedata.category(token[0]).startswith("M")
        assert not any(each.isspace() or unicodedata.category(each) in ("Cc", "Cf", "Cs") for each in token)
    assert "".join(tokens) == "".join(normalize(text).split())  # nothing seen is lost
    assert [without_marks(token) for token in tokenize(" ".join(tokens))] == tokens


@given(TEXTS)
@example("2:30, a.m. 24 / 7")
@example("' \"x\" (kings' 'a' b')")
def test_text_comes_back_as_it_was(text):
    """What is shown is what was read: every space that was there, and no other."""
    assert detokenize(tokenize(text)) == " ".join(normalize(text).split())
    assert tokenize(detokenize(tokenize(text))) == tokenize(text)


@pytest.mark.parametrize(
    "text", ["It's 2:30 p.m.", "24 / 7", 'सी.आय.ए.ची "X"चा', "a , b", "C++ x=1", "( a )", "#1 # 1"]
)
def test_unusual_spaces_come_back(text):
    assert detokenize(tokenize(text)) == text
    assert without_marks(" ".join(tokenize(text))) == " ".join(map(without_marks, tokenize(text)))


def test_what_is_said_about_spaces_is_said_by_punctuation_alone():
    """Words stay the words that they are, and the usual spaces take no token of their own."""
    assert tokenize("2:30") == ["2", f":{JOINED}", "30"]
    assert tokenize("24 / 7") == ["24", f"{APART}/{APART}", "7"]
    assert tokenize('"a"b') == ['"', "a", f'"{JOINED}', "b"]


@given(st.lists(st.sampled_from([f":{JOINED}", f"{APART}:", '"', f"{APART}/{APART}", "a", "b", "(", "."])))
def test_whatever_a_model_writes_is_text(tokens):
    text = detokenize(tokens)
    assert text == " ".join(text.split()) and JOINED not in text and APART not in text
    assert text.replace(" ", "") == without_marks("".join(tokens))


def test_what_stays_whole():
    assert tokenize("a <unk>s, <unk>", ["<unk>"]) == ["a", "<unk>", "s", ",", "<unk>"]
    assert [without_marks(token) for token in tokenize("<unk>")] == ["<", "unk", ">"]


def test_apostrophes_and_quotation_marks_of_all_kinds_are_alike():
    assert {straighten(f"don{mark}t") for mark in "'’‘‛ʼ′´`＇"} == {"don't"}
    assert straighten("“a” „b‟ ″") == '"a" "b" "'


# The Unicode Standard, table 12-1: the letter and how it is not to be written.
VOWELS = """0904 0905 0946, 0906 0905 093E, 0908 0930 094D 0907, 090A 0909 0941, 090D 090F 0945, 090E 090F 0946,
0910 090F 0947, 0911 0905 0949, 0911 0906 0945, 0912 0905 094A, 0912 0906 0946, 0913 0905 094B, 0913 0906 0947,
0914 0905 094C, 0914 0906 0948, 0972 0905 0945, 0973 0905 093A, 0974 0905 093B, 0974 0906 093A, 0975 0905 094F,
0976 0905 0956, 0977 0905 0957, 0911 0905 093E 0945, 0913 0905 093E 0947"""


@pytest.mark.parametrize("row", VOWELS.replace("\n", " ").split(","))
def test_a_vowel_spelt_as_it_looks_is_the_letter(row):
    letter, *written = (chr(int(code, 16)) for code in row.split())
    assert normalize("".join(written)) == letter
    assert tokenize(f"क{''.join(written)}ट") == [f"क{letter}ट"]


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
