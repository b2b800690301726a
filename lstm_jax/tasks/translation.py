"""Translation of sentences, as pairs of real text: a corpus that an experiment has prepared, by its digest.

    source  the file could not be opened . <eos>        prefix  <bos> फाइल उघडता आली नाही .
                                                        target  फाइल उघडता आली नाही . <eos>

`gap` is the longest source, in tokens, that a model is trained on: longer pairs are left out of training, and stay in
the test set. Padding counts nowhere. Batches are of one of a few shapes, pairs of like length together, drawn with
replacement. Held out is the `dev` split, or a sample of all its lengths. Chance is the accuracy of the one word that is
most frequent in the targets of all of `dev`; the memoryless loss is that of their frequencies as words.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Integer, Key

from lstm_jax.evaluation.translation import pad, translate, words_of
from lstm_jax.models.base import Pair
from lstm_jax.tasks.base import Batch, Task
from lstm_jax.text import store
from lstm_jax.text.corpus import PairCorpus, PairSplit
from lstm_jax.text.vocabulary import BOS, EOS, PAD

Buckets = Literal["run", "step"]
"""Whether each run draws the bucket of an update, or all runs have the same in the same update: of lanes side by side
one bucket is then computed and not those of all."""
NUM_BUCKETS = 4
NUM_SHOWN, SHOWN_TOKENS = 4, (5, 12)
"""How many sentences, of which lengths, have their alignments recorded."""


class Arrays(NamedTuple):
    """Pairs as ids, padded: what a batch is taken from."""

    sources: Integer[np.ndarray, "T N"]
    prefixes: Integer[np.ndarray, "S N"]
    targets: Integer[np.ndarray, "S N"]


@dataclasses.dataclass(frozen=True)
class Translation(Task):
    """Translate the sentences of a corpus; see the top of the file."""

    axis: ClassVar[str] = "longest source (tokens)"

    corpus: str = dataclasses.field(default="", kw_only=True)
    buckets: Buckets = dataclasses.field(default="run", kw_only=True, metadata={"before": "run"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.corpus:
            raise ValueError("corpus: expected the digest of a prepared corpus: python -m experiments.translation")
        if not isinstance(store.load(self.corpus), PairCorpus):
            raise ValueError(f"corpus: {self.corpus} is running text; expected one of pairs")
        if not self._buckets:
            raise ValueError(f"gap: no training pair of corpus {self.corpus} has a source of at most {self.gap} tokens")

    @property
    def pairs(self) -> PairCorpus:
        """The corpus itself."""
        corpus = store.load(self.corpus)
        assert isinstance(corpus, PairCorpus)
        return corpus

    @property
    def form(self) -> Literal["encoder_decoder"]:
        return "encoder_decoder"

    @property
    def num_tokens(self) -> int:
        """Words of the source language, and the special tokens."""
        return len(self.pairs.source)

    @property
    def num_classes(self) -> int:
        """Words of the target language, and the special tokens."""
        return len(self.pairs.target)

    @property
    def num_steps(self) -> int:
        """Of the longest pair: source and target, each with EOS."""
        return max(len(bucket.sources) + len(bucket.targets) for bucket in (*self._buckets, self._dev))

    @property
    def readout(self) -> Literal["every"]:
        return "every"

    @property
    def chance(self) -> float:
        """The share of the most frequent word of the targets of all of `dev`."""
        return float(self._frequencies.max())

    @property
    def memoryless_loss(self) -> float:
        """The entropy of the words of the targets of all of `dev`."""
        shares = self._frequencies[self._frequencies > 0]
        return float(-(shares * np.log(shares)).sum())

    @property
    def shape_shares(self) -> tuple[float, ...]:
        """The buckets' shares of the training pairs."""
        counts = [bucket.sources.shape[1] for bucket in self._buckets]
        return tuple(count / sum(counts) for count in counts)

    def shape_key(self, batch_key: Key[Array, ""], step: Int32[Array, ""]) -> Key[Array, ""]:
        """Of the run, or of the update alone."""
        if self.buckets == "run":
            return super().shape_key(batch_key, step)
        return jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 2), step)

    def sample(self, key: Key[Array, ""], batch_size: int) -> Batch:
        """Pairs of all lengths, of the shape of the longest."""
        return _take(key, _arrays(self.pairs, self.pairs.train, self._trained), batch_size)

    def train_batch(self, key: Key[Array, ""], step: Int32[Array, ""], batch_size: int, shape: int) -> Batch:
        """Pairs of one bucket."""
        del step
        return _take(key, self._buckets[shape], batch_size)

    def held_out(self, size: int) -> Batch:
        """`size` pairs of the `dev` split; of one that has no more all of them, and pairs that do not count.

        Files are often sorted by length, and what is hard about a pair goes with it. So the sample is evenly spread
        over the pairs by length, and over the file among those of one length: its lengths are those of the split.
        """
        order = _by_length(self.corpus)
        number = len(order)
        spread = ((np.arange(size) + 0.5) * number / size).astype(int)
        chosen = order[spread] if number > size else np.arange(size)
        batch = _batch(self._dev, chosen % number)
        counts = (jnp.arange(size) < number).astype(batch.weights.dtype)
        return batch._replace(weights=batch.weights * counts, recall=batch.recall * counts)

    def answers(self, model: Any) -> dict[str, list[dict[str, Any]]]:
        """Translations of the test split, by beam search and greedily: words, joined by spaces; with attention, where
        the model looked for each token of a few of them: a weight for each token of the source and its end."""
        split = self.pairs.test
        found = translate(model, self.pairs, split.sources)
        written = {"output": [each.output for each in found], "greedy": [each.greedy for each in found]}
        rows = self.translations(written)
        tables: dict[str, list[dict[str, Any]]] = {"translations": rows}
        fit = [index for index, words in enumerate(split.sources) if SHOWN_TOKENS[0] <= len(words) <= SHOWN_TOKENS[1]]
        shown = [fit[place] for place in np.unique(np.linspace(0, len(fit) - 1, NUM_SHOWN).astype(int))] if fit else []
        alignments = [
            {"sentence": index, "word": word, "weights": " ".join(f"{weight:.3f}" for weight in weights)}
            for index in shown
            if found[index].alignment is not None
            for word, weights in zip([*found[index].output, "<eos>"], found[index].alignment, strict=False)
        ]
        return tables | ({"alignments": alignments} if alignments else {})

    def translations(self, written: Mapping[str, Sequence[Sequence[str]]]) -> list[dict[str, Any]]:
        """Rows of the test split: source, reference, what was `written` for it and its further references, as words."""
        pairs, split = self.pairs, self.pairs.test
        columns = {"source": split.sources, "reference": split.targets, **written}
        texts = {name: [" ".join(words) for words in pairs.words(tokens)] for name, tokens in columns.items()}
        if pairs.further:
            texts["further"] = ["\t".join(map(" ".join, pairs.words(others))) for others in pairs.further]
        return [dict(zip(texts, row, strict=True)) for row in zip(*texts.values(), strict=True)]

    def show(self, inputs: Pair, targets: Integer[np.ndarray, " S"]) -> str:
        """Source above target, in words."""
        rows = (("source", self.pairs.source, np.asarray(inputs.source)), ("target", self.pairs.target, targets))
        return "\n".join(f"{name} {' '.join(words_of(vocabulary, ids))}" for name, vocabulary, ids in rows)

    @property
    def _trained(self) -> tuple[int, ...]:
        """The training pairs whose source is no longer than the gap."""
        return tuple(index for index, words in enumerate(self.pairs.train.sources) if len(words) <= self.gap)

    @property
    def _buckets(self) -> tuple[Arrays, ...]:
        return _buckets(self.corpus, self._trained)

    @property
    def _dev(self) -> Arrays:
        return _dev(self.corpus)

    @property
    def _frequencies(self) -> np.ndarray:
        ids = self._dev.targets
        counts = np.bincount(ids[ids != PAD], minlength=self.num_classes)
        return np.asarray(counts / counts.sum())


