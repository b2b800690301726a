"""Numbers of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_jax.text.tokens import JOINED
from lstm_jax.text.vocabulary import BOS, EOS, MASK, PAD, SPECIAL, UNK, Vocabulary

SENTENCES = st.lists(st.lists(st.text("abक्<>", min_size=1, max_size=3)))


def test_special_tokens_have_their_ids():
    assert [SPECIAL[place] for place in (PAD, BOS, EOS, UNK, MASK)] == ["<pad>", "<bos>", "<eos>", "<unk>", "<mask>"]
    assert Vocabulary.of([]).tokens == SPECIAL


def test_order_is_by_count_then_code_point():
    vocabulary = Vocabulary.of([["b", "c", "a"], ["c", "b", "z", "<eos>", "<eos>"]], min_count=1)
    assert vocabulary.tokens[5:] == ("b", "c", "a", "z")
    assert Vocabulary.of([["b", "c", "a"], ["c", "b"]], min_count=2).tokens[5:] == ("b", "c")


@given(SENTENCES, st.integers(1, 3))
def test_rare_tokens_are_unknown_others_come_back(sentences, min_count):
    vocabulary = Vocabulary.of(sentences, min_count)
    words = [word for sentence in sentences for word in sentence]
    expected = [word if words.count(word) >= min_count else "<unk>" for word in words]
    assert vocabulary.decode(vocabulary.encode(words)) == expected
    assert Vocabulary.of([words[::-1]], min_count) == vocabulary


def test_errors():
    with pytest.raises(ValueError, match="begins with"):
        Vocabulary(("a", "b"))
    with pytest.raises(ValueError, match="once"):
        Vocabulary((*SPECIAL, "a", "a"))
    vocabulary = Vocabulary((*SPECIAL, "a"))
    assert len(vocabulary) == 6 and "a" in vocabulary and "b" not in vocabulary
    for place in (-1, 6):
        with pytest.raises(IndexError):
            vocabulary.decode([place])


def test_punctuation_with_unusual_spaces_is_read_with_the_usual_where_it_is_rare():
    rare = [["2", f":{JOINED}", "3"], ["a", ":", "b"]]
    vocabulary = Vocabulary.of(rare, min_count=2)
    assert vocabulary.tokens[5:] == (":",)
    assert vocabulary.encode([f":{JOINED}", ":", f".{JOINED}"]) == [5, 5, UNK]
    assert vocabulary.unknown(["x", f".{JOINED}", "<unk>", ":", "x"]) == ["x", "."]
    assert vocabulary.unk_share(rare) == 4 / 6 and vocabulary.unk_share([]) == 0
    assert Vocabulary.of(rare * 2, min_count=2).encode([f":{JOINED}"]) != Vocabulary.of(rare * 2, 2).encode([":"])
