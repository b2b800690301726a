"""The arms of the gap experiment: is the order of cells the same with other filler, and at a fixed total length?

python -m experiments.arms                                # results are in results/arms
python -m experiments.arms --cells lstm mine:Cell         # options are those of experiments.gap_length

distractors    random filler, as in experiments.gap_length
blank          one blank as filler: nothing to hold the fact against
fixed length   all sequences as long as that of the largest gap: the position of the fact varies, not length or compute

Then the runs of the first arm are tested at 2 and 4 times their own gap (experiments.generalization).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import rich.console

from experiments import common, gap_length, generalization
from experiments.captions import describe, words_of
from experiments.cli import program
from experiments.text import task_name
from lstm_jax import registry
from lstm_jax.errors import ConfigError, UnwritableError
from lstm_jax.sweeps.config.command_line import parse_command
from lstm_jax.sweeps.config.options import SweepConfig, known
from lstm_jax.sweeps.store.records import write_rows

_OUT = Path("results/arms")
_NOTE = "Horizon: the gap that half of the runs still learn at the cell's one tuned rate, with a 95% interval."


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status, as that of experiments.gap_length."""

    def act(console: rich.console.Console) -> int:
        presets = {name: preset.replace(out=_OUT) for name, preset in gap_length.EXPERIMENT.presets.items()}
        command = parse_command(presets, sys.argv[1:] if argv is None else argv, program("arms"), _description())
        if command.grid is not None or command.sweep.beside is not None:
            raise ConfigError("grid, beside: expected none: the arms are sweeps of their own; give --cells")
        sweeps = arms_of(command.sweep)
        if command.show:
            return max(common.show(sweep, console) for sweep in sweeps.values())
        status = common.run_all(gap_length.EXPERIMENT, list(sweeps.values()), console)
        if status >= 128:
            return status
        try:
            report(Path(command.sweep.out), tuple(sweeps), console)
        except OSError as error:
            raise UnwritableError.of(Path(command.sweep.out), error) from error
        return status

    return common.command(act)


def _description() -> str:
    return str(__doc__).partition("\n")[0]


def arms_of(config: SweepConfig) -> dict[str, SweepConfig]:
    """The sweep of each arm, in a directory of its own; raises ConfigError for a task that has no such arms."""
    spec = registry.parse(config.task)
    set_by_arm = {"filler", "length"} & {name for name, _ in spec.settings}
    if task_name(config) != "gap" or set_by_arm:
        raise ConfigError(f"task: got {config.task}; expected gap, without filler and length, which the arms set")
    settings = {
        "distractors": (),
        "blank": (("filler", "blank"),),
        "fixed length": (("length", str(max(known(config.grid.gaps)) + 2)),),
    }
    return {
        arm: config.replace(task=spec.with_settings((*spec.settings, *own)), out=config.out / arm.replace(" ", "_"))
        for arm, own in settings.items()
    }


def report(out: Path, arms: Sequence[str], console: rich.console.Console) -> None:
    """Write arms.csv and its picture from the sweeps in `out`, and generalization.csv of the first."""
    from lstm_jax.analysis.gaps.arms import Place, places
    from lstm_jax.analysis.gaps.contrasts import contrasts
    from lstm_jax.analysis.gaps.horizon import horizons
    from lstm_jax.api import load
    from lstm_jax.figures.formats import format_bound
    from lstm_jax.figures.gaps.arms import arms_figure
    from lstm_jax.figures.style import save

    found = {arm: load(out / arm.replace(" ", "_")) for arm in arms}
    rows: list[Place] = []
    for arm, sweep in found.items():
        tuning_seeds = sweep.config.grid.tuning_seeds
        rows += places(arm, sweep.config.task, horizons(sweep.rows, tuning_seeds), contrasts(sweep.rows, tuning_seeds))
    if not rows:
        console.print("no run has ended: there is nothing to compare")
        return
    first = next(iter(found.values()))
    write_rows(out / "arms.csv", Place, rows)
    figure = arms_figure(
        rows,
        sorted({run.gap for sweep in found.values() for run in sweep.rows}),
        caption=f"{_NOTE} Arms: {'; '.join(f'{arm}, task {sweep.config.task}' for arm, sweep in found.items())}. "
        f"{describe(first.config, first.records)}",
        title="Does the order of cells depend on what fills the gap?",
        words=words_of(first.config),
    )
    (plot,) = save(figure, out / "arms", ["png"])
    for arm in found:
        order = (f"{row.place}. {row.cell} ({format_bound(row.bound, row.horizon)})" for row in rows if row.arm == arm)
        console.print(f"{arm}: {', '.join(order)}", highlight=False, markup=False, soft_wrap=True)
    console.print("cells that are not told apart may share a place", style="dim")
    if any(run.status == "solved" for run in first.rows if run.seed not in first.config.grid.tuning_seeds):
        generalization.report(first, out, console)
    console.print(f"plot: {plot}")


if __name__ == "__main__":
    sys.exit(main())
