"""Corpora: what a model is trained, chosen and tested on, and how one is made of pairs or of running text."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from lstm_jax.errors import TextError
from lstm_jax.text import subwords
from lstm_jax.text.pairs import Cleaned
from lstm_jax.text.splits import Words, split_pairs
from lstm_jax.text.tokenization import AS_WORDS, Cut, PairCut, Tokenization
from lstm_jax.text.tokens import normalize, straighten
from lstm_jax.text.vocabulary import SPECIAL, UNK, Vocabulary

MIN_PAIRS = 10
MIN_TOKENS = 1000
NUM_STRETCHES = 20
STRETCH_TOKENS = 40_000

Level = Literal["word", "character"]
VOCAB_SIZE = 4000
"""Pieces of a subword vocabulary, of both languages together."""


@dataclasses.dataclass(frozen=True)
class PairSplit:
    """Sentences and their translations: tokens (words, not ids), without BOS and EOS."""

    sources: tuple[tuple[str, ...], ...]
    targets: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.sources)


class Reader(NamedTuple):
    """How words of a language are read: cut as the corpus was, and numbered."""

    vocabulary: Vocabulary
    tokenization: Tokenization

    def unk_share(self, sentences: Iterable[Iterable[str]]) -> float:
        """The share of words that are not wholly in the vocabulary; of no words 0."""
        words = [word for sentence in sentences for word in sentence]
        unknown = sum(UNK in self.vocabulary.encode(self.tokenization.pieces([word])) for word in words)
        return unknown / max(len(words), 1)


@dataclasses.dataclass(frozen=True)
class PairCorpus:
    """Pairs in three splits, the vocabularies of the training split, and facts: origin, options, counts, licence."""

    source: Vocabulary
    target: Vocabulary
    train: PairSplit
    dev: PairSplit
    test: PairSplit
    facts: dict[str, Any]
    tokenization: Tokenization = AS_WORDS
    """Of the source; of the target too, but for its case, which stays."""
    further: tuple[tuple[Words, ...], ...] = ()
    """Other translations of each test sentence: references beside its target. None: no sentence has any."""

    @property
    def readers(self) -> tuple[Reader, Reader]:
        """Of source and target."""
        return Reader(self.source, self.tokenization), Reader(self.target, self.tokenization)

    def words(self, sentences: Iterable[Iterable[str]]) -> list[Words]:
        """The words of sentences of tokens: what is scored, and the same however words are cut."""
        return [tuple(self.tokenization.words(tokens)) for tokens in sentences]

    def read(self, sentence: str) -> list[str]:
        """The tokens of a sentence of the source language, as those of the corpus were made."""
        return source_tokens(sentence, self.tokenization)

    def write(self, tokens: Iterable[str]) -> str:
        """The text of tokens of either side."""
        return self.tokenization.text(tokens)


@dataclasses.dataclass(frozen=True)
class TextCorpus:
    """Running text in three splits, each of pieces that are whole in themselves: ids, int32, read-only."""

    level: Level
    vocabulary: Vocabulary
    train: tuple[Int[np.ndarray, "_"], ...]
    dev: tuple[Int[np.ndarray, "_"], ...]
    test: tuple[Int[np.ndarray, "_"], ...]
    facts: dict[str, Any]
    tokenization: Tokenization = AS_WORDS

    def read(self, text: str) -> list[str]:
        """The tokens of a text, as those of the corpus were made."""
        if self.level == "word":
            return words_of(text, self.tokenization)
        return list(characters_of(text, self.tokenization.lower))


def source_tokens(sentence: str, tokenization: Tokenization) -> list[str]:
    """The tokens of a sentence of the source language: apostrophes and quotation marks of all kinds are alike."""
    return _no_special(tokenization.tokens(straighten(sentence)))


def _no_special(tokens: Sequence[str]) -> list[str]:
    """Tokens of text in which <eos>, say, was written: no text ends, or pads, a sentence. <unk> is itself."""
    return [SPECIAL[UNK] if token in SPECIAL else token for token in tokens]


def prepare_pairs(
    pairs: Cleaned | Iterable[tuple[str, str]],
    *,
    min_count: int = 2,
    max_tokens: int = 30,
    dev_fraction: float = 0.05,
    test_fraction: float = 0.10,
    seed: int = 0,
    lower: bool = True,
    cut: PairCut = "words",
    vocab_size: int = VOCAB_SIZE,
    all_translations: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> PairCorpus:
    """Split pairs (source, target) into train, dev and test, and make the vocabularies of train.

    A pair's split is a hash of its English words, case and punctuation aside: no English sentence is in two splits, and
    more pairs move none. Of several translations of one sentence the first is the target; in test the others are its
    further references, in train they are pairs too with `all_translations`, else they are dropped. Dev and test keep no
    pair whose target is, word for word, a target in train, nor does test such a reference. `lower` makes the source
    lower case, never the target; its apostrophes are made alike, and `cut` says what is a token (`Tokenization`): with
    "bpe" words are cut into pieces of a vocabulary of `vocab_size`, learned from train, when all else is done. Tokens
    rarer than `min_count` in train become UNK. What was dropped is counted in `facts["dropped"]`.

    Raises TextError where there are fewer than 10 pairs or a split would be empty, as may be with fewer than 100.
    """
    if not 0 < dev_fraction < 1 or not 0 < test_fraction < 1 or dev_fraction + test_fraction >= 1:
        raise TextError(f"expected fractions above 0 that leave some for training, got {dev_fraction}, {test_fraction}")
    cleaned = pairs if isinstance(pairs, Cleaned) else Cleaned(tuple(pairs))
    dropped = Counter(cleaned.dropped)
    base: Cut = "words" if cut == "bpe" else cut
    read, written = Tokenization(lower, base), Tokenization(False, base)
    splits = split_pairs(
        (
            (tuple(source_tokens(english, read)), tuple(_no_special(written.tokens(marathi))))
            for english, marathi in cleaned.pairs
        ),
        dropped,
        max_tokens=max_tokens,
        dev_fraction=dev_fraction,
        test_fraction=test_fraction,
        seed=seed,
        all_translations=all_translations,
    )
    sizes = {name: len(split) for name, split in splits.items()}
    if sum(sizes.values()) < MIN_PAIRS or not all(sizes.values()):
        raise TextError(
            f"{cleaned.facts.get('origin', 'pairs')}: expected pairs for train, dev and test ({MIN_PAIRS} at least, "
            f"100 to be safe), got {sum(sizes.values())}: {', '.join(f'{size} {name}' for name, size in sizes.items())}"
        )
    options: dict[str, Any] = {"min_count": min_count, "max_tokens": max_tokens, "dev_fraction": dev_fraction}
    options |= {"test_fraction": test_fraction, "seed": seed, "lower": lower, "tokens": cut}
    options |= {"all_translations": True} if all_translations else {}
    if cut == "bpe":
        both = [side for sentence in splits["train"] for side in (sentence.source, sentence.target)]
        read = dataclasses.replace(read, cut="bpe", subwords=subwords.learn(both, vocab_size))
        options["vocab_size"] = vocab_size
    train, dev, test = (
        PairSplit(
            tuple(tuple(read.pieces(sentence.source)) for sentence in split),
            tuple(tuple(read.pieces(sentence.target)) for sentence in split),
        )
        for split in splits.values()
    )
    further = tuple(tuple(tuple(read.pieces(other)) for other in sentence.others) for sentence in splits["test"])
    counts = {"kept": sizes, "dropped": {reason: count for reason, count in sorted(dropped.items()) if count}}
    return PairCorpus(
        Vocabulary.of(train.sources, min_count),
        Vocabulary.of(train.targets, min_count),
        train,
        dev,
        test,
        {**cleaned.facts, **(facts or {}), "options": options, **counts, "further_references": sum(map(len, further))},
        read,
        further if any(further) else (),
    )


def words_of(text: str, tokenization: Tokenization = AS_WORDS) -> list[str]:
    """The tokens of running text, `<eos>` at the end of each line that is not blank; `<unk>` in the text is itself."""
    words: list[str] = []
    for line in text.split("\n"):
        if tokens := _no_special(tokenization.tokens(line, [SPECIAL[UNK]])):
            words += [*tokens, "<eos>"]
    return words


def characters_of(text: str, lower: bool = False) -> str:
    """The characters of running text, normalised; a line's end is one."""
    return "\n".join(normalize(line) for line in (text.lower() if lower else text).split("\n"))


