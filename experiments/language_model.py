"""How far back does a language model look in real text?

python -m experiments.language_model                                # the King James Bible, word by word
python -m experiments.language_model --text my.txt --level character
python -m experiments.language_model --cells lstm lstm@tied=true lstm@form=encoder_decoder lstm@form=encoder transformer
python -m experiments.language_model sample --checkpoint results/language_model --prompt "In the beginning"
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import rich.console

from experiments import captions, common, text
from experiments.cli import program
from experiments.common import Experiment
from lstm_jax.errors import ConfigError
from lstm_jax.files import write_atomically
from lstm_jax.sweeps.config.fields import AT_LEAST_ONE, Checked
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.sweeps.store.records import Record, write_rows
from lstm_jax.text.corpus import TextCorpus, prepare_text
from lstm_jax.text.tokenization import Cut

_SHARED = SweepConfig.of(
    task="language",
    cells=("rnn", "gru", "lstm"),
    gaps=(35,),
    learning_rates=(0.003,),
    seeds=(0,),
    tuning_seeds=(),
    num_params=None,
    dropout=0.1,
    embedding_dim=96,
    max_steps=1500,
    chunk_steps=100,
    eval_size=64,
    out=Path("results/language_model"),
)


@dataclasses.dataclass(frozen=True)
class Data(Checked):
    """Where text comes from."""

    text: Path | None = None
    """A text file, UTF-8. None: the King James Bible, from Debian's packages."""
    level: Literal["word", "character"] | None = None
    """What a token is. None: word."""
    tokens: Cut | None = None
    """What a word is: words and punctuation marks, or, of a file that is tokenised already, what is between spaces.
    None: words."""
    min_count: Annotated[int | None, AT_LEAST_ONE] = None
    """How often a token must occur in training to be in the vocabulary; others are <unk>. None: 3."""


def prepare(config: SweepConfig, data: Data, console: rich.console.Console) -> SweepConfig:
    """Make the corpus that the sweep is about."""
    if text.task_name(config) != "language":
        raise ConfigError(f"task: got {config.task!r}; expected language, which is what this experiment is about")
    if text.has_corpus(config, data):
        return text.resolve(config, console)
    min_count = 3 if data.min_count is None else data.min_count
    if data.level == "character" and data.tokens is not None:
        raise ConfigError(f"tokens: got {data.tokens!r}; expected none with characters, which are not cut into words")
    if data.text is not None:
        from lstm_jax.text.files import read_text

        running, facts = read_text(data.text), {"origin": data.text.name}
    else:
        from lstm_jax.text.debian import KING_JAMES, king_james

        with console.status("the King James Bible, from Debian's packages"):
            running, facts = king_james(), KING_JAMES
    corpus = prepare_text(
        running, level=data.level or "word", min_count=min_count, cut=data.tokens or "words", facts=facts
    )
    return text.resolve(text.with_corpus(config, corpus, console), console)


