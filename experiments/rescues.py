"""What moves a cell that has stopped? The same runs with one thing changed at a time.

python -m experiments.rescues                                # cells and gaps of docs/results/quick that stop
python -m experiments.rescues --sweep DIR --cells lstm --gaps 40 --seeds 20
python -m experiments.rescues --rescues "updates x8" "forget bias + 3"

A cell and gap is tried where fewer than half of the sweep's report runs solve, unless --gaps says which. What is
recorded is not trained again. docs/why.md says what is changed, and what came out.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import rich.console

from experiments.common import Argv, measure
from experiments.recorded import all_of, identified, record_name
from experiments.tuned import tuned_sweep
from lstm_jax import registry
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.fields import Allowed, Checked, Count
from lstm_jax.sweeps.config.options import DIRECTORY, resolved
from lstm_jax.sweeps.job import Job, Settings, run_weight
from lstm_jax.sweeps.store.records import write_rows
from lstm_jax.sweeps.views.tables import read_rows

if TYPE_CHECKING:
    from lstm_jax.analysis.rescued import Rescue, RescuedRun

FIRST_SEED = 3000
"""Seeds from here on, which no sweep has."""
FACTOR = 8
"""How many times more updates, or sequences an update."""


@dataclasses.dataclass(frozen=True)
class Rescues(Checked):
    """Change one thing at a time of runs that fail, and see which change lets them learn."""

    sweep: Path = Path("docs/results/quick")
    """The directory of a finished sweep, with sweep.yaml and runs.csv: settings, cells, gaps and tuned rates."""
    cells: Annotated[tuple[str, ...] | None, Allowed("names of cells", lambda name: bool(name), 1)] = None
    """Cells of that sweep. None: all."""
    gaps: Annotated[tuple[int, ...] | None, Allowed("whole numbers of at least 1", lambda gap: gap >= 1, 1)] = None
    """Gaps. None: of each cell those at which fewer than half of the sweep's runs solve."""
    rescues: Annotated[tuple[str, ...] | None, Allowed("names of rescues", lambda name: bool(name), 1)] = None
    """What to change. None: all."""
    seeds: Count = 12
    """Runs of each."""
    workers: Count | None = None
    """Worker processes. None: one a core."""
    out: Annotated[Path, DIRECTORY] = Path("results/rescues")
    """Directory of the results."""


@dataclasses.dataclass(frozen=True)
class Rescued:
    """The runs of a cell at a gap with one change, "" for none."""

    rescue: str
    settings: Settings
    learning_rate: float
    seeds: tuple[int, ...]
    start_gap: int | None = None
    """Where the parameters come from that runs begin with: runs of the same seeds at this gap."""
    cell: str = ""
    """The cell that is rescued, which may be another than that of `settings`."""

    @property
    def name(self) -> str:
        """Its file, without the ending."""
        facts = [self.rescue, self.settings.flat, self.learning_rate, self.seeds, self.start_gap]
        return record_name(f"{self.cell}-gap{self.settings.gap}-{self.rescue or 'base'}", facts)

    @property
    def weight(self) -> float:
        """Its expected cost."""
        batches = self.settings.batch_size / 32
        return len(self.seeds) * run_weight(self.settings.gap, self.settings.training.max_steps) * batches


def main(argv: Argv = None) -> int:
    """Run as a command; returns the exit status."""
    return measure(Rescues, "rescues", run, argv)


def run(arguments: Rescues, console: rich.console.Console) -> int:
    """Train all runs, write what each change did, and draw it."""
    from lstm_jax.analysis.rescued import Rescue, RescuedRun, rescues
    from lstm_jax.figures.gaps.rescues import rescues_figure
    from lstm_jax.figures.style import save

    pieces = list(pieces_of(arguments))
    if not pieces:
        console.print("no cell stops at these gaps: there is nothing to rescue")
        return 0
    found = all_of(pieces, train, arguments.out / "runs", arguments.workers, console, "changes tried")
    rows = rows_of(pieces, found)
    judged = rescues(rows)
    write_rows(arguments.out / "rescued_runs.csv", RescuedRun, rows)
    write_rows(arguments.out / "rescues.csv", Rescue, judged)
    for row in judged:
        console.print(
            f"{row.cell} at {row.gap}, {row.rescue}: {row.num_solved} of {row.num_runs} solve, {row.num_solved_before} "
            f"without ({row.change:+.2f}, {row.ci_low:+.2f} to {row.ci_high:+.2f})",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    if judged:
        figure = rescues_figure(
            judged, title="What lets a cell learn that had stopped?", caption=(
                f"{arguments.seeds} runs each, paired by their seeds: solve rate with one change less that without, "
                f"with 95% intervals; in colour where it is significantly above 0 (McNemar). Settings of "
                f"{arguments.sweep}. Beside: runs that solved with the change."
            ),
        )  # fmt: skip
        (plot,) = save(figure, arguments.out / "rescues", ["png"])
        console.print(f"plot: {plot}", highlight=False, markup=False, soft_wrap=True)
    return 0


def read(path: Path) -> list[Rescue]:
    """Read rescues.csv; raises ConfigError where it is not there, or not one."""
    from lstm_jax.analysis.rescued import Rescue

    try:
        return read_rows(path, Rescue)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"rescued: {path}: {error}; expected rescues.csv of experiments.rescues") from None


