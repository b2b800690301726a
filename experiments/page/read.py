"""Finished sweeps as a page reads them: from the files of their directories alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.page.findings import Findings, PagedSweep, findings_of
from experiments.report import experiment_of
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.views.tables import read_rows
from lstm_jax.tasks import corpus_of

if TYPE_CHECKING:
    from lstm_jax.analysis.causes import Verdict

_OF_WHY = "verdicts.csv"


def read_sweeps(directories: Sequence[Path]) -> tuple[list[PagedSweep], list[Verdict]]:
    """Return the sweeps in these directories, and all verdicts that are there; raises ConfigError."""
    verdicts = [verdict for root in directories for verdict in verdicts_in(root)]
    roots = [root for root in directories if (root / "sweep.yaml").is_file()]
    for root in directories:
        if root not in roots and not (root / _OF_WHY).is_file():
            raise ConfigError(
                f"directories: got {root}; expected the directory of a sweep, with sweep.yaml and its runs, or of "
                f"experiments.why, with {_OF_WHY}"
            )
    if not roots:
        raise ConfigError(
            f"directories: got {' '.join(map(str, directories))}; expected one of a sweep, with a sweep.yaml in it"
        )
    names = [root.name for root in roots]
    if len(set(names)) < len(names):
        names = [str(root) for root in roots]
    several = len(roots) > 1
    sweeps = [paged(read_findings(root), root, name * several) for root, name in zip(roots, names, strict=True)]
    return sweeps, verdicts


def paged(findings: Findings, root: Path, name: str = "") -> PagedSweep:
    """Return the sweep in a directory as a page has it, with the machines that it ran on."""
    return PagedSweep(findings, name, Directory(root).machines)


def verdicts_in(root: Path) -> list[Verdict]:
    """Return the verdicts of experiments.why in a directory, none without; raises ConfigError for a damaged file."""
    from lstm_jax.analysis.causes import Verdict

    if not (root / _OF_WHY).is_file():
        return []
    try:
        return read_rows(root / _OF_WHY, Verdict)
    except (OSError, ValueError) as error:
        raise ConfigError(f"directories: can't read the verdicts in {root} ({error})") from None


def read_findings(root: Path) -> Findings:
    """Return the numbers of the sweep in a directory; raises ConfigError where it is of text, or can't be read."""
    from lstm_jax.api import load

    finished = load(root)
    if corpus_of(finished.config.task) is not None:
        raise ConfigError(
            f"directories: got {root}, a sweep of the task {finished.config.task}; expected sweeps over gaps"
        )
    return findings_of(experiment_of(finished.config), finished.config, finished.records)
