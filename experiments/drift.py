"""Does a cell's memory grow or shrink before it has seen the fact? Many seeds, conditions, sizes and rates.

python -m experiments.drift                              # all of it: results are in results/drift
python -m experiments.drift --cells gru lstm --seeds 6   # less of it
python -m experiments.drift --conditions base "random answers"
python -m experiments.drift --task memory_update --conditions base --max-steps 3200

docs/why.md says what it is about, and what came out. A condition that is recorded is not trained again.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import rich.console

from experiments.common import Argv, measure
from experiments.recorded import all_of, identified, record_name
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.fields import Allowed, Checked, Count
from lstm_jax.sweeps.config.options import DIRECTORY, SweepConfig, known
from lstm_jax.sweeps.job import Settings, run_weight
from lstm_jax.sweeps.store.records import columns_of, write_csv, write_rows

if TYPE_CHECKING:
    from lstm_jax.analysis.drifts import DriftSummary, Seen

Condition = Literal[
    "base", "blank filler", "random answers", "frozen readout", "zero readout", "frozen gate"
]  # fmt: skip
CELLS = ("rnn", "lstm", "coupled_lstm", "gru")
GAPS, GAP = (20, 40, 80, 160), 40
RATES, RATE = (0.003, 0.01, 0.03, 0.1), 0.03
SIZES, SIZE = (1000, 3500, 14000), 3500
FIRST_SEED = 2000
"""Seeds from here on, which no sweep has."""
CLIP_NORM = 1.0


@dataclasses.dataclass(frozen=True)
class DriftOptions(Checked):
    """Measure along training whether a cell's memory grows or shrinks before it has seen the fact."""

    cells: Annotated[tuple[str, ...], Allowed("names of cells", lambda name: bool(name), 1)] = CELLS
    """Cells, of one recurrent layer."""
    conditions: tuple[Condition, ...] = get_args(Condition)
    """What is changed. `base` alone is run at all gaps, rates and sizes."""
    gaps: Annotated[tuple[int, ...], Allowed("whole numbers of at least 1", lambda gap: gap >= 1, 1)] = GAPS
    """Gaps of `base`; the conditions have gap 40."""
    rates: Annotated[tuple[float, ...], Allowed("numbers above 0", lambda rate: rate > 0.0, 1)] = RATES
    """Learning rates of `base` at gap 40; everything else has 0.03."""
    sizes: Annotated[tuple[int, ...], Allowed("whole numbers of at least 1", lambda size: size >= 1, 1)] = SIZES
    """Parameters of `base` at gap 40; everything else has 3,500."""
    seeds: Count = 20
    """Runs of each."""
    task: str = "gap"
    """A task of classes, with settings. The answer of the last step is looked at."""
    max_steps: Count = 1600
    """Updates of each run."""
    workers: Count | None = None
    """Worker processes. None: one a core."""
    out: Annotated[Path, DIRECTORY] = Path("results/drift")
    """Directory of the results."""


@dataclasses.dataclass(frozen=True)
class Followed:
    """The runs of one cell under one condition."""

    condition: Condition
    settings: Settings
    learning_rate: float
    seeds: tuple[int, ...]
    size: int
    """How many parameters were asked for."""
    max_steps: int

    @property
    def name(self) -> str:
        """Its file, without the ending."""
        facts = [self.condition, self.settings.flat, self.learning_rate, self.seeds, self.max_steps]
        return record_name(f"{self.settings.cell}-gap{self.settings.gap}-{self.condition}", facts)

    @property
    def weight(self) -> float:
        """Its expected cost."""
        return len(self.seeds) * run_weight(self.settings.gap, self.max_steps)


def main(argv: Argv = None) -> int:
    """Run as a command; returns the exit status."""
    return measure(DriftOptions, "drift", run, argv)


