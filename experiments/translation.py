"""How well do recurrent networks translate, and how does it degrade with the length of the sentence?

python -m experiments.translation                                   # English to Marathi, minutes on two cores
python -m experiments.translation --pairs mar.txt                   # lines of English<TAB>Marathi[<TAB>attribution]
python -m experiments.translation --cells lstm lstm@attention=additive,bidirectional=true transformer
python -m experiments.translation translate --checkpoint results/translation "The file could not be opened."
python -m experiments.translation thoughts --checkpoint results/translation     # what encoders leave of a sentence
python -m experiments.translation gains results/words results/pieces            # what a change gains
python -m experiments.translation search --checkpoint results/words             # by beam size and length penalty
python -m experiments.translation --task reverse --gaps 5 10        # no data needed: reverse a sequence, add numbers
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import rich.console
import tyro

from experiments import captions, common, gaps, text
from experiments.cli import program
from experiments.common import Experiment
from lstm_jax.errors import ConfigError, TextError
from lstm_jax.files import write_atomically
from lstm_jax.sweeps.config.fields import AT_LEAST_ONE, Checked
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.sweeps.store.records import Record, write_rows
from lstm_jax.text.corpus import VOCAB_SIZE, PairCorpus, TextCorpus, prepare_pairs
from lstm_jax.text.files import excerpt
from lstm_jax.text.tokenization import PairCut
from lstm_jax.text.tokens import without_marks

_SYMBOLS = "How long a sequence can an encoder hold?"
_MAX_TOKENS = 30
_EMBEDDING_DIM = {"smoke": 16, "quick": 64, "full": 128}
WITHOUT_DATA: dict[str, Any] = {"dropout": 0.0, "embedding_dim": 16, "batch_size": 64}
MAX_SENTENCE = 256
"""Words and punctuation marks of a sentence to translate: each costs a step, and attention their square."""
_CELLS = ("rnn", "gru", "lstm", "rnn@attention=dot", "gru@attention=dot", "lstm@attention=dot")
_SHARED = SweepConfig.of(
    task="translation",
    cells=_CELLS,
    gaps=None,
    learning_rates=(0.003,),
    seeds=(0,),
    tuning_seeds=(),
    num_params=None,
    dropout=None,
    embedding_dim=None,
    batch_size=None,
    max_steps=5000,
    chunk_steps=250,
    eval_size=512,
    out=Path("results/translation"),
)


@dataclasses.dataclass(frozen=True)
class Data(Checked):
    """Where pairs come from."""

    corpus: Literal["libreoffice", "full"] | None = None
    """Pairs from Debian's translations of software, fetched by package name: of LibreOffice, or of many programs.
    None: libreoffice, where there are no --pairs."""
    pairs: Path | None = None
    """A file of pairs instead, English<TAB>Marathi[<TAB>attribution], the form of ManyThings and Anki."""
    tokens: PairCut | None = None
    """What a token is: words and punctuation marks; of a file that is tokenised already, what is between spaces; or
    pieces of words (bpe). Scores are of words in any case. None: words."""
    vocab_size: Annotated[int | None, AT_LEAST_ONE] = None
    """Pieces in the vocabulary of --tokens bpe, of both languages together. None: 4000."""
    all_translations: bool | None = None
    """Train on all translations of a sentence, not on the first alone. None: false."""
    min_count: Annotated[int | None, AT_LEAST_ONE] = None
    """How often a token must occur in training to be in the vocabulary; others are <unk>. None: 2, of pieces 1."""
    max_tokens: Annotated[int | None, AT_LEAST_ONE] = None
    """Pairs with more words or punctuation marks on a side are left out. None: 30."""


def prepare(config: SweepConfig, data: Data, console: rich.console.Console) -> SweepConfig:
    """Make the corpus that the sweep is about; of a task without data, set what suits one that can be solved."""
    if text.task_name(config) != "translation":
        text.refuse_given(data, f"expected no options of data, which the task {config.task} needs none of")
        return text.resolve(config, console, **WITHOUT_DATA)
    from lstm_jax.analysis.text.ngram_scores import check_installed

    check_installed()  # before hours of training, not after them
    chosen: dict[str, Any] = {"dropout": 0.3, "embedding_dim": _EMBEDDING_DIM[config.preset]}
    if text.has_corpus(config, data):
        return text.resolve(config, console, **chosen, gaps=(_longest(text.corpus_of_sweep(config)),))
    if data.vocab_size is not None and data.tokens != "bpe":
        raise ConfigError(f"vocab_size: got {data.vocab_size}; expected none without --tokens bpe")
    if data.pairs is not None and data.corpus is not None:
        raise ConfigError(f"pairs, corpus: got {data.pairs} and {data.corpus}; expected one of them")
    if data.pairs is not None:
        from lstm_jax.text.pairs import read_pairs

        cleaned = read_pairs(data.pairs)
    else:
        from lstm_jax.text.debian import english_marathi

        name = data.corpus or "libreoffice"
        with console.status(f"pairs of {name}, from Debian's packages"):
            cleaned = english_marathi(name)
    corpus = prepare_pairs(
        cleaned,
        min_count=data.min_count or (1 if data.tokens == "bpe" else 2),
        max_tokens=data.max_tokens or _MAX_TOKENS,
        cut=data.tokens or "words",
        vocab_size=data.vocab_size or VOCAB_SIZE,
        all_translations=bool(data.all_translations),
    )
    prepared = text.with_corpus(config, corpus, console, buckets="step")
    return text.resolve(prepared, console, **chosen, gaps=(_longest(corpus),))


def _longest(corpus: PairCorpus | TextCorpus) -> int:
    """The longest source that is trained on: `max_tokens`, or as many pieces as the longest has."""
    assert isinstance(corpus, PairCorpus)
    if corpus.tokenization.cut != "bpe":
        return int(corpus.facts.get("options", {}).get("max_tokens", _MAX_TOKENS))
    return max(map(len, corpus.train.sources))


def report(
    experiment: Experiment, config: SweepConfig, records: Sequence[Record], console: rich.console.Console
) -> None:
    """Write scores, BLEU against source length, learning curves, samples; without data, the report of `gaps`."""
    if text.task_name(config) != "translation":
        gaps.report(dataclasses.replace(experiment, title=_SYMBOLS), config, records, console)
        return
    from experiments.page import sections
    from experiments.page import text as text_page
    from lstm_jax.analysis.text.baselines import baselines
    from lstm_jax.analysis.text.translation import (
        LengthScore,
        TranslationContrast,
        TranslationScore,
        bleu_by_length,
        sentence_scores,
        translation_contrasts,
        translation_scores,
    )
    from lstm_jax.figures.learning_curves import pick_evenly
    from lstm_jax.figures.style import save
    from lstm_jax.figures.text.translation import as_markdown, by_length_figure, print_scores, samples_markdown

    shown = text.reported(config, records, console)
    translations = [(record.run, record.tables.get("translations", ())) for record in shown]
    if not any(rows for _, rows in translations):
        console.print("no run has ended: there is nothing to score", highlight=False)
        return
    corpus = text.corpus_of_sweep(config)
    assert isinstance(corpus, PairCorpus)
    train, test = (
        [corpus.words(side) for side in (part.sources, part.targets)] for part in (corpus.train, corpus.test)
    )
    others = baselines(train[0], train[1], test[0])
    vocabularies = source, target = corpus.readers
    scores = translation_scores(translations, others, vocabularies)
    lengths = bleu_by_length(translations, others, vocabularies)
    out = config.out
    write_rows(out / "scores.csv", TranslationScore, scores)
    write_rows(out / "contrasts.csv", TranslationContrast, translation_contrasts(translations, others))
    write_rows(out / "lengths.csv", LengthScore, lengths)
    unknown = text.unk_sentence(target.unk_share(test[1]), "the test references' tokens")
    unknown += " " + text.unk_sentence(source.unk_share(test[0]), "the sources'")
    protocol = f"{captions.describe(config, records, corpus.facts['origin'])} {unknown}"
    curves = text.draw_curves(experiment, config, records, shown, protocol)
    title = "How does translation degrade with the length of the sentence?"
    plots = save(by_length_figure(lengths, caption=protocol, title=title), out / "translation")
    print_scores(console, scores)
    best = max((row for row in scores if row.kind == "model" and row.seed is None), key=lambda row: row.bleu)
    run, rows = next((run, rows) for run, rows in translations if run.cell == best.system and rows)
    by_sentence = sentence_scores(rows)
    write = corpus.tokenization.text_of_words
    heading = f"# Samples of {run.cell}, seed {run.seed}\n\n{as_markdown(unknown)}\n\n"
    write_atomically(out / "samples.md", heading + samples_markdown(rows, by_sentence, write))
    samples = [{name: write(row[name].split()) for name in ("source", "reference", "output")} for row in rows]
    page = text_page.of_translation(config, records, protocol, scores, lengths, samples, shown)
    for place in pick_evenly(sorted(range(len(rows)), key=lambda index: -by_sentence[index]), 5):
        words = (write(rows[place][name].split()) for name in ("source", "output"))
        console.print("  " + "  ->  ".join(words), highlight=False, markup=False, soft_wrap=True)
    pictures = [plots[0], curves, *_draw_alignments(config, shown, corpus.test.sources)]
    console.print(f"samples: {out / 'samples.md'}", highlight=False, soft_wrap=True)
    console.print(f"plots: {', '.join(map(str, pictures))}", highlight=False, soft_wrap=True)
    console.print(f"report: {sections.write(page, out / 'report.html')}", highlight=False, soft_wrap=True)


def _draw_alignments(config: SweepConfig, records: Sequence[Record], sources: Sequence[Sequence[str]]) -> list[Path]:
    """Draw the attention of the best model that has one, over the tokens of `sources`; no picture without any."""
    from lstm_jax.figures.style import save
    from lstm_jax.figures.text.alignment import Alignment, alignments_figure

    for record in sorted(records, key=lambda record: -(record.run.score or 0.0)):
        sentences: dict[int, list[Mapping[str, Any]]] = {}
        for row in record.tables.get("alignments", ()):
            sentences.setdefault(row["sentence"], []).append(row)
        found = [
            Alignment(
                [*map(without_marks, sources[index]), "<eos>"],
                [without_marks(row["word"]) for row in rows],
                np.array([[float(weight) for weight in row["weights"].split()] for row in rows]),
            )
            for index, rows in sentences.items()
        ]
        if found:
            caption = f"{record.run.cell}, seed {record.run.seed}; held-out sentences."
            figure = alignments_figure(found, caption=caption, title="Where the decoder looks")
            return save(figure, config.out / "alignments")[:1]
    return []


EXPERIMENT = Experiment(
    module="experiments.translation",
    description=(
        "Translation by encoder and decoder, English to Marathi, and how it degrades with the length of the sentence. "
        "`translate --help` says how to use a trained model, `thoughts --help` how to look into its encoder, "
        "`gains --help` and `search --help` what a change of the training or of the search gains. "
        "Where they are not given: dropout 0.3, batch-size 32, "
        "embedding-dim 64 (smoke 16, full 128), gaps max-tokens; of tasks without data, as reverse, dropout 0, "
        "batch-size 64, embedding-dim 16, gaps 5 10 20; num-params those of an LSTM of 128 units (smoke 16, full 512)."
    ),
    title="Translation, English to Marathi",
    presets={
        "smoke": _SHARED.replace(preset="smoke", cells=("rnn", "lstm@attention=dot"),
            max_steps=60, chunk_steps=30, eval_size=64,
        ),
        "quick": _SHARED.replace(preset="quick"),
        "full": _SHARED.replace(
            preset="full", learning_rates=(0.001, 0.003), seeds=(0, 1, 2, 3, 4), tuning_seeds=(100, 101),
            max_steps=20_000, chunk_steps=500,
        ),
    },
    data=Data(),
    prepare=prepare,
    report=report,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Translate:
    """Translate sentences with a trained model: those given, or the lines of the standard input.

    One line comes out for each line that goes in: an empty one for a line without words, and for one that can't be
    translated, which the standard error names; the exit status is then 1.
    """

    checkpoint: Path
    """The directory of a sweep, or of one of its jobs under checkpoints/."""
    sentences: tyro.conf.Positional[tuple[str, ...]] = ()
    """Sentences to translate. None: a line of the standard input each."""
    cell: str | None = None
    """Which of the trained models, by its label. None: the one with the best held-out score."""
    seed: int | None = None
    """Seed of the training run to use. None: the best run."""
    beam_size: int = 4
    """Hypotheses of beam search; 1 is greedy."""
    length_penalty: float = 0.6
    """How far longer translations are favoured: the alpha of Wu et al. 2016."""


def translate(argv: Sequence[str]) -> int:
    """Run `translate` as a command; returns the exit status."""
    skipped: list[int] = []
    return text.answer(lambda: _translate(argv, skipped)) or int(bool(skipped))


def _translate(argv: Sequence[str], skipped: list[int]) -> None:
    """Translate; the lines of the standard input that can't be are added to `skipped`."""
    options = parse_options(Translate, argv, f"{program('translation')} translate", str(Translate.__doc__))
    if options.beam_size < 1 or not 0 <= options.length_penalty < float("inf"):
        raise ConfigError(
            f"beam_size, length_penalty: got {options.beam_size}, {options.length_penalty}; expected at least 1, 0"
        )
    trained = text.trained_model(options.checkpoint, "translation", "encoder_decoder", options.cell, options.seed)
    from lstm_jax.evaluation.translation import translate as translate_words
    from lstm_jax.tasks.translation import Translation

    assert isinstance(trained.task, Translation)
    corpus = trained.task.pairs
    given = [_words(corpus, sentence, f"sentence {place}") for place, sentence in enumerate(options.sentences, start=1)]
    if [] in given:
        place = given.index([])
        raise TextError(
            f"sentence {place + 1}: expected a sentence to translate, got {excerpt(options.sentences[place])}"
        )
    for words in given or _lines(corpus, skipped):
        if not words:
            print(flush=True)
            continue
        if unknown := corpus.source.unknown(words):
            print(f"not in the vocabulary, read as <unk>: {' '.join(unknown)}", file=sys.stderr)
        search: dict[str, Any] = {"beam_size": options.beam_size, "length_penalty": options.length_penalty}
        found = translate_words(trained.model, corpus, [words], **search, batch_size=1)
        print(corpus.write(found[0].output), flush=True)


def _lines(corpus: PairCorpus, skipped: list[int]) -> Iterator[list[str]]:
    """Yield the words of each line: none for a blank line, or for one that can't be translated, which is named."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        place = f"standard input, line {number}"
        words: list[str] = []
        try:
            words = _words(corpus, line.decode("utf-8-sig" if number == 1 else "utf-8"), place)
        except (TextError, UnicodeDecodeError) as error:
            reason = error if isinstance(error, TextError) else f"{place}: expected UTF-8"
            print(f"warning: {reason}; its translation is left empty", file=sys.stderr)
            skipped.append(number)
        yield words


def _words(corpus: PairCorpus, sentence: str, place: str) -> list[str]:
    words = corpus.read(sentence)
    if len(words) > MAX_SENTENCE:
        raise TextError(f"{place}: expected at most {MAX_SENTENCE} words and punctuation marks, got {len(words)}")
    return words


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] == "translate":
        return translate(argv[1:])
    if argv and argv[0] == "thoughts":
        from experiments.thoughts import thoughts

        return thoughts(argv[1:])
    if argv and argv[0] == "gains":
        from experiments.gains import gains

        return gains(argv[1:])
    if argv and argv[0] == "search":
        from experiments.search import search

        return search(argv[1:])
    return common.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