def pieces_of(arguments: Rescues) -> Iterator[Rescued]:
    """What is to be trained; raises ConfigError for what can't be had."""
    from lstm_jax.analysis.rescued import RESCUES
    from lstm_jax.sweeps.plan import sized

    chosen = arguments.rescues or RESCUES
    for name in chosen:
        if name not in RESCUES:
            raise ConfigError(f"rescues: unknown {name!r}: {registry.nearest(name, RESCUES)}")
    sweep, summary, rates, _ = tuned_sweep(arguments.sweep)
    cells = arguments.cells or tuple(rates)
    unknown = [cell for cell in cells if cell not in rates]
    if unknown:
        raise ConfigError(f"cells: {arguments.sweep} has no runs of {', '.join(unknown)}; expected cells of that sweep")
    config = resolved(sweep.replace(cells=cells, beside=None, out=arguments.out))
    seeds = tuple(range(FIRST_SEED, FIRST_SEED + arguments.seeds))
    for cell in cells:
        failing = [row.gap for row in summary if row.cell == cell and row.solve_rate < 0.5]
        for gap in arguments.gaps or failing:
            yield from with_changes(identified(sized(config, cell, gap)), rates[cell], seeds, chosen)


def with_changes(
    settings: Settings, learning_rate: float, seeds: tuple[int, ...], chosen: Sequence[str]
) -> Iterator[Rescued]:
    """The runs as they are, and those with each of the changes that there are for the cell and the task."""
    base = Rescued("", settings, learning_rate, seeds, cell=settings.cell)
    yield base
    for name in chosen:
        changed = change(base, name)
        if changed is not None:
            yield changed


def rows_of(pieces: Sequence[Rescued], found: Sequence[Sequence[dict[str, Any]]]) -> list[RescuedRun]:
    """The runs of all pieces."""
    from lstm_jax.analysis.rescued import RescuedRun

    bases = {(piece.cell, piece.settings.gap): piece for piece in pieces if not piece.rescue}

    def base_of(piece: Rescued) -> dict[str, Any]:
        base = bases[piece.cell, piece.settings.gap]
        settings = base.settings
        return {
            "learning_rate": base.learning_rate, "max_steps": settings.training.max_steps,
            "hidden_dim": settings.hidden_dim,
        }  # fmt: skip

    return [
        RescuedRun(piece.cell, piece.settings.gap, piece.rescue, **tree, **base_of(piece))
        for piece, trees in zip(pieces, found, strict=True)
        for tree in trees
    ]


def change(base: Rescued, name: str) -> Rescued | None:
    """The same runs with one thing changed; None where there is no such thing."""
    settings = base.settings
    training, gap = settings.training, settings.gap

    def with_settings(**changes: Any) -> Rescued:
        return dataclasses.replace(base, rescue=name, settings=dataclasses.replace(settings, **changes))

    if name == "updates x8":
        if training.schedule != "constant":  # it would be stretched, too
            return None
        return with_settings(training=dataclasses.replace(training, max_steps=FACTOR * training.max_steps))
    if name == "batch x8":
        return with_settings(training=dataclasses.replace(training, batch_size=FACTOR * settings.batch_size))
    if name == "blank filler":
        spec = registry.parse(settings.task)
        if spec.name != "gap" or "filler" in dict(spec.settings):
            return None
        return with_settings(task=spec.with_settings((*spec.settings, ("filler", "blank"))))
    if name == "hidden size x2":
        return with_settings(model=dataclasses.replace(settings.model, hidden_dim=2 * settings.hidden_dim))
    if name == "curriculum":
        if gap == 1 or "chrono" in dict(registry.parse(settings.cell).settings):  # whose bias is drawn for its gap
            return None
        return dataclasses.replace(base, rescue=name, start_gap=max(1, gap // 4))
    if name == "rate / 4":
        return dataclasses.replace(base, rescue=name, learning_rate=base.learning_rate / 4)
    if name == "forget bias + 3":
        cell = with_longer_memory(settings.cell)
        return None if cell is None else with_settings(cell=cell)
    if name == "float64":
        return dataclasses.replace(base, rescue=name)
    raise ValueError(f"{name}: no such rescue")


def with_longer_memory(text: str) -> registry.Spec | None:
    """The cell with 3 more of the bias of the gate that keeps its state; None where it has no such bias."""
    from lstm_jax.cells import make_cell

    try:
        cell, spec = make_cell(text, 1, 4), registry.parse(text)
    except ValueError:  # a model of another kind
        return None
    field = next((name for name in ("forget_bias", "update_bias") if hasattr(cell, name)), None)
    if field is None or getattr(cell, "chrono", False):
        return None
    others = tuple((name, value) for name, value in spec.settings if name != field)
    return spec.with_settings((*others, (field, f"{getattr(cell, field) + 3.0:g}")))


def train(piece: Rescued) -> list[dict[str, Any]]:
    """Train the runs of one piece, in a worker process."""
    import contextlib

    import jax

    from lstm_jax.diagnostics.double import Double
    from lstm_jax.diagnostics.solving import train_runs

    settings, starts = piece.settings, None
    clip_norm, max_steps = settings.training.clip_norm, settings.training.max_steps
    training = Job(settings).training()
    arguments = (piece.seeds, piece.learning_rate, clip_norm, max_steps, settings.eval_steps)
    if piece.start_gap is not None:
        shorter = Job(dataclasses.replace(settings, gap=piece.start_gap)).training()
        starts = [each.params for each in train_runs(shorter, *arguments)]
    in_double = piece.rescue == "float64"
    if in_double:
        training = Double(**{field.name: getattr(training, field.name) for field in dataclasses.fields(training)})
    with jax.enable_x64(True) if in_double else contextlib.nullcontext():
        found = train_runs(training, *arguments, starts)
    return [
        {"seed": seed, "solved_step": each.solved_step, "score": each.score}
        for seed, each in zip(piece.seeds, found, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