def report(
    experiment: Experiment, config: SweepConfig, records: Sequence[Record], console: rich.console.Console
) -> None:
    """Write perplexity against context, effective context, learning curves, samples."""
    from experiments.page import sections
    from experiments.page import text as text_page
    from lstm_jax.analysis.text.context import ContextPoint, EffectiveContext, context_curve, effective_contexts
    from lstm_jax.figures.style import save
    from lstm_jax.figures.text.context import context_figure, print_context

    shown = text.reported(config, records, console)
    runs = [(record.run, record.tables["contexts"]) for record in shown if "contexts" in record.tables]
    if not runs:
        console.print("no run has ended: there is nothing to score", highlight=False)
        return
    for record in shown:
        if record.run.status == "diverged":
            console.print(f"{record.run.cell}, seed {record.run.seed}: diverged, and is left out", highlight=False)
    corpus = text.corpus_of_sweep(config)
    assert isinstance(corpus, TextCorpus)
    curve, effective = context_curve(runs), effective_contexts(runs)
    if not curve:
        console.print("no run has a finite loss: there is nothing to draw", highlight=False)
        return
    out = config.out
    write_rows(out / "context.csv", ContextPoint, curve)
    write_rows(out / "effective_context.csv", EffectiveContext, effective)
    unit = f"{corpus.level}s"
    unknown = text.unk_sentence(curve[0].unk_share, f"the predicted {unit}")
    protocol = f"{captions.describe(config, records, corpus.facts['origin'])} {unknown}".strip()
    curves = text.draw_curves(experiment, config, records, shown, protocol)
    figure = context_figure(curve, effective, caption=protocol, title=experiment.title, unit=unit)
    plots = save(figure, out / "language_model")
    scores = list(perplexities(shown, corpus.level))
    write_rows(out / "scores.csv", Perplexity, scores)
    print_context(console, curve, effective, unit)
    for row in scores:
        bits = "" if row.bits_per_character is None else f", {row.bits_per_character:.3f} bits per character"
        unk = "" if row.unk_share is None else f", {row.unk_share:.1%} of them <unk>"
        console.print(
            f"{row.cell}, {row.seed}: perplexity {row.perplexity:.4g}{bits} "
            f"({row.num_tokens:,} {unit} of {row.of}{unk})",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    lines = ["# Samples"]
    for record in shown:
        for sample in record.tables.get("samples", ()):
            lines += [
                "",
                f"## {record.run.cell}, seed {record.run.seed}, {sample['how']}",
                *("", "after:", *_quoted(sample["prompt"])),
                *("", "the model:", *_quoted(sample["text"])),
                *("", "the text itself:", *_quoted(sample["reference"])),
            ]
    write_atomically(out / "samples.md", "\n".join(lines) + "\n")
    console.print(f"samples: {out / 'samples.md'}", highlight=False, soft_wrap=True)
    console.print(f"plots: {plots[0]}, {curves}", highlight=False, soft_wrap=True)
    page = text_page.of_language(config, records, protocol, curve, effective, unit, shown)
    console.print(f"report: {sections.write(page, out / 'report.html')}", highlight=False, soft_wrap=True)


def _quoted(sample: str) -> list[str]:
    return ["", *(f"    {line}" for line in sample.split("\n"))]


@dataclasses.dataclass(frozen=True)
class Perplexity:
    """The perplexity of a run on held-out text: a row of scores.csv.

    `of` says what was predicted: all tokens of the test split, with the state carried over, or tokens that are evenly
    spread over it, with as much context as the model's form can see. `unk_share` of them are <unk>, which is one token,
    and easily said where many are.
    """

    cell: str
    seed: int
    of: str
    loss: float
    perplexity: float
    bits_per_character: float | None
    num_tokens: int
    num_params: int
    unk_share: float | None


def perplexities(records: Sequence[Record], level: str) -> Iterator[Perplexity]:
    """Yield the perplexity of each run, on all tokens where its model carries its state over."""
    from lstm_jax.analysis.text.context import bits, perplexity, unk_share

    for record in records:
        rows, of = record.tables.get("perplexity", ()), "the test split"
        if not rows:
            rows, of = [row for row in record.tables.get("contexts", ()) if row["context"] == 0], "its sampled places"
        num_tokens = sum(row["count"] for row in rows)
        if num_tokens:
            run, loss = record.run, sum(row["loss"] for row in rows) / num_tokens
            per_character = bits(loss) if level == "character" else None
            yield Perplexity(
                run.cell, run.seed, of, loss, perplexity(loss), per_character, num_tokens, run.num_params,
                unk_share(rows),
            )  # fmt: skip


EXPERIMENT = Experiment(
    module="experiments.language_model",
    description=(
        "Language models on real text, and how far back they look in it. `sample --help` says how to have a trained "
        "model write. Where they are not given, num-params are those of an LSTM of 128 units (smoke 16, full 512)."
    ),
    title="How far back does a language model look?",
    presets={
        "smoke": _SHARED.replace(preset="smoke", cells=("rnn", "lstm"), gaps=(8,), embedding_dim=8, batch_size=8,
            max_steps=40, chunk_steps=20, eval_size=16,
        ),
        "quick": _SHARED.replace(preset="quick"),
        "full": _SHARED.replace(preset="full", gaps=(70,), learning_rates=(0.001, 0.003), seeds=(0, 1, 2, 3, 4),
            tuning_seeds=(100,), dropout=0.4, embedding_dim=256, max_steps=20_000,
            chunk_steps=500, eval_size=256,
        ),
    },
    data=Data(),
    prepare=prepare,
    report=report,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Sample:
    """Have a trained model go on from a prompt."""

    checkpoint: Path
    """The directory of a sweep, or of one of its jobs under checkpoints/."""
    prompt: str = ""
    """The text to go on from."""
    num_tokens: int = 60
    """Words, or characters, to write."""
    temperature: float = 0.8
    """Divides the logits: 1 draws as the model says, less is more certain, 0 takes the likeliest."""
    top_k: int | None = 40
    """Draw from this many likeliest tokens alone. None: from all."""
    num_samples: int = 1
    """Number of samples to write."""
    sampling_seed: int = 0
    """Seed of the draws."""
    cell: str | None = None
    """Which of the trained models, by its label. None: the one with the best held-out score."""
    seed: int | None = None
    """Seed of the training run to use. None: the best run."""


def sample(argv: Sequence[str]) -> int:
    """Run `sample` as a command; returns the exit status."""
    return text.answer(lambda: _sample(argv))


def _sample(argv: Sequence[str]) -> None:
    options = parse_options(Sample, argv, f"{program('language-model')} sample", str(Sample.__doc__))
    for name, value in (("num_tokens", options.num_tokens), ("num_samples", options.num_samples)):
        if value < 1:
            raise ConfigError(f"{name}: got {value}; expected at least 1")
    if options.top_k is not None and options.top_k < 1:
        raise ConfigError(f"top_k: got {options.top_k}; expected at least 1, or None")
    if not 0 <= options.temperature < math.inf:
        raise ConfigError(f"temperature: got {options.temperature}; expected a number of at least 0")
    if not 0 <= options.sampling_seed < 2**32:
        raise ConfigError(f"sampling_seed: got {options.sampling_seed}; expected a whole number below 2^32")
    trained = text.trained_model(options.checkpoint, "language", "decoder", options.cell, options.seed)
    from lstm_jax.evaluation.language import go_on
    from lstm_jax.tasks.language import Language

    assert isinstance(trained.task, Language)
    texts, unknown = go_on(
        trained.model,
        trained.task.text,
        options.prompt,
        num_tokens=options.num_tokens,
        num_samples=options.num_samples,
        temperature=options.temperature,
        top_k=options.top_k,
        seed=options.sampling_seed,
    )
    if unknown:
        print(f"not in the vocabulary, read as <unk>: {' '.join(unknown)}", file=sys.stderr)
    print("\n\n".join(texts), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] == "sample":
        return sample(argv[1:])
    return common.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
