"""The public names `Sweep` and `load`: sweeps from a script or notebook, and what is in their directories."""

from __future__ import annotations

import dataclasses
import functools
import html
import signal
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.options import SweepConfig, known
from lstm_jax.sweeps.config.parsing import on_this_machine
from lstm_jax.sweeps.job import RunKey
from lstm_jax.sweeps.plan import in_order, make_jobs
from lstm_jax.sweeps.run import SweepResult, run_sweep
from lstm_jax.sweeps.stages.asked import asked_for
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.records import Run, columns_of, of_settings
from lstm_jax.sweeps.store.status import read_status
from lstm_jax.sweeps.views.tables import read_tables
from lstm_jax.sweeps.worker.setup import pinned
from lstm_jax.tasks import corpus_of, make_task
from lstm_jax.terminal import make_console
from lstm_jax.text import store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from lstm_jax.analysis.gaps.horizon import Horizon
    from lstm_jax.analysis.gaps.summary import Summary
    from lstm_jax.figures.words import Words


class Sweep:
    """A sweep of trainings of one task: `Sweep(cells=["rnn", "lstm"], gaps=[5, 10], out="results/mine").run()`.

    Takes every option of the command line by its name in sweep.yaml, with the defaults of
    `lstm_jax/sweeps/config/options.py`; `preset` is a label and sets no other option. Raises ConfigError for one that
    is unknown or not admitted.
    """

    def __init__(self, **options: Any) -> None:
        self.config = SweepConfig.of(**options)

    def __repr__(self) -> str:
        given = {name: value for name, value in self.config.flat.items() if value != SweepConfig().flat[name]}
        return f"Sweep({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def run(self) -> ResultView:
        """Train what is not recorded in the directory yet, and show progress on the terminal or in the notebook.

        On Ctrl-C, which an interrupted kernel has too, and on SIGTERM, jobs save at their next chunk; then the signal
        does what it does without a sweep: a KeyboardInterrupt, or the end. Only a sweep of the main thread hears them.
        """
        console = make_console()
        result = run_sweep(self.config, console)
        if result.stopped_by:
            console.print(
                f"interrupted: {len(result.records)} runs are kept in {result.config.out}; run the sweep again to go on"
            )
            signal.raise_signal(result.stopped_by)
        return ResultView.of(result)


