"""The leaderboard of a suite: cells ranked by horizon on each task, with ties. From tables alone, nothing is trained.

python -m experiments.leaderboard                              # docs/results/suite -> docs/leaderboard.md
python -m experiments.leaderboard results/suite --out board.md

Beside the tables it draws leaderboard.png.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import rich.console
import tyro

from experiments.beside import join
from experiments.cli import program
from experiments.common import Argv, command
from lstm_jax.errors import ConfigError, UnwritableError
from lstm_jax.files import write_atomically
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.options import DIRECTORY, SweepConfig, known
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.sweeps.views.tables import read_rows, read_tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lstm_jax.analysis.gaps.arms import Place
    from lstm_jax.analysis.gaps.contrasts import Contrast
    from lstm_jax.analysis.gaps.standings import Standing
    from lstm_jax.analysis.gaps.summary import Summary

FILES = ("sweep.yaml", "runs.csv", "summary.csv", "horizon.csv", "contrasts.csv")
"""What a task's directory has when its sweep is finished."""
PICTURE = "leaderboard.png"
HEAD = """# Leaderboard

How far back cells learn to look, on tasks that differ in kind, at about equal parameters and within one budget of
updates. Made from the tables in [{directory}]({link}) by

    {make}

and they by `make suite`: {minutes:.0f} minutes of training on one core by their records, starting and compiling
not counted. A cell of your own joins by

    python -m experiments.suite --cells mine:Cell --beside docs/results/suite

which trains it alone, and writes such a page with it in `results/beside_suite/leaderboard.md`.

**Horizon**: the gap that half of a cell's runs still learn, with a 95% interval, an end of which is open where the
measured gaps do not exclude that it lies beyond them. **Place**: one more than the number of cells that reach
significantly further on that task (p < 0.05, Holm-corrected for all pairs of cells there). **Ties**: cells that share
a letter are not told apart, so an order among them is no finding, whatever their horizons. Ties do not go on: a may be
tied with b, and b with c, where a and c differ. Where a cell's solve rates rise with the gap (`*`: p < 0.05), no
horizon describes them.

What this can't say: these are sketches, of few gaps, seeds and updates. With so few, most neighbours are tied, and of a
tie it is not known whether there is no difference or too little data. Another budget may turn an order round
([protocol]({protocol})): this ranks what is learnt from scratch within so many updates, not what a cell could
represent. The learning rate is chosen on very few seeds; where it is the least or greatest that was tried (edge), a
better one may lie outside. More cells make the correction stricter: with another one, a pair that was told apart may
be tied.
"""
OVERALL = """
## All tasks

Over all pairs of a cell with another on a task: in how many it reaches significantly further, and in how many less far;
then its place on each task. Cells stand in the order of the difference. This counts, and tests nothing: a cell of which
too little is known has few of both, and other tasks would give another order.
"""
SECTION = (
    "`{task}`: {size}, at most {steps} updates of {batch} sequences, {seeds}, {tuning}. Told apart: {apart} of "
    "{pairs}. A larger gap is not trained (-) where none of a cell's runs solves the two before it."
)
_WIDTH = 120


class Board(NamedTuple):
    """A task: its sweep, the cells as placed, their ties, pairs and runs.

    `sizes` are the least and the greatest number of parameters, with their cells, `seconds` what training took. `own`
    cells were trained beside the others; of `rising` ones the solve rates rise with the gap.
    """

    name: str
    config: SweepConfig
    places: Sequence[Place]
    letters: Mapping[str, str]
    contrasts: Sequence[Contrast]
    summaries: Sequence[Summary]
    sizes: Sequence[tuple[int, str]]
    seconds: float
    own: Sequence[str]
    rising: Sequence[str]

    @property
    def axis(self) -> str:
        """What the task calls its gap."""
        from experiments.suite import TASKS

        return TASKS[self.name].axis if self.name in TASKS else "gap"


