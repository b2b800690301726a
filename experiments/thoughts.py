"""What does the encoder of a translation model leave of a sentence? `python -m experiments.translation thoughts`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments import text
from experiments.cli import program
from lstm_jax.errors import ConfigError
from lstm_jax.files import write_atomically
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.fields import AT_LEAST_ONE, Checked
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import write_rows
from lstm_jax.terminal import make_console
from lstm_jax.text.tokens import without_marks

if TYPE_CHECKING:
    from lstm_jax.analysis.text.thoughts import Readable

_TITLE = "What the encoder leaves of a sentence"


@dataclasses.dataclass(frozen=True)
class ThoughtsOptions(Checked):
    """The encoder's last states of held-out sentences, which a decoder without attention starts from.

    Writes thoughts.png (two principal components), thoughts.csv (how well length, first word and word order can be read
    by a linear probe, beside a bag of words, of each reported run), points.csv and neighbours.md (the held-out
    sentences next to a sentence). Pictures and neighbours are of the run with the best held-out score.
    """

    checkpoint: Path
    """The directory of a sweep."""
    sentences: tyro.conf.Positional[tuple[str, ...]] = ()
    """Sentences whose neighbours are wanted. None: four held-out sentences."""
    cells: tuple[str, ...] = ()
    """Which of the trained models, by their labels. None: all without attention."""
    num_sentences: Annotated[int, AT_LEAST_ONE] = 2000
    """Test sentences of at least two words that are read, spread evenly."""
    num_neighbours: Annotated[int, AT_LEAST_ONE] = 5
    """Neighbours of a sentence."""
    out: Path | None = None
    """Where files go. None: thoughts, in the directory of the sweep."""


@dataclasses.dataclass(frozen=True)
class Point:
    """A sentence in two dimensions: a row of points.csv."""

    model: str
    sentence: str
    num_words: int
    component_1: float
    component_2: float


def thoughts(argv: Sequence[str]) -> int:
    """Run as a command; returns the exit status."""
    return text.answer(lambda: _thoughts(argv))


def _thoughts(argv: Sequence[str]) -> None:
    options = parse_options(ThoughtsOptions, argv, f"{program('translation')} thoughts", str(ThoughtsOptions.__doc__))
    from lstm_jax.analysis.text.thoughts import (
        BAG,
        MIN_SENTENCES,
        Readable,
        bags,
        check_installed,
        nearest,
        plane,
        readable,
        shifted,
    )
    from lstm_jax.figures.style import save
    from lstm_jax.figures.text.thoughts import Thoughts, thoughts_figure

    check_installed()
    cells = options.cells or _without_attention(options.checkpoint)
    trained = [
        [model for _, model in text.reported_models(options.checkpoint, cell) if model is not None] for cell in cells
    ]
    from lstm_jax.evaluation.thoughts import thought_vectors
    from lstm_jax.models.encoder_decoder import EncoderDecoder
    from lstm_jax.tasks.translation import Translation

    for cell, runs in zip(cells, trained, strict=True):
        if not runs:
            raise ConfigError(f"cells: all runs of {cell} have diverged; expected one with a model")
        if not isinstance(runs[0].model, EncoderDecoder):
            raise ConfigError(f"cells: {cell} is not recurrent; expected models whose encoder ends in a state")
    task = trained[0][0].task
    assert isinstance(task, Translation)
    corpus = task.pairs
    words = [sentence for sentence in corpus.words(corpus.test.sources) if len(sentence) > 1]
    spread = np.linspace(0, len(words) - 1, min(options.num_sentences, len(words))).astype(int)
    words = [words[place] for place in dict.fromkeys(spread.tolist())]
    moved, changed = shifted(words)
    if len(moved) < MIN_SENTENCES:
        raise ConfigError(f"num_sentences: got {len(moved)} of two words or more; expected {MIN_SENTENCES} to probe")
    asked = [corpus.read(sentence) for sentence in options.sentences]
    if [] in asked:
        raise ConfigError(f"sentences: got {options.sentences[asked.index([])]!r}; expected words")
    rows: list[Readable] = []
    drawn: list[Thoughts] = []
    points: list[Point] = []
    pages: list[str] = []
    cut = corpus.tokenization.pieces
    lengths = np.array([len(sentence) for sentence in words])
    shown = [without_marks(" ".join(sentence)) for sentence in words]
    console = make_console()
    for cell, runs in zip(cells, trained, strict=True):
        work = [(f"{cell}, seed {run.record.run.seed}", run) for run in runs]
        for run in text.with_time_left(console, work):
            found = thought_vectors(run.model, corpus, [*map(cut, words)])
            of_moved = thought_vectors(run.model, corpus, [*map(cut, changed)])
            rows += readable(cell, words, found, moved, of_moved, seed=run.record.run.seed)
        best = max(runs, key=lambda run: run.record.run.score or 0.0)
        vectors = thought_vectors(best.model, corpus, [*map(cut, words)])
        name = f"{cell}, seed {best.record.run.seed}"
        flat, shares = plane(vectors)
        drawn.append(Thoughts(name, flat, shares, lengths))
        triples = zip(shown, lengths.tolist(), flat.tolist(), strict=True)
        points += [Point(cell, sentence, length, *map(float, place)) for sentence, length, place in triples]
        wanted = asked or [cut(words[place]) for place in np.linspace(0, len(words) - 1, 6).astype(int)[1:-1]]
        for sentence, vector in zip(wanted, thought_vectors(best.model, corpus, wanted), strict=True):
            own = corpus.tokenization.words(sentence)
            beside = [place for place, other in enumerate(words) if list(other) != own]
            near = nearest(vectors[beside], vector, options.num_neighbours)
            lines = [f"- {shown[beside[place]]} ({cosine:.3f})" for place, cosine in near]
            pages.append(f"## {name}: {without_marks(' '.join(own))}\n\n" + "\n".join(lines) + "\n")
    vocabulary = sorted({word for sentence in words for word in sentence})
    rows += readable(BAG, words, bags(words, vocabulary), moved, bags(changed, vocabulary))
    out = options.out or Directory(options.checkpoint).root / "thoughts"
    write_rows(out / "thoughts.csv", Readable, rows)
    write_rows(out / "points.csv", Point, points)
    write_atomically(out / "neighbours.md", "# Neighbours, by cosine\n\n" + "\n".join(pages))
    caption = (
        f"The encoder's last states of {len(words):,} test sentences of {corpus.facts.get('origin', 'a corpus')}, in "
        "their first two principal components; a point is a sentence."
    )
    pictures = save(thoughts_figure(drawn, caption=caption, title=_TITLE), out / "thoughts", ["png"])
    _print(console, rows)
    console.print(f"neighbours: {out / 'neighbours.md'}; plot: {pictures[0]}", highlight=False, soft_wrap=True)


def _without_attention(checkpoint: Path) -> tuple[str, ...]:
    """The models of a sweep that hand over their last states alone."""
    from lstm_jax.registry import parse

    file = Directory(checkpoint).config_file
    if not file.is_file():
        raise ConfigError(f"checkpoint: got {checkpoint}; expected the directory of a sweep, with a sweep.yaml in it")
    specs = {cell: parse(cell) for cell in from_yaml(file).grid.cells}
    plain = [cell for cell, spec in specs.items() if dict(spec.settings).get("attention", "none") == "none"]
    found = tuple(cell for cell in plain if specs[cell].name != "transformer")
    if not found:
        raise ConfigError(f"checkpoint: {checkpoint} has no recurrent model without attention; name others by --cells")
    return found


def _print(console: Console, rows: Sequence[Readable]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("model", "seed", "property", "score (worst to best fold)", "chance"):
        table.add_column(name, overflow="fold")
    for row in rows:
        seed = "-" if row.seed is None else str(row.seed)
        scores = f"{row.score:.3f} ({row.low:.3f} to {row.high:.3f})"
        table.add_row(Text(row.model), seed, row.property, scores, f"{row.chance:.3f}")
    console.print(table)
