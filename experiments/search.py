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
    """Length penalties; with one hypothesis they change nothing, and it is translated once."""
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
    models = text.reported_models(options.checkpoint, options.cell or cells[0])
    from lstm_jax.evaluation.translation import translate
    from lstm_jax.tasks.translation import Translation

    # One hypothesis is the best of one, however long it is.
    settings = {
        "greedy" if size == 1 else f"beam {size}, length penalty {alpha}": (size, alpha)
        for size, alpha in itertools.product(options.beam_sizes, options.length_penalties)
    }
    steps: dict[str, list[tuple[Run, list[dict[str, Any]]]]] = {name: [] for name in settings}
    work = [(f"seed {run.seed}: {name}", (run, trained, name)) for run, trained in models for name in settings]
    for run, trained, name in text.with_time_left(console, work):
        rows_of_run: list[dict[str, Any]] = []  # of one that diverged: it writes nothing
        if trained is not None:
            task, (size, alpha) = trained.task, settings[name]
            assert isinstance(task, Translation)
            found = translate(trained.model, task.pairs, task.pairs.test.sources, beam_size=size, length_penalty=alpha)
            rows_of_run = task.translations({"output": [each.output for each in found]})
        steps[name].append((run, rows_of_run))
    try:
        rows = gains(list(steps.items()), against="first")
    except ValueError as error:
        raise ConfigError(f"checkpoint: {error}") from None
    write_rows(out, Gain, rows)
    show(console, rows)
    console.print(f"table: {out}", highlight=False, soft_wrap=True)