def prepare_text(
    text: str,
    *,
    level: Level = "word",
    min_count: int = 2,
    dev_fraction: float = 0.05,
    test_fraction: float = 0.05,
    lower: bool = False,
    cut: Cut = "words",
    facts: Mapping[str, Any] | None = None,
) -> TextCorpus:
    """Split running text into train, dev and test, and number its tokens by the vocabulary of train.

    The text is cut into up to 20 equal stretches (one for each 40,000 tokens): of each the last `test_fraction` is for
    test, `dev_fraction` before it for dev, so that all parts of a text are in all splits. At the level of words each
    line, a verse say, ends in `<eos>`, as in the Penn Treebank, and `cut` says what is a token (`Tokenization`); at the
    level of characters (code points, NFC) spaces and line ends are characters.

    Raises TextError for a text of fewer than 1,000 tokens, or a fraction that is not within 0 and 1.
    """
    if not 0 < dev_fraction < 1 or not 0 < test_fraction < 1 or dev_fraction + test_fraction >= 1:
        raise TextError(f"expected fractions above 0 that leave some for training, got {dev_fraction}, {test_fraction}")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    tokenization = Tokenization(lower, cut)
    tokens: Sequence[str] = words_of(text, tokenization) if level == "word" else characters_of(text, lower)
    origin = (facts or {}).get("origin", "text")
    if len(tokens) < MIN_TOKENS:
        raise TextError(f"{origin}: expected {MIN_TOKENS} {level}s or more, got {len(tokens)}")
    num_stretches = min(NUM_STRETCHES, max(1, len(tokens) // STRETCH_TOKENS))
    pieces: dict[str, list[Sequence[str]]] = {"train": [], "dev": [], "test": []}
    for stretch in range(num_stretches):
        start, end = (len(tokens) * place // num_stretches for place in (stretch, stretch + 1))
        test = end - max(1, round((end - start) * test_fraction))
        dev = test - max(1, round((end - start) * dev_fraction))
        for name, first, last in (("train", start, dev), ("dev", dev, test), ("test", test, end)):
            pieces[name].append(tokens[first:last])
    vocabulary = Vocabulary.of(pieces["train"], min_count)
    train, dev_pieces, test_pieces = (
        tuple(ids_array(vocabulary.encode(piece)) for piece in split) for split in pieces.values()
    )
    options = {"level": level, "min_count": min_count, "dev_fraction": dev_fraction, "test_fraction": test_fraction}
    sizes = {name: sum(map(len, split)) for name, split in pieces.items()}
    return TextCorpus(
        level,
        vocabulary,
        train,
        dev_pieces,
        test_pieces,
        {**(facts or {}), "options": options | {"lower": lower, "tokens": cut}, "kept": sizes},
        tokenization,
    )


def ids_array(ids: Sequence[int]) -> Int[np.ndarray, "_"]:
    """Ids as an int32 array that can't be written to: a corpus is shared by all who load it."""
    array = np.array(ids, np.int32)
    array.setflags(write=False)
    return array