def run(arguments: DriftOptions, console: rich.console.Console) -> int:
    """Follow all runs, write what was measured, and draw it."""
    from lstm_jax.analysis.drifts import DriftSummary, Seen
    from lstm_jax.sweeps.job import Job

    pieces = list(pieces_of(arguments))
    found = all_of(pieces, follow, arguments.out / "followed", arguments.workers, console, "conditions followed")
    rows: list[dict[str, Any]] = []
    summaries: list[DriftSummary] = []
    for piece, trees in zip(pieces, found, strict=True):
        settings, seen = piece.settings, [Seen(**tree) for tree in trees]
        where = (piece.condition, settings.cell, settings.gap, piece.size, settings.num_params, piece.learning_rate)
        solved_at = Job(settings).training().task.solved_at
        summaries.append(_summary(where, solved_at, seen))
        rows += [dict(zip(_WHERE, where, strict=True)) | tree for tree in trees]
    write_csv(arguments.out / "drift.csv", [*_WHERE, *columns_of(Seen)], rows)
    write_rows(arguments.out / "summary.csv", DriftSummary, summaries)
    for row in summaries:
        console.print(sentence(row), highlight=False, markup=False, soft_wrap=True)
    for plot in _draw(arguments, rows, summaries):
        console.print(f"plot: {plot}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _draw(arguments: DriftOptions, rows: Sequence[dict[str, Any]], summaries: Sequence[Any]) -> Iterator[Path]:
    """Draw the base along training, and the growth under all conditions; yields the files."""
    from lstm_jax.analysis.drifts import Seen
    from lstm_jax.figures.gaps.drift import drift_figure, growth_figure
    from lstm_jax.figures.style import save

    seeds = f"{arguments.seeds} runs each"
    names = columns_of(Seen)
    usual: dict[str, list[Any]] = {}
    for row in rows:
        if (row["condition"], row["gap"], row["learning_rate"], row["size"]) == ("base", GAP, RATE, SIZE):
            usual.setdefault(row["cell"], []).append(Seen(**{name: row[name] for name in names}))
    if usual:
        caption = (
            f"Task {arguments.task} at gap {GAP}, {SIZE:,} parameters, rate {RATE:g}, {seeds}: medians, quartiles as "
            "bands. Time constant: of that part of the state that keeps longest, the 90th percentile over its units. "
            "Signal: the fact's share of a gradient's second moment, the largest among the recurrent weights; below "
            "the dashed line it can't be told from noise. Accuracy: on the held-out set."
        )
        figure = drift_figure(
            usual, gap=GAP, noise=_noise(), caption=caption, title="Does memory come before the fact?"
        )
        yield save(figure, arguments.out / "drift", ["png"])[0]
    if any(row.growth is not None for row in summaries):
        caption = (
            f"{seeds}. Medians over runs of the time constant at the last moment before the first with a signal, over "
            "that at the start, with 95% intervals by order statistics; of answers at random and of a zero readout, "
            "at the end; of a frozen gate, before it is free. At an end of the axis: beyond it. No interval: fewer "
            "than six runs were blind for a while; no sign: none was."
        )
        figure = growth_figure(summaries, caption=caption, title="How much do memories grow before they see the fact?")
        yield save(figure, arguments.out / "growth", ["png"])[0]


def _summary(where: Any, solved_at: float, seen: Sequence[Seen]) -> DriftSummary:
    """The row of a condition: a run that can't learn is blind to the end, one with a frozen gate until it is free."""
    from lstm_jax.analysis.drifts import summarise
    from lstm_jax.diagnostics.interventions import GATE_STEPS

    learns = where[0] not in ("random answers", "zero readout")
    until = GATE_STEPS if where[0] == "frozen gate" else None
    condition, cell, gap, size, num_params, rate = where
    return summarise(condition, cell, gap, size, num_params, rate, solved_at, seen, _noise(), learns, until)


_WHERE = ("condition", "cell", "gap", "size", "num_params", "learning_rate")


def _noise() -> float:
    from lstm_jax.diagnostics.drift import NUM_BATCHES

    return 1.0 / NUM_BATCHES


def sentence(row: Any) -> str:
    """One condition in a line."""
    where = f"{row.cell}, gap {row.gap}, {row.condition}, {row.num_params:,} parameters, rate {row.learning_rate:g}"
    if row.growth is None:
        return f"{where}: {row.num_solved} of {row.num_runs} solved; all saw the fact at once"
    interval = "" if row.growth_low is None else f" ({row.growth_low:+.2f} to {row.growth_high:+.2f})"
    return (
        f"{where}: {row.num_solved} of {row.num_runs} solved; blind, {row.num_grew} of {row.num_blind} grew and "
        f"{row.num_shrank} shrank, log2 of the time constant {row.growth:+.2f}{interval}"
    )


def pieces_of(arguments: DriftOptions) -> Iterator[Followed]:
    """What is to be followed; raises ConfigError for cells that can't be had."""
    from lstm_jax.diagnostics.interventions import KEEPING_GATES
    from lstm_jax.sweeps.plan import checked_task, sized
    from lstm_jax.tasks.kinds import Classes

    seeds = tuple(range(FIRST_SEED, FIRST_SEED + arguments.seeds))

    if "blank filler" in arguments.conditions and arguments.task != "gap":
        raise ConfigError(f"conditions: blank filler is of the task gap; expected others with task {arguments.task}")

    def piece(condition: Condition, cell: str, gap: int = GAP, rate: float = RATE, size: int = SIZE) -> Followed:
        task = "gap@filler=blank" if condition == "blank filler" else arguments.task
        config = SweepConfig.of(task=task, cells=(cell,), gaps=(gap,), num_params=size, clip_norm=CLIP_NORM)
        its_task = checked_task(config, gap)
        if not isinstance(its_task.outputs, Classes) or its_task.form != "sequence":
            raise ConfigError(f"task: got {arguments.task}; expected one of classes, such as gap or memory_update")
        settings = identified(sized(config, known(config.grid.cells)[0], gap))
        return Followed(condition, settings, rate, seeds, size, arguments.max_steps)

    for cell in arguments.cells:
        for condition in arguments.conditions:
            if condition == "base":
                yield from (piece("base", cell, gap) for gap in arguments.gaps)
                yield from (piece("base", cell, rate=rate) for rate in arguments.rates if rate != RATE)
                yield from (piece("base", cell, size=size) for size in arguments.sizes if size != SIZE)
            elif condition != "frozen gate" or cell.partition("@")[0] in KEEPING_GATES:
                yield piece(condition, cell)


def follow(piece: Followed) -> list[dict[str, Any]]:
    """Follow the runs of one cell under one condition, in a worker process."""
    from lstm_jax.diagnostics.drift import follow_lanes, moments
    from lstm_jax.diagnostics.interventions import KEEPING_GATES, Intervened, Intervention
    from lstm_jax.sweeps.job import Job

    plain = Job(piece.settings).training()
    changed: Intervention = (
        "none" if piece.condition == "base" or piece.condition == "blank filler" else piece.condition
    )
    gate = KEEPING_GATES.get(piece.settings.cell.partition("@")[0])
    fields = {field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)}
    training = Intervened(**fields, intervention=changed, gate=gate)
    clip_norm, steps = piece.settings.training.clip_norm, moments(piece.max_steps)
    rows = follow_lanes(training, piece.seeds, piece.learning_rate, clip_norm, steps)
    return [dataclasses.asdict(row) for row in rows]


if __name__ == "__main__":
    sys.exit(main())
