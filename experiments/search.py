"""What does the search for a translation gain? `python -m experiments.translation search`, with trained models."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from experiments import text
from experiments.cli import program
from experiments.gains import show
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.fields import Allowed, Checked
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import Run, write_rows
from lstm_jax.terminal import make_console

_SIZES = Allowed("whole numbers of at least 1", lambda size: size >= 1, 1)
_ALPHAS = Allowed("finite numbers of at least 0", lambda alpha: 0.0 <= alpha < float("inf"), 1)


@dataclasses.dataclass(frozen=True)
class SearchOptions(Checked):
    """BLEU of test sentences by beam size and length penalty, and what each gains over the first; writes search.csv.

    All reported runs of a model translate again; nothing is trained. A hypothesis of n tokens counts as its
    log-probability over ((5 + n) / 6)^alpha (Wu et al. 2016, equation 14): alpha is the length penalty.
    """

    checkpoint: Path
    """The directory of a sweep."""
    cell: str | None = None
    """Which of the trained models, by its label. None: the only one."""
    beam_sizes: Annotated[tuple[int, ...], _SIZES] = (1, 4)
    """Numbers of hypotheses; 1 is greedy."""
    length_penalties: Annotated[tuple[float, ...], _ALPHAS] = (0.0, 0.6, 1.0)
    """Length penalties; with one hypothesis they change nothing, and the first alone is shown."""
    out: Path | None = None
    """The file to write. None: search.csv in the directory of the sweep."""


def search(argv: Sequence[str]) -> int:
    """Run as a command; returns the exit status."""
    return text.answer(lambda: _search(argv))


def _search(argv: Sequence[str]) -> None:
    options = parse_options(SearchOptions, argv, f"{program('translation')} search", str(SearchOptions.__doc__))
    from lstm_jax.analysis.text.gains import Gain, gains
    from lstm_jax.analysis.text.ngram_scores import check_installed

    check_installed()
    console = make_console()
    directory = Directory(options.checkpoint)
    if not directory.config_file.is_file():
        raise ConfigError(f"checkpoint: got {options.checkpoint}; expected the directory of a sweep, with a sweep.yaml")
    cells = from_yaml(directory.config_file).grid.cells
    if options.cell is None and len(cells) > 1:
        raise ConfigError(f"cell: got none; expected one of {', '.join(cells)}")
    out = options.out or directory.root / "search.csv"
    text.check_writable(out)
    best = text.trained_model(options.checkpoint, "translation", "encoder_decoder", options.cell or cells[0], None)
    runs = text.reported_runs(directory, best.record.run.cell)
    from lstm_jax.evaluation.translation import translate
    from lstm_jax.tasks.translation import Translation

    task = best.task
    assert isinstance(task, Translation)
    settings = list(itertools.product(options.beam_sizes, options.length_penalties))
    # One hypothesis is the best of one, however long it is.
    settings = list(
        dict.fromkeys((size, options.length_penalties[0] if size == 1 else alpha) for size, alpha in settings)
    )
    steps: list[tuple[str, list[tuple[Run, list[dict[str, Any]]]]]] = [
        ("greedy" if size == 1 else f"beam {size}, length penalty {alpha}", []) for size, alpha in settings
    ]
    for run in runs:
        if run.status == "diverged":  # it has no model, and counts as one that writes nothing
            for _, done in steps:
                done.append((run, []))
            continue
        trained = text.trained_model(
            options.checkpoint, "translation", "encoder_decoder", run.cell, run.seed, run.learning_rate
        )
        for (name, done), (size, alpha) in zip(steps, settings, strict=True):
            console.print(f"seed {run.seed}: {name}", highlight=False)
            found = translate(trained.model, task.pairs, task.pairs.test.sources, beam_size=size, length_penalty=alpha)
            done.append((run, task.translations({"output": [each.output for each in found]})))
    try:
        rows = gains(steps, against="first")
    except ValueError as error:
        raise ConfigError(f"checkpoint: {error}") from None
    write_rows(out, Gain, rows)
    show(console, rows)
    console.print(f"table: {out}", highlight=False, soft_wrap=True)