@dataclasses.dataclass(frozen=True)
class Leaderboard:
    """Rank the cells of a finished suite by horizon, with ties; writes a page and a picture."""

    directory: tyro.conf.Positional[Annotated[Path, DIRECTORY]] = Path("docs/results/suite")
    """The directory of a suite: of each task sweep.yaml, runs.csv, summary.csv, horizon.csv and contrasts.csv."""
    out: Annotated[Path | None, DIRECTORY] = None
    """The page. None: leaderboard.md in the directory, or docs/leaderboard.md of docs/results/suite."""


def main(argv: Argv = None) -> int:
    """Run as a command; returns the exit status."""

    def act(console: rich.console.Console) -> int:
        given = sys.argv[1:] if argv is None else argv
        options = parse_options(Leaderboard, given, program("leaderboard"), str(Leaderboard.__doc__))
        return make(options.directory, options.out, console)

    return command(act)


def make(directory: Path, out: Path | None, console: rich.console.Console) -> int:
    """Write the page of the suite in `directory`, and draw its picture there; returns 0. Raises ConfigError."""
    from lstm_jax.figures.style import save

    out = out or (Path("docs") if directory == Leaderboard.directory else directory) / "leaderboard.md"
    boards = read(directory)
    try:
        save(_figure(boards), directory / Path(PICTURE).stem, ["png"])
        write_atomically(out, page(boards, directory, out))
    except OSError as error:
        raise UnwritableError.of(out, error) from error
    console.print(f"leaderboard: {out}", highlight=False, markup=False, soft_wrap=True)
    return 0


def tasks_in(directory: Path, option: str = "directory") -> list[str]:
    """Name the tasks that are finished in the directory of a suite; raises ConfigError where there is none."""
    from experiments.suite import TASKS

    found = [path.parent.name for path in directory.glob(f"*/{FILES[-1]}")]
    found = [name for name in found if all((directory / name / file).is_file() for file in FILES)]
    if not found:
        raise ConfigError(
            f"{option}: got {directory}; expected the directory of a suite with a finished task, as in gap/sweep.yaml, "
            "gap/runs.csv, gap/horizon.csv: python -m experiments.suite makes it"
        )
    return sorted(found, key=lambda name: ([*TASKS, name].index(name), name))


def read(directory: Path) -> list[Board]:
    """Read the tasks of a suite; raises ConfigError."""
    from lstm_jax.analysis.gaps.arms import SIGNIFICANT, places
    from lstm_jax.analysis.gaps.contrasts import Contrast
    from lstm_jax.analysis.gaps.horizon import Horizon
    from lstm_jax.analysis.gaps.summary import Summary
    from lstm_jax.analysis.gaps.ties import letters

    boards = []
    for name in tasks_in(directory):
        root = directory / name
        config = from_yaml(root / "sweep.yaml")
        try:
            horizons = read_rows(root / "horizon.csv", Horizon)
            contrasts = read_rows(root / "contrasts.csv", Contrast)
            summaries = read_rows(root / "summary.csv", Summary)
            runs = [record.run for record in join(config, read_tables(root)).records]
        except (OSError, ValueError) as error:
            raise ConfigError(f"directory: can't read the tables in {root} ({error})") from None
        sizes = sorted((run.num_params, run.cell) for run in runs)
        seconds = sum(run.duration_seconds for run in runs)
        placed = sorted(places(name, config.task, horizons, contrasts), key=_order)
        tied = letters([row.cell for row in placed], contrasts)
        own = config.grid.cells if config.beside is not None else ()
        rising = [found.cell for found in horizons if found.monotone_p < SIGNIFICANT]
        ends = (sizes[0], sizes[-1])
        boards.append(Board(name, config, placed, tied, contrasts, summaries, ends, seconds, own, rising))
    return boards


def _order(row: Place) -> tuple[int, bool, float, str]:
    """By place; within one by horizon, a bound above the measured gaps first: for the eye alone."""
    length = row.horizon or 0.0
    return row.place, row.bound != ">", -length if row.bound != "<" else 0.0, row.cell


def _standings(boards: Sequence[Board]) -> list[Standing]:
    from lstm_jax.analysis.gaps.standings import standings

    return standings(
        [row for board in boards for row in board.places], [pair for board in boards for pair in board.contrasts]
    )


