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

from lstm_jax.sweeps.command_line import from_yaml
from lstm_jax.sweeps.config import ConfigError
from lstm_jax.sweeps.records import read_record
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
    arguments = tyro.cli(ToWandb, args=argv, prog="python -m experiments.to_wandb")
    root = arguments.directory
    try:
        if not (root / "sweep.yaml").is_file():
            raise ConfigError(f"directory: got {root}; expected the directory of a sweep, with a sweep.yaml in it")
        config = from_yaml(root / "sweep.yaml")
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    files = sorted((root / "records").glob("*/*.json"))
    logger = WandbLogger(root, config, arguments.wandb)
    for file in files:
        logger.log(read_record(file))
    logger.finish()
    for warning in logger.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    rich.console.Console().print(
        f"{logger.num_logged} of {len(files)} runs logged {arguments.wandb}, the others were there; "
        f"see {root / 'wandb'}",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if logger.warnings else 0


if __name__ == "__main__":
    sys.exit(main())
