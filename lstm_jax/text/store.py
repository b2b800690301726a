"""Prepared corpora on disk, named by their content. Whole or not there; checked when loaded."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import platformdirs

from lstm_jax.errors import TextError
from lstm_jax.files import write_atomically
from lstm_jax.text.corpus import PairCorpus, PairSplit, TextCorpus, ids_array
from lstm_jax.text.tokenization import AS_WORDS, Tokenization
from lstm_jax.text.vocabulary import Vocabulary

NAME = "corpus.json"
AGAIN = "prepare it again with the command that made it"


def directory_of(digest: str) -> Path:
    """Where the user's cache has the corpus of a digest."""
    return platformdirs.user_cache_path("lstm_jax", appauthor=False) / "corpora" / digest


def store(corpus: PairCorpus | TextCorpus) -> str:
    """Put a corpus into the user's cache; its digest, 16 hex digits of the SHA-256 of its content without the facts."""
    content = _canonical(_content(corpus))
    digest = _digest(content)
    _write(directory_of(digest), content, _canonical(corpus.facts))
    return digest


@functools.cache
def load(digest: str) -> PairCorpus | TextCorpus:
    """The corpus of a digest from the user's cache; raises TextError where it is not there or not what was stored."""
    return _read(directory_of(digest), digest)[0]


def copy_to(digest: str, directory: Path) -> None:
    """Put a copy of a stored corpus into a directory, of results say; raises TextError as `load` does."""
    _, content, facts = _read(directory_of(digest), digest)
    _write(directory, content, facts)


def ensure(digest: str, directory: Path) -> None:
    """Have the corpus of a digest in the user's cache, from the copy in `directory` where it is not there yet.

    Raises TextError where the copy is of another corpus or damaged; where there is none, `load` will say so.
    """
    if not (directory_of(digest) / NAME).exists() and (directory / NAME).exists():
        found = adopt(directory)
        if found != digest:
            raise TextError(f"{directory}: holds the corpus {found}; expected {digest}, whose words the models know")


def adopt(directory: Path) -> str:
    """Put the corpus of a directory that `copy_to` wrote to into the user's cache; its digest.

    Raises TextError for a directory without a corpus or with a damaged one.
    """
    _, content, facts = _read(directory, None)
    digest = _digest(content)
    _write(directory_of(digest), content, facts)
    return digest


def _content(corpus: PairCorpus | TextCorpus) -> dict[str, Any]:
    made = corpus.tokenization
    made_as = {name: value for name, value in dataclasses.asdict(made).items() if name != "subwords" or value}
    read: dict[str, Any] = {} if made == AS_WORDS else {"tokenization": made_as}  # new text is read by it
    if isinstance(corpus, PairCorpus):
        splits = {name: dataclasses.asdict(getattr(corpus, name)) for name in ("train", "dev", "test")}
        read |= {"further": corpus.further} if corpus.further else {}
        return {"kind": "pairs", "source": corpus.source.tokens, "target": corpus.target.tokens, **splits, **read}
    ids = {name: [piece.tolist() for piece in getattr(corpus, name)] for name in ("train", "dev", "test")}
    return {"kind": "text", "level": corpus.level, "vocabulary": corpus.vocabulary.tokens, **ids, **read}


def _corpus(content: dict[str, Any], facts: dict[str, Any]) -> PairCorpus | TextCorpus:
    names = ("train", "dev", "test")
    # Corpora of before say in their facts alone whether they are lower case.
    made = content.get("tokenization", {"lower": facts.get("options", {}).get("lower", False)})
    read = Tokenization(**made)
    if content["kind"] == "pairs":
        train, dev, test = (
            PairSplit(*(tuple(map(tuple, content[name][side])) for side in ("sources", "targets"))) for name in names
        )
        source, target = (Vocabulary(tuple(content[side])) for side in ("source", "target"))
        further = tuple(tuple(map(tuple, others)) for others in content.get("further", ()))
        return PairCorpus(source, target, train, dev, test, facts, read, further)
    pieces = {name: tuple(ids_array(piece) for piece in content[name]) for name in names}
    vocabulary = Vocabulary(tuple(content["vocabulary"]))
    return TextCorpus(content["level"], vocabulary, facts=facts, tokenization=read, **pieces)


def _canonical(tree: dict[str, Any]) -> str:
    """JSON in one spelling; ASCII, so that the bytes are those of the text everywhere."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _write(directory: Path, content: str, facts: str) -> None:
    """Three lines: a seal of the other two, the content, the facts."""
    seal = hashlib.sha256(f"{content}\n{facts}\n".encode()).hexdigest()
    try:
        write_atomically(directory / NAME, f'{{"sha256":"{seal}"}}\n{content}\n{facts}\n')
    except OSError as error:
        raise TextError(f"{directory / NAME}: can't be written ({error.strerror})") from None


def _read(directory: Path, digest: str | None) -> tuple[PairCorpus | TextCorpus, str, str]:
    path = directory / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise TextError(f"{path}: there is no prepared corpus: {AGAIN}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(f"{path}: can't be read ({error}): {AGAIN}") from None
    seal, _, rest = text.partition("\n")
    if seal != f'{{"sha256":"{hashlib.sha256(rest.encode()).hexdigest()}"}}':
        raise TextError(f"{path}: the corpus is damaged: delete the file and {AGAIN}")
    content, facts, _ = rest.split("\n")
    if digest is not None and _digest(content) != digest:
        raise TextError(f"{path}: expected the corpus {digest}, got {_digest(content)}: delete the file and {AGAIN}")
    return _corpus(json.loads(content), json.loads(facts)), content, facts