def _take(key: Array, arrays: Arrays, batch_size: int) -> Batch:
    return _batch(arrays, jax.random.randint(key, (batch_size,), 0, arrays.sources.shape[1]))


def _batch(arrays: Arrays, columns: Array | np.ndarray) -> Batch:
    source, prefix, targets = (jnp.asarray(array)[:, columns] for array in arrays)
    weights = (targets != PAD).astype(jnp.float32)
    return Batch(Pair(source, prefix), targets, weights, weights)


def _arrays(corpus: PairCorpus, split: PairSplit, indices: Sequence[int] | None = None) -> Arrays:
    chosen = range(len(split.sources)) if indices is None else indices
    sources = [[*corpus.source.encode(split.sources[index]), EOS] for index in chosen]
    targets = [corpus.target.encode(split.targets[index]) for index in chosen]
    longest = max(map(len, targets), default=0) + 1
    return Arrays(
        pad(sources, max(map(len, sources), default=0)),
        pad([[BOS, *ids] for ids in targets], longest),
        pad([[*ids, EOS] for ids in targets], longest),
    )


@functools.lru_cache(maxsize=8)
def _dev(digest: str) -> Arrays:
    corpus = store.load(digest)
    assert isinstance(corpus, PairCorpus)
    return _arrays(corpus, corpus.dev)


@functools.lru_cache(maxsize=8)
def _by_length(digest: str) -> Integer[np.ndarray, " N"]:
    """The pairs of `dev` from the shortest to the longest, by source and then by target."""
    arrays = _dev(digest)
    return np.lexsort(((arrays.targets != PAD).sum(axis=0), (arrays.sources != PAD).sum(axis=0)))


@functools.lru_cache(maxsize=8)
def _buckets(digest: str, trained: tuple[int, ...]) -> tuple[Arrays, ...]:
    """Training pairs by their longer side, in as many parts of about equal work."""
    corpus = store.load(digest)
    assert isinstance(corpus, PairCorpus)
    lengths = {index: max(len(corpus.train.sources[index]), len(corpus.train.targets[index])) for index in trained}
    order = sorted(trained, key=lambda index: lengths[index])
    work = np.cumsum([lengths[index] + 1 for index in order])
    buckets: dict[int, list[int]] = {}
    for index, done in zip(order, work, strict=True):
        buckets.setdefault(min(NUM_BUCKETS - 1, int(NUM_BUCKETS * done / (work[-1] + 1))), []).append(index)
    return tuple(_arrays(corpus, corpus.train, indices) for indices in buckets.values())
