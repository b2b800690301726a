"""Published comparisons at their own settings: theirs beside ours, and a verdict.

python -m experiments.reproduce --list                     # what there is, with what each has to train
python -m experiments.reproduce hochreiter                 # train, compare; results are in results/reproductions
python -m experiments.reproduce chrono --reduced           # in a form that two cores reach
python -m experiments.reproduce --page docs/reproductions.md --out docs/results/reproductions    # from files alone

A repeated command goes on where the last one ended. To add one: a file in experiments/reproductions, and a line there.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import rich.console
import tyro

from experiments import common
from experiments.cli import program
from experiments.common import Argv
from lstm_jax.errors import ConfigError, UnwritableError
from lstm_jax.files import write_atomically
from lstm_jax.sweeps.config.fields import Allowed, Checked, Count
from lstm_jax.sweeps.config.parsing import parse_options

if TYPE_CHECKING:
    from experiments.reproductions.base import Finding, Reproduction
    from lstm_jax.sweeps.store.records import Record

CLAIMS = "claims.csv"
SEED = Allowed("whole numbers of at least 0", lambda seed: seed >= 0)


@dataclasses.dataclass(frozen=True)
class Reproduce(Checked):
    """Train published comparisons at their own settings; say reproduced, not reproduced or not comparable."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Comparisons to run; --list names them."""
    list: bool = False
    """Say what there is, and train nothing."""
    reduced: bool = False
    """The reduced form of each, where two cores do not reach the published one."""
    seeds: Annotated[tuple[int, ...] | None, SEED] = None
    """Seeds of each arm. Default: as the comparison says, two or more."""
    page: Path | None = None
    """Write this page from what is in `out`, and train nothing that is not named."""
    executor: Literal["serial", "process"] = "process"
    """Where runs train: here, or one process a core."""
    workers: Count | None = None
    """Processes. Default: one a core."""
    out: Path = Path("results/reproductions")
    """Directory of the results. What is recorded there is not trained again."""


def main(argv: Argv = None) -> int:
    """Run as a command; returns its exit status."""

    def act(console: rich.console.Console) -> int:
        options = sys.argv[1:] if argv is None else argv
        arguments = parse_options(Reproduce, options, program("reproduce"), str(Reproduce.__doc__))
        try:
            return _run(arguments, console)
        except OSError as error:
            raise UnwritableError.of(arguments.out, error) from error

    return common.command(act)


def _run(arguments: Reproduce, console: rich.console.Console) -> int:
    from experiments.reproductions import REPRODUCTIONS, load

    if arguments.list:
        for name in REPRODUCTIONS:
            _describe(load(name), console)
        return 0
    if not arguments.names and arguments.page is None:
        raise ConfigError(f"names: got none; expected one or more of {', '.join(REPRODUCTIONS)}, or --list or --page")
    status = 0
    for reproduction in [load(name, arguments.reduced) for name in arguments.names]:
        status = max(status, reproduce(reproduction, arguments, console))
        if status >= 128:
            return status
    if arguments.page is not None:
        from experiments.reproductions.page import page

        arguments.page.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.page, page(arguments.out))
        console.print(f"page: {arguments.page}")
    return status


def _describe(reproduction: Reproduction, console: rich.console.Console) -> None:
    from experiments.reproductions import forms

    console.print(reproduction.name, style="bold", highlight=False)
    console.print(f"  {reproduction.paper}", highlight=False, markup=False, soft_wrap=True)
    for each in forms(reproduction.name):
        form = f"--reduced: {each.not_comparable.removeprefix('reduced: ')}; " if each.reduced else ""
        updates = max(arm.options["max_steps"] for arm in each.arms)
        runs = sum(len(arm.options["seeds"]) for arm in each.arms)
        console.print(
            f"  {form}{runs} runs of up to {updates:,} updates", highlight=False, markup=False, soft_wrap=True
        )


def folder(out: Path, reproduction: Reproduction) -> Path:
    """Where a comparison's results are; a reduced form has its own."""
    return out / (f"{reproduction.name}_reduced" if reproduction.reduced else reproduction.name)


def reproduce(reproduction: Reproduction, arguments: Reproduce, console: rich.console.Console) -> int:
    """Train what is missing of one comparison, write claims.csv, and print the verdict; returns the exit status."""
    from experiments.reproductions.base import Finding, compare
    from lstm_jax.sweeps.run import run_sweep
    from lstm_jax.sweeps.store.records import Run, write_rows

    root = folder(arguments.out, reproduction)
    changes: dict[str, Any] = {} if arguments.seeds is None else {"seeds": arguments.seeds}
    records: dict[str, Sequence[Record]] = {}
    failed = False
    for number, arm in enumerate(reproduction.arms, start=1):
        console.print(f"{reproduction.name}, {number} of {len(reproduction.arms)}: {arm.name}", style="bold")
        execution = {"executor": arguments.executor, "workers": arguments.workers, "out": root / arm.name}
        result = run_sweep(arm.config(**changes, **execution), console)
        if result.stopped_by:
            console.print(f"interrupted: repeat the command to go on; what has ended is in {root}")
            return 128 + result.stopped_by
        for name, reason in result.failures:
            print(f"error: job {name} failed: {reason}", file=sys.stderr)
        failed |= bool(result.failures)
        records[arm.name] = result.records
    findings = [compare(reproduction, claim, records) for claim in reproduction.claims]
    write_rows(root / "runs.csv", Run, [record.run for each in records.values() for record in each])
    write_rows(root / CLAIMS, Finding, findings)
    _print(reproduction, findings, console)
    return int(failed)


def _print(reproduction: Reproduction, findings: Sequence[Finding], console: rich.console.Console) -> None:
    from experiments.reproductions.base import verdict
    from experiments.reproductions.page import ours

    for each in findings:
        word = {True: "holds", False: "does not hold", None: "not known"}[each.holds]
        console.print(
            f"{word}: {each.text}. Theirs: {each.published}. Ours: {ours(each)}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    console.print(f"{reproduction.name}: {verdict(reproduction, findings)}", style="bold", highlight=False)
    for line in filter(None, (reproduction.not_comparable, reproduction.left_out, reproduction.differs)):
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def read_claims(path: Path) -> list[Finding]:
    """Read claims.csv; raises ConfigError where it is not there or not one."""
    from experiments.reproductions.base import Finding
    from lstm_jax.sweeps.views.tables import read_rows

    if not path.is_file():
        raise ConfigError(f"out: {path} is not there; expected the results of a comparison: run it first")
    try:
        return read_rows(path, Finding)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; expected what the command wrote") from None


if __name__ == "__main__":
    sys.exit(main())
