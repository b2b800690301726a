"""Corpora on disk: what is loaded is what was stored, or an error says what to do."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lstm_jax.errors import TextError
from lstm_jax.text import store
from lstm_jax.text.corpus import PairCorpus, PairSplit, TextCorpus, ids_array, prepare_pairs, prepare_text
from lstm_jax.text.pairs import read_pairs
from lstm_jax.text.vocabulary import SPECIAL, Vocabulary

FIXTURE = Path(__file__).parent / "fixtures" / "english-marathi.tsv"
GOLDEN = PairCorpus(
    Vocabulary((*SPECIAL, "go")),
    Vocabulary((*SPECIAL, "जा")),
    *(PairSplit((("go",),), (("जा", "."),)) for _ in range(3)),
    {"origin": "here"},
)


@pytest.fixture(autouse=True)
def _forget():
    store.load.cache_clear()


def text_corpus():
    return prepare_text("दोन words\n" * 500, level="character", facts={"origin": "x"})


def test_pairs_and_text_come_back():
    pairs = prepare_pairs(read_pairs(FIXTURE))
    assert store.load(store.store(pairs)) == pairs
    text = text_corpus()
    loaded = store.load(store.store(text))
    assert isinstance(loaded, TextCorpus)
    assert (loaded.level, loaded.vocabulary, loaded.facts) == (text.level, text.vocabulary, text.facts)
    for name in ("train", "dev", "test"):
        for piece, stored in zip(getattr(loaded, name), getattr(text, name), strict=True):
            assert piece.dtype == np.int32 and piece.tolist() == stored.tolist() and not piece.flags.writeable


def test_the_digest_is_of_the_content_alone():
    """Golden: the same on every machine; other facts are the same corpus, another token is not."""
    assert store.store(GOLDEN) == "962a448a23b3a1ac"
    assert store.store(dataclasses.replace(GOLDEN, facts={"origin": "there"})) == store.store(GOLDEN)
    other = dataclasses.replace(GOLDEN, dev=PairSplit((("go",),), (("जा",),)))
    assert store.store(other) != store.store(GOLDEN)


def test_how_text_is_read_is_content():
    """What a sentence is made of belongs to the corpus, even where the words are the same; old ones are still read."""
    words, cut = (prepare_pairs([(f"word {n}", f"शब्द {n}") for n in range(300)], cut=cut) for cut in ("words", "space"))
    assert words.train == cut.train and store.store(words) != store.store(cut)
    for corpus in (words, cut):
        assert store.load(store.store(corpus)) == corpus
    assert store.load(store.store(cut)).read("A,b c") == ["a,b", "c"]
    text = prepare_text("a b. " * 500, cut="space")
    assert store.load(store.store(text)).read("B.") == ["B.", "<eos>"]
    old = dataclasses.replace(GOLDEN, facts={"options": {"lower": True}})
    assert store.load(store.store(old)).read("GO") == ["go"]


def test_another_process_makes_the_same(tmp_path):
    """Whatever the seed of Python's hashes."""
    code = (
        "from pathlib import Path\nfrom lstm_jax.text import store\nfrom lstm_jax.text.corpus import prepare_pairs\n"
        "from lstm_jax.text.pairs import read_pairs\n"
        f"print(store.store(prepare_pairs(read_pairs(Path({str(FIXTURE)!r})))))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == store.store(prepare_pairs(read_pairs(FIXTURE)))


def test_copies_are_put_back(tmp_path):
    digest = store.store(GOLDEN)
    store.copy_to(digest, tmp_path / "results")
    before = (store.directory_of(digest) / store.NAME).read_bytes()
    (store.directory_of(digest) / store.NAME).unlink()
    with pytest.raises(TextError, match="no prepared corpus"):
        store.load(digest)
    assert store.adopt(tmp_path / "results") == digest
    assert store.load(digest) == GOLDEN
    assert (store.directory_of(digest) / store.NAME).read_bytes() == before
    assert [path.name for path in (tmp_path / "results").iterdir()] == [store.NAME]


def test_loading_twice_reads_once():
    digest = store.store(GOLDEN)
    assert store.load(digest) is store.load(digest)


def damages(data):
    yield b""
    yield data[: len(data) // 2]
    yield data[:-1]
    yield data.replace(b"here", b"hare")  # the facts
    yield data.replace(b'"go"', b'"do"', 1)
    yield data + b"\n"
    yield b"\xff" + data
    for place in range(0, len(data), 41):
        yield data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


def test_every_damage_is_seen(tmp_path):
    digest = store.store(GOLDEN)
    path = store.directory_of(digest) / store.NAME
    data = path.read_bytes()
    for damaged in damages(data):
        path.write_bytes(damaged)
        with pytest.raises(TextError, match="prepare it again") as caught:
            store.load(digest)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        with pytest.raises(TextError, match="prepare it again"):
            store.adopt(path.parent)
    store.store(GOLDEN)  # as the error says
    assert store.load(digest) == GOLDEN


def test_a_corpus_under_another_digest():
    digest = store.store(GOLDEN)
    wrong = "0" * 16
    store.copy_to(digest, store.directory_of(wrong))
    with pytest.raises(TextError, match=f"expected the corpus {wrong}, got {digest}"):
        store.load(wrong)


def test_errors_of_the_disk(tmp_path):
    (tmp_path / "file").write_text("x")
    digest = store.store(GOLDEN)
    with pytest.raises(TextError, match="can't be written"):
        store.copy_to(digest, tmp_path / "file")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(TextError, match="no prepared corpus"):
            store.adopt(place)


def test_two_at_once():
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: store.store(GOLDEN), range(40)))
    (digest,) = digests
    assert store.load(digest) == GOLDEN
    assert [path.name for path in store.directory_of(digest).iterdir()] == [store.NAME]


def test_ids_can_not_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        ids_array([1, 2])[0] = 3
