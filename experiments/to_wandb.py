"""Log a finished sweep to wandb: `python -m experiments.to_wandb DIR --wandb online`.

Runs that an earlier command has logged from this directory are not logged again; ids are deterministic, so that
syncing twice makes no second run.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import rich.console
import tyro

from experiments.common import one_line
from lstm_jax.sweeps.command_line import from_yaml, parse_options
from lstm_jax.sweeps.config import ConfigError
from lstm_jax.sweeps.records import read_record
from lstm_jax.sweeps.storage import DamagedError
from lstm_jax.sweeps.wandb_runs import WandbLogger


@dataclasses.dataclass(frozen=True)
class ToWandb:
    """Log a finished sweep to Weights & Biases."""

    directory: tyro.conf.Positional[Path]
    """The directory of a sweep."""
    wandb: Literal["online", "offline"] = "offline"
    """Offline needs no account; `wandb sync` uploads later."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""
    try:
        arguments = parse_options(
            ToWandb, sys.argv[1:] if argv is None else argv, "python -m experiments.to_wandb", str(ToWandb.__doc__)
        )
        root = arguments.directory
        if not (root / "sweep.yaml").is_file():
            raise ConfigError(f"directory: got {root}; expected the directory of a sweep, with a sweep.yaml in it")
        config = from_yaml(root / "sweep.yaml")
        records = [read_record(file) for file in sorted((root / "records").glob("*/*.json"))]
    except (ConfigError, DamagedError) as error:
        return one_line(error)
    logger = WandbLogger(root, config, arguments.wandb)
    for record in records:
        logger.log(record)
    logger.finish()
    for warning in logger.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    rich.console.Console().print(
        f"{logger.num_logged} of {len(records)} runs logged {arguments.wandb}, the others were there; "
        f"see {root / 'wandb'}",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if logger.warnings else 0


if __name__ == "__main__":
    sys.exit(main())
