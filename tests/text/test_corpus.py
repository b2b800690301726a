"""Corpora: nothing of a test sentence is seen in training, more data moves none, too little is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstm_jax.text.corpus
from lstm_jax.errors import TextError
from lstm_jax.text import subwords
from lstm_jax.text.corpus import prepare_pairs, prepare_text, words_of
from lstm_jax.text.pairs import Cleaned, read_pairs
from lstm_jax.text.splits import split_key
from lstm_jax.text.tokens import tokenize
from lstm_jax.text.vocabulary import EOS, UNK, Vocabulary

FIXTURE = Path(__file__).parent / "fixtures" / "english-marathi.tsv"
WORDS = st.sampled_from(["Open", "open", "close", "don't", "don’t", "file", "File:", "...", "a-b", "!"])
PAIRS = st.lists(
    st.tuples(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), st.lists(st.sampled_from("कखगघ")).map(" ".join))
)
MANY = tuple((f"word {number}", f"शब्द {number}") for number in range(300))
SPLITS = ("train", "dev", "test")


def counted(corpus):
    facts = corpus.facts
    return sum(facts["kept"].values()) + sum(facts["dropped"].values()) + facts["further_references"]


@settings(max_examples=50, deadline=None)
@given(PAIRS, st.booleans(), st.integers(0, 3))
def test_no_sentence_is_in_two_splits(pairs, lower, seed):
    corpus = prepare_pairs(MANY + tuple(pairs), lower=lower, seed=seed, min_count=1)
    keys = [{split_key(source) for source in getattr(corpus, name).sources} for name in SPLITS]
    assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])
    for name in ("dev", "test"):
        assert not set(getattr(corpus, name).targets) & set(corpus.train.targets)
    for name in SPLITS:
        split = getattr(corpus, name)
        assert len(split) == len(split.sources) == len(split.targets) == len(set(split.sources))
        assert all(split.sources) and all(split.targets)
    assert counted(corpus) == len(MANY) + len(pairs)


@settings(max_examples=20, deadline=None)
@given(PAIRS)
def test_more_pairs_move_none(pairs):
    """A sentence stays where it was; dev and test may lose one whose translation is now in train."""
    before, after = prepare_pairs(MANY), prepare_pairs((*MANY, *pairs))
    assert set(before.train.sources) <= set(after.train.sources)
    for name in SPLITS:
        others = {source for other in SPLITS if other != name for source in getattr(after, other).sources}
        assert not set(getattr(before, name).sources) & others


def test_a_translation_that_is_in_train_is_in_no_other_split():
    """Of two English sentences of one translation that are in different splits, train has it."""
    corpus = prepare_pairs(tuple((f"word {number}", f"शब्द {number // 2}") for number in range(600)), min_count=1)
    targets = {name: set(getattr(corpus, name).targets) for name in SPLITS}
    assert targets["dev"] and targets["test"] and not targets["train"] & (targets["dev"] | targets["test"])
    dropped = corpus.facts["dropped"]["dev or test, the Marathi is in train"]
    assert dropped > 50 and sum(corpus.facts["kept"].values()) == 600 - dropped


def test_case_and_punctuation_keep_sentences_together():
    assert split_key(["Open", "..."]) == split_key(["open"]) == split_key(["OPEN", "!"])
    assert split_key(["don’t"]) == split_key(["don't"]) != split_key(["do"])
    assert split_key(["!"]) == "!"  # nothing but punctuation is a sentence too


def test_a_source_is_read_as_it_was_in_training():
    """Apostrophes and quotation marks of all kinds are one, case as in the corpus; the target stays as it is."""
    corpus = prepare_pairs((*MANY, ("Don’t ‘go’", "’ “जा”")), min_count=1)
    known = {pair for name in SPLITS for pair in zip(*vars(getattr(corpus, name)).values(), strict=True)}
    assert (("don't", "'", "go", "'"), ("’", "“", "जा", "”")) in known
    for mark in "'’‘ʼ":
        assert corpus.read(f"DON{mark}T") == ["don't"]
        assert split_key([f"don{mark}t"]) == "don't"
    assert prepare_pairs((*MANY, ("Don’t", "जा")), lower=False).read("DON’T") == ["DON'T"]


def test_spaces_alone_make_no_other_sentence():
    """12:30 and 12 : 30 have one split and one place in it, so that a third translation is one of the same sentence."""
    corpus = prepare_pairs((*MANY, ("at 12:30", "१२:३०"), ("at 12 : 30", "१२ : ३०"), ("At 12:30", "दोन")), min_count=1)
    assert corpus.facts["dropped"] == {"duplicate": 1}
    assert sum(corpus.facts["kept"].values()) == 301
    assert corpus.further[corpus.test.sources.index(("at", "12", ":\u2060", "30"))] == (("दोन",),)
    pairs = [pair for name in SPLITS for pair in zip(*vars(getattr(corpus, name)).values(), strict=True)]
    assert ("at 12:30", "१२:३०") in [tuple(map(corpus.write, pair)) for pair in pairs]


def test_text_that_is_tokenised_is_cut_at_spaces_alone():
    pairs = (*MANY, ("do n't stop@@ ped <eos> .", "a.b <unk> ?!"))
    corpus = prepare_pairs(pairs, cut="space", min_count=1)
    known = {pair for name in SPLITS for pair in zip(*vars(getattr(corpus, name)).values(), strict=True)}
    source = ("do", "n't", "stop@@", "ped", "<unk>", ".")
    assert (source, ("a.b", "<unk>", "?!")) in known, "no text ends a sentence"
    assert corpus.read("Do n't stop@@ ped <eos> .") == list(source) and corpus.write(source) == " ".join(source)
    assert corpus.facts["options"]["tokens"] == "space" and prepare_pairs(MANY).facts["options"]["tokens"] == "words"
    text = prepare_text("a <unk>s @-@ b.\n" * 400, cut="space", min_count=1)
    assert text.read("b. @-@\nx<unk>") == ["b.", "@-@", "<eos>", "x<unk>", "<eos>"]
    assert text.vocabulary.tokens[5:] == ("<unk>s", "@-@", "a", "b.")


def test_the_first_translation_is_kept_and_the_source_alone_made_lower_case():
    corpus = prepare_pairs((*MANY, ("Word 0", "ABC दुसरा"), ("X Y", "ABC"), ("word 0", "शब्द 0")), min_count=1)
    pairs = {pair for name in SPLITS for pair in zip(*vars(getattr(corpus, name)).values(), strict=True)}
    assert (("word", "0"), ("शब्द", "0")) in pairs and (("x", "y"), ("ABC",)) in pairs and len(pairs) == 301
    assert corpus.facts["dropped"] == {"another translation of the same English": 1, "duplicate": 1}
    cased = prepare_pairs((*MANY, ("Word 0", "ABC दुसरा")), lower=False)
    assert sum(cased.facts["kept"].values()) == 301


def test_other_translations_are_references_of_test_and_pairs_of_train_if_asked_for():
    """No reference is in train, and no pair is added to train whose Marathi a test sentence has."""
    pairs = [(f"word {number}", f"शब्द {number} {kind}") for kind in ("क", "ख", "ग") for number in range(300)]
    first = prepare_pairs((*pairs, *((f"word {number}", f"शब्द {number + 1} क") for number in range(300))))
    assert [len(others) for others in first.further] != [0] * len(first.test)
    trained = set(first.train.targets)
    for target, others in zip(first.test.targets, first.further, strict=True):
        assert {other[2] for other in others} >= {"ख", "ग"} and target not in others and not trained & {*others}
    assert counted(first) == 1200 and len(first.train) == len(set(first.train.sources))
    more = prepare_pairs(
        (*pairs, *((f"word {number}", f"शब्द {number + 1} क") for number in range(300))), all_translations=True
    )
    assert (more.dev, more.test, more.further) == (first.dev, first.test, first.further)
    assert more.train.sources[: len(first.train)] == first.train.sources and counted(more) == 1200
    assert len(more.train) >= 3 * len(first.train) and not set(more.train.sources) & set(first.test.sources)
    asked = {each for split in (more.dev, more.test) for each in split.targets} | set(sum(more.further, ()))
    assert not asked & set(more.train.targets)


def test_pieces_of_words_come_back_as_the_same_words():
    """The corpus of pieces is that of words: splits, references and what is scored; nothing of test is learned from."""
    words = prepare_pairs(read_pairs(FIXTURE), min_count=1)
    pieces = prepare_pairs(read_pairs(FIXTURE), min_count=1, cut="bpe", vocab_size=600)
    assert pieces == prepare_pairs(read_pairs(FIXTURE), min_count=1, cut="bpe", vocab_size=600)
    for name in SPLITS:
        for side in ("sources", "targets"):
            cut, whole = (getattr(getattr(corpus, name), side) for corpus in (pieces, words))
            assert cut != whole and pieces.words(cut) == list(whole)
    assert [pieces.words(others) for others in pieces.further] == [*map(list, words.further)]
    assert 500 < len({*pieces.source.tokens, *pieces.target.tokens}) <= 605
    shares = [reader.unk_share([["december", "qwx"]]) for reader in (words.readers[0], pieces.readers[0])]
    assert shares[0] == 0.5 and pieces.readers[1].unk_share(words.test.targets) < 0.2 < words.readers[1].unk_share(
        words.test.targets
    )
    assert words.readers[1].unk_share(words.test.targets) == words.target.unk_share(words.test.targets)
    assert pieces.write(pieces.read("An UNSEEN word: 2:30!")) == "an unseen word: 2:30!"
    other = prepare_pairs(Cleaned((*read_pairs(FIXTURE).pairs, ("August", "ऑगस्ट zzz"))), cut="bpe", vocab_size=600)
    assert other.tokenization == pieces.tokenization and other.facts["options"]["vocab_size"] == 600


@pytest.mark.parametrize("size", [10, 10**6])
def test_a_size_that_no_vocabulary_can_have(size):
    with pytest.raises(TextError, match=f"vocab_size: got {size}; expected another"):
        prepare_pairs(MANY, cut="bpe", vocab_size=size)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_cut_into_pieces_and_joined(text):
    words = tokenize(text.replace(subwords.BEGINS, "_"))
    pieces = subwords.cut(_MODEL, [*words, "<unk>", *words])
    assert subwords.join(pieces) == [*words, "<unk>", *words]


def test_what_follows_an_unknown_word_begins_another():
    assert subwords.join(["<unk>", "ing", f"{subwords.BEGINS}word", "ing"]) == ["<unk>", "ing", "wording"]
    assert subwords.join(["ing"]) == ["ing"]


_MODEL = subwords.learn([("word", "शब्द"), ("wording", "शब्दांचे")], 28)


def test_the_fixture_in_numbers():
    """Splits of about the sizes asked for, vocabularies of train alone; a golden first token guards the hash."""
    corpus = prepare_pairs(read_pairs(FIXTURE), min_count=2, facts={"licence": "BSD-3-Clause"})
    assert corpus.facts["kept"] == {"train": 398, "dev": 20, "test": 47}
    assert corpus.facts["licence"] == "BSD-3-Clause" and corpus.facts["origin"] == "english-marathi.tsv"
    assert corpus.source == Vocabulary.of(corpus.train.sources, 2)
    assert corpus.target == Vocabulary.of(corpus.train.targets, 2)
    assert max(len(side) for name in SPLITS for side in getattr(corpus, name).sources) <= 30
    assert corpus.test.sources[0] == ("august",)


def test_long_sentences_and_those_without_words():
    dropped = prepare_pairs((*MANY, ("a " * 31, "क"), ("a", "क " * 31), ("a", " "), ("b " * 30, "ख"))).facts["dropped"]
    assert dropped == {"more than 30 tokens": 2, "no words": 1}


@pytest.mark.parametrize(("count", "got"), [(0, "got 0"), (1, "got 1: "), (9, "got 9: ")])
def test_too_few_pairs(count, got):
    with pytest.raises(TextError, match=rf"few\.tsv: expected pairs for train, dev and test .10 at least.*{got}"):
        prepare_pairs(Cleaned(MANY[:count], {}, {"origin": "few.tsv"}))


@pytest.mark.parametrize("fractions", [(0.0, 0.1), (0.1, 0.0), (0.5, 0.5), (-0.1, 0.1), (float("nan"), 0.1)])
def test_fractions(fractions):
    dev, test = fractions
    for prepare, data in ((prepare_pairs, MANY), (prepare_text, "a b c d " * 1000)):
        with pytest.raises(TextError, match="fractions"):
            prepare(data, dev_fraction=dev, test_fraction=test)


# Running text


def text_of(num_lines, seed=0):
    random = np.random.default_rng(seed)
    return "".join(" ".join(map(str, random.integers(0, 50, 9))) + ".\n" for _ in range(num_lines))


@settings(max_examples=15, deadline=None)
@given(st.integers(100, 300), st.sampled_from([0.02, 0.05, 0.2]), st.sampled_from(["word", "character"]))
def test_splits_of_text_are_its_tokens_in_order(num_lines, fraction, level):
    text = text_of(num_lines)
    corpus = prepare_text(text, level=level, dev_fraction=fraction, test_fraction=fraction, min_count=1)
    pieces = [piece for group in zip(corpus.train, corpus.dev, corpus.test, strict=True) for piece in group]
    tokens = corpus.vocabulary.decode(np.concatenate(pieces))
    expected = words_of(text) if level == "word" else list(text)
    assert tokens == [token if token in corpus.vocabulary else "<unk>" for token in expected]
    assert sum(map(len, corpus.test)) == pytest.approx(fraction * len(tokens), abs=len(corpus.test))
    assert all(piece.dtype == np.int32 and not piece.flags.writeable and len(piece) for piece in pieces)


def test_a_long_text_is_cut_into_stretches(monkeypatch):
    """Each part of a long text is in all splits: 20 pieces at most, one for so many tokens."""
    monkeypatch.setattr(lstm_jax.text.corpus, "STRETCH_TOKENS", 400)
    for num_lines, stretches in ((110, 3), (360, 9), (2_000, 20)):
        corpus = prepare_text(text_of(num_lines))
        assert [len(getattr(corpus, name)) for name in SPLITS] == [stretches] * 3
        assert corpus.facts["kept"]["test"] == pytest.approx(0.05 * 11 * num_lines, abs=stretches)


def test_lines_end_rare_words_and_unknown_words():
    text = "In the beginning.\r\n\r\nrare <unk> the\r\n" * 1 + "the end.\n" * 500
    corpus = prepare_text("\ufeff" + text, min_count=2)
    assert words_of("In the beginning.\n \n<unk>s a\n") == [
        "In",
        "the",
        "beginning",
        ".",
        "<eos>",
        "<unk>",
        "s",
        "a",
        "<eos>",
    ]
    ids = corpus.train[0][:8].tolist()
    the = corpus.vocabulary.encode(["the"])[0]
    assert ids == [UNK, the, UNK, corpus.vocabulary.encode(["."])[0], EOS, UNK, UNK, the]
    assert "rare" not in corpus.vocabulary and prepare_text(text.upper(), lower=True).vocabulary == corpus.vocabulary


def test_characters_keep_spaces_and_line_ends():
    text = "एक दोन\r\nthree\n" * 200
    corpus = prepare_text(text, level="character")
    pieces = [piece for group in zip(corpus.train, corpus.dev, corpus.test, strict=True) for piece in group]
    assert "".join(corpus.vocabulary.decode(np.concatenate(pieces))) == text.replace("\r", "")


def test_the_vocabulary_is_of_train_alone():
    text = "a b c d e f\n" * 300 + "secret secret secret\n"
    assert "secret" not in prepare_text(text, min_count=1).vocabulary


def test_too_short_a_text():
    for text in ("", "one two three\n", "\n" * 5000):
        with pytest.raises(TextError, match=r"tiny\.txt: expected 1000 words or more, got \d$"):
            prepare_text(text, facts={"origin": "tiny.txt"})
    with pytest.raises(TextError, match="expected 1000 characters"):
        prepare_text("one", level="character")


def test_one_line_of_megabytes(time_limit):
    with time_limit(10):
        for level in ("word", "character"):
            prepare_text("word, " * 2**18, level=level)
