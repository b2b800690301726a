"""How does learning degrade as the gap grows between a fact and the point where it is needed?

python -m experiments.gap_length                      # minutes on a laptop; the plot is in results/gap_length
python -m experiments.gap_length --show               # what the task looks like
python -m experiments.gap_length --cells lstm lstm@forget_bias=0 rnn@init=orthogonal my_package.cells:Mine
python -m experiments.gap_length --task gap@filler=blank        # nothing to hold the fact against
python -m experiments.gap_length --task gap@length=162          # total length fixed, position of the fact varied
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import common
from experiments.common import Experiment
from lstm_jax.sweeps.config.options import SweepConfig

_CELLS = ("rnn", "rnn@init=orthogonal", "gru", "lstm", "lstm@forget_bias=3", "lstm@chrono=true")
_OUT = Path("results/gap_length")

EXPERIMENT = Experiment(
    module="experiments.gap_length",
    description="How learning degrades with the distance between a fact and the point where it is needed.",
    title="How far back can a recurrent network learn to look?",
    limits={
        "smoke": "Toy size: it shows that all runs, and nothing else.",
        "quick": "A sketch: few seeds, and no gap that stops the best cells; --preset reference has both.",
    },
    presets={
        "smoke": SweepConfig.of(
            preset="smoke",
            cells=("rnn", "lstm"),
            gaps=(2, 4),
            learning_rates=(0.003, 0.01),
            seeds=(0, 1),
            tuning_seeds=(100,),
            num_params=1766,
            max_steps=200,
            eval_size=128,
            out=_OUT,
        ),
        "quick": SweepConfig.of(
            preset="quick",
            cells=("rnn", "gru", "lstm", "lstm@forget_bias=3"),
            gaps=(10, 20, 40, 80),
            seeds=(0, 1, 2, 3),
            tuning_seeds=(100, 101),
            embedding_dim=8,
            num_params=3500,
            max_steps=2000,
            out=_OUT,
        ),
        "reference": SweepConfig.of(
            preset="reference",
            cells=_CELLS,
            gaps=(5, 10, 20, 40, 80, 160, 320),
            seeds=tuple(range(20)),
            tuning_seeds=tuple(range(100, 104)),
            embedding_dim=8,
            num_params=3500,
            max_steps=5000,
            out=_OUT,
        ),
        "full": SweepConfig.of(
            preset="full",
            cells=_CELLS,
            gaps=(5, 10, 20, 40, 80, 160, 320, 640, 1280, 2000),
            seeds=tuple(range(30)),
            tuning_seeds=tuple(range(100, 120)),
            num_params=12290,
            max_steps=10_000,
            out=_OUT,
        ),
    },
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""
    return common.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