@dataclasses.dataclass(frozen=True, repr=False)
class ResultView(SweepResult):
    """A `SweepResult` to go on with: tables as pandas has them, a plot, and the answer as a notebook shows it."""

    @classmethod
    def of(cls, result: SweepResult) -> ResultView:
        """View this result."""
        return cls(**{field.name: getattr(result, field.name) for field in dataclasses.fields(result)})

    @functools.cached_property
    def runs(self) -> pd.DataFrame:
        """The columns of runs.csv, a row for each run."""
        return _frame(Run, self.rows)

    @functools.cached_property
    def summary(self) -> pd.DataFrame:
        """The columns of summary.csv, a row for each cell and gap."""
        from lstm_jax.analysis.gaps.summary import Summary

        return _frame(Summary, self._summaries)

    @functools.cached_property
    def horizon(self) -> pd.DataFrame:
        """The columns of horizon.csv, a row for each cell."""
        from lstm_jax.analysis.gaps.horizon import Horizon

        return _frame(Horizon, self._horizons)

    @functools.cached_property
    def answer(self) -> str:
        """How far back each cell learns to look, with 95% intervals; empty where the task is about a text."""
        from lstm_jax.figures.gaps.answer import answer

        return answer(self._horizons, self._words) if self._horizons else ""

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw solve rates with 95% intervals against the gap, on `ax` or on a new figure's, and return the axes.

        Raises ValueError where no run is to be reported yet.
        """
        from lstm_jax.figures.gaps.solve_rates import solve_rate_axes

        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(layout="constrained")
        return solve_rate_axes(ax, self._summaries, self._horizons, self._words)

    def __repr__(self) -> str:
        return " ".join(filter(None, [f"{self._counts}.", self.answer, *(f"{line}." for line in self._failed)]))

    def _repr_html_(self) -> str:
        from lstm_jax.figures.formats import format_ends, format_horizon

        words = self._words
        lines = [self.answer, self._counts, *self._failed]
        rows = [
            (found.cell, format_horizon(found), format_ends(found.ci_low, found.ci_high), f"{found.learning_rate:g}")
            for found in self._horizons
        ]
        header = (words.cell, f"horizon: {words.axis}", "95% interval", "learning rate")
        table = _html_table(header, rows) if self.answer else ""
        return "".join(f"<p>{html.escape(line)}</p>" for line in lines if line) + table

    @property
    def _counts(self) -> str:
        missing = f", about {self.num_missing} are still to come" if self.num_missing else ""
        return f"{len(self.records)} run{'' if len(self.records) == 1 else 's'} in {self.config.out}{missing}"

    @property
    def _failed(self) -> list[str]:
        return [f"failed: {name}: {reason}" for name, reason in self.failures]

    @functools.cached_property
    def _summaries(self) -> Sequence[Summary]:
        from lstm_jax.analysis.gaps.summary import summarise, summarise_text

        grid = self.config.grid
        if corpus_of(self.config.task) is not None:
            return summarise_text(self.rows, grid.tuning_seeds, grid.learning_rates)
        return summarise(self.rows, grid.tuning_seeds)

    @functools.cached_property
    def _horizons(self) -> Sequence[Horizon]:
        from lstm_jax.analysis.gaps.horizon import horizons

        return [] if corpus_of(self.config.task) is not None else horizons(self.rows, self.config.grid.tuning_seeds)

    @functools.cached_property
    def _words(self) -> Words:
        from lstm_jax.figures.words import GAP_SWEEP, Words

        try:
            return Words.of(make_task(self.config.task, known(self.config.grid.gaps)[0]))
        except ValueError:  # a task of somebody's own that is not here; its tables are
            return GAP_SWEEP


def load(directory: str | Path) -> ResultView:
    """The sweep in a directory, finished or not: its configuration, runs and failures.

    A directory may also have the tables of a sweep alone: sweep.yaml, runs.csv and, for learning curves, curves.csv.
    Raises ConfigError for a directory without a sweep, or where its cells or task can't be made.
    """
    place = Directory(on_this_machine("directory", Path(directory)))
    if not place.config_file.is_file():
        raise ConfigError(f"directory: got {directory}; expected the directory of a sweep, with a sweep.yaml in it")
    config = from_yaml(place.config_file).replace(out=place.root)
    return ResultView.of(_recorded(config, place) if place.has_records else _tabulated(config, place.root))


def _recorded(config: SweepConfig, place: Directory) -> SweepResult:
    """What the records of a sweep come to, also while others are written."""
    corpus = corpus_of(config.task)
    if corpus is not None:
        store.ensure(corpus, place.corpus)
    with pinned("cpu"):
        jobs = in_order(config, make_jobs(config, to_train=False)[0])
    statuses = {job.name: read_status(place.status_file(job.name)) for job in jobs}
    failures = tuple((name, status.reason) for name, status in statuses.items() if status.state == "failed")
    found = place.records(jobs)
    asked = {job.name: job for job in asked_for(config, jobs, found, dict(failures))}
    keys = {name: set(job.runs) for name, job in asked.items()}
    records = [each for each in found if RunKey(each.run.seed, each.run.learning_rate) in keys[each.run.job]]
    own = tuple(of_settings(records, jobs))
    num_missing = sum(job.num_expected for job in asked.values()) - len(records)
    return SweepResult(config, own, failures, num_others=len(records) - len(own), num_missing=num_missing)


def _tabulated(config: SweepConfig, root: Path) -> SweepResult:
    """What the tables of a sweep say."""
    try:
        records = read_tables(root)
    except (OSError, ValueError) as error:
        raise ConfigError(f"directory: can't read the runs in {root} ({error}); expected runs.csv of a sweep") from None
    ended = tuple(record for record in records if record.run.status != "failed")
    failed = dict.fromkeys(record.run.job for record in records if record.run.status == "failed")
    failures = tuple((name, "the reason is not in its tables") for name in failed)
    return SweepResult(config, ended, failures, num_missing=len(records) - len(ended))


def _frame(row_type: type, rows: Sequence[Any]) -> pd.DataFrame:
    """Rows of a table by its columns, with the types that `pandas.read_csv` would find."""
    import pandas as pd

    frame = pd.DataFrame([dataclasses.asdict(row) for row in rows], columns=columns_of(row_type))
    may_be_empty = (
        name for name, hint in typing.get_type_hints(row_type).items() if type(None) in typing.get_args(hint)
    )
    return frame.astype(dict.fromkeys(may_be_empty, "float64"))


def _html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def row(tag: str, cells: Sequence[str]) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

    return f"<table>{row('th', header)}{''.join(row('td', cells) for cells in rows)}</table>"