def page(boards: Sequence[Board], directory: Path, out: Path) -> str:
    """Write the page as Markdown."""
    from experiments.suite import TASKS

    own = {cell for board in boards for cell in board.own}
    missing = [f"`{name}`" for name in TASKS if name not in {board.name for board in boards}]
    make = "python -m experiments.leaderboard"
    if directory != Leaderboard.directory:
        make += f" {directory} --out {out}"
    links = {"link": _link(directory, out), "protocol": _link(Path("docs/protocol.md"), out)}
    lines = [
        HEAD.format(directory=directory, make=make, minutes=sum(each.seconds for each in boards) / 60.0, **links),
        *([f"Cells trained beside the others: {', '.join(f'`{cell}`' for cell in sorted(own))}.\n"] if own else []),
        *([f"Of the suite's tasks, {', '.join(missing)} has no tables there.\n"] if missing else []),
        f"![Horizon of each cell on each task]({_link(directory / PICTURE, out)})\n{OVERALL}",
        _table(
            ["cell", "further", "less far", *(f"`{board.name}`" for board in boards)],
            [
                [
                    *(_label(row.cell, own), str(row.further), str(row.less_far)),
                    *(str(row.places.get(board.name, "-")) for board in boards),
                ]
                for row in _standings(boards)
            ],
        ),
        *map(_section, boards),
    ]
    return "\n".join(lines)


def _section(board: Board) -> str:
    from lstm_jax.analysis.gaps.arms import shorter_of
    from lstm_jax.figures.formats import format_bound, format_ends

    grid, training = board.config.grid, board.config.training
    gaps = known(grid.gaps)
    counts = {(row.cell, row.gap): row for row in board.summaries}
    at_edge = {row.cell for row in board.summaries if row.at_edge}
    apart = sum(shorter_of(pair) is not None for pair in board.contrasts)

    def solved(cell: str) -> str:
        found = (counts.get((cell, gap)) for gap in gaps)
        return ", ".join("-" if row is None else f"{row.num_solved}/{row.num_runs}" for row in found)

    rows = [
        [
            str(row.place), _label(row.cell, board.own),
            format_bound(row.bound, row.horizon) + " `*`" * (row.cell in board.rising),
            format_ends(row.ci_low, row.ci_high), board.letters[row.cell],
            f"{row.learning_rate:g}{' (edge)' if row.cell in at_edge else ''}", solved(row.cell),
        ]
        for row in board.places
    ]  # fmt: skip
    header = ["place", "cell", "horizon", "95% interval", "ties", "rate", f"solved at {', '.join(map(str, gaps))}"]
    text = SECTION.format(
        task=board.config.task,
        size=" to ".join(f"{number:,} (`{cell}`)" for number, cell in dict.fromkeys(board.sizes)) + " parameters",
        steps=training.max_steps,
        batch=training.batch_size,
        seeds=_count(len(grid.seeds), "seed"),
        tuning=f"rates chosen on {_count(len(grid.tuning_seeds), 'other seed')}" if grid.tuning_seeds else "one rate",
        apart=apart,
        pairs=_count(len(board.contrasts), "pair"),
    )
    return f"## {board.name}\n\n{textwrap.fill(text, _WIDTH)}\n\n{_table(header, rows)}"


def _link(to: Path, out: Path) -> str:
    return Path(os.path.relpath(to, out.parent)).as_posix()


def _label(cell: str, own: Sequence[str] | set[str]) -> str:
    return f"**`{cell}`** (yours)" if cell in own else f"`{cell}`"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _figure(boards: Sequence[Board]) -> Figure:
    from lstm_jax.figures.gaps.leaderboard import Column, leaderboard_figure

    columns = [Column(board.name, board.axis, known(board.config.grid.gaps), board.places) for board in boards]
    return leaderboard_figure(
        columns,
        [row.cell for row in _standings(boards)],
        {cell for board in boards for cell in board.own},
        caption="Blue: cells that no other reaches significantly beyond on that task; grey: all others."
        + " Orange: cells of your own." * any(board.own for board in boards),
        title="How far back cells learn to look, task by task",
    )


if __name__ == "__main__":
    sys.exit(main())
