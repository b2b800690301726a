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

from experiments.cli import program
from experiments.common import command
from experiments.status import sweep_directory
from lstm_jax.errors import ConfigError, UnwritableError
from lstm_jax.sweeps.config.command_line import from_yaml
from lstm_jax.sweeps.config.parsing import parse_options
from lstm_jax.sweeps.store.records import read_record
from lstm_jax.sweeps.views.wandb import WandbLogger, check_writable


@dataclasses.dataclass(frozen=True)
class ToWandb:
    """Log a finished sweep to Weights & Biases."""

    directory: tyro.conf.Positional[Path]
    """The directory of a sweep."""
    wandb: Literal["online", "offline"] | None = None
    """Offline needs no account; `wandb sync` uploads later. None: as WANDB_MODE says, or offline."""
    wandb_project: str | None = None
    """Project of the wandb runs. None: the sweep's, or as WANDB_PROJECT says, or lstm_jax."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""

    def act(console: rich.console.Console) -> int:
        arguments = parse_options(
            ToWandb, sys.argv[1:] if argv is None else argv, program("to-wandb"), str(ToWandb.__doc__)
        )
        directory = sweep_directory(arguments.directory)
        config = from_yaml(directory.config_file)
        project = arguments.wandb_project or config.logging.wandb_project
        config = config.replace(wandb=arguments.wandb, wandb_project=project)
        mode, _ = config.logging.target()
        if mode == "disabled":
            raise ConfigError("WANDB_MODE: got disabled; expected online or offline here, or --wandb offline")
        records = [read_record(file) for file in directory.all_recorded()]
        try:
            check_writable(directory.root)
        except OSError as error:
            raise UnwritableError.of(directory.root / "wandb", error) from error
        logger = WandbLogger(directory.root, config)
        for record in records:
            logger.log(record)
        logger.finish()
        for warning in logger.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        console.print(
            f"{logger.num_logged} of {len(records)} runs logged {mode}, the others were there; "
            f"see {directory.root / 'wandb'}"
        )
        return 1 if logger.warnings else 0

    return command(act)


if __name__ == "__main__":
    sys.exit(main())
