"""The copying memory task of Arjovsky et al. 2016: symbols to be recalled in their order after T steps.

    python -m experiments.copy_task                       # minutes on a laptop; the plot is in results/copy_task
    python -m experiments.copy_task --show
    python -m experiments.copy_task --preset full --gaps 100 200    # the paper's: ten symbols, RMSprop

The gap is T. The quick preset recalls three symbols and trains with Adam: ten symbols with RMSprop, as in the paper,
no cell learned in its 2,000 updates (T = 1, 5, 20). Scored at the recall positions; the loss over the whole sequence is
drawn beside that of a solver without memory, 10 ln 8 / (T + 20) for ten symbols of eight, which falls as T grows with
nothing learned.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import common
from experiments.common import Experiment
from lstm_jax.sweeps.config.options import SweepConfig

_CELLS = ("rnn", "gru", "lstm", "lstm@chrono=true")
_OUT = Path("results/copy_task")

EXPERIMENT = Experiment(
    module="experiments.copy_task",
    description="How learning to recall symbols in their order degrades with the delay T (Arjovsky et al. 2016).",
    title="Copying memory: how long can symbols be held?",
    has_sequence_loss=True,
    presets={
        "smoke": SweepConfig.of(
            preset="smoke",
            task="copy@num_recalled=2,num_symbols=4",
            cells=("rnn", "lstm"),
            gaps=(1, 3),
            learning_rates=(0.003, 0.01),
            seeds=(0, 1),
            tuning_seeds=(100,),
            num_params=2096,
            max_steps=200,
            eval_size=128,
            optimizer="rmsprop",
            out=_OUT,
        ),
        "quick": SweepConfig.of(
            preset="quick",
            task="copy@num_recalled=3",
            cells=_CELLS,
            gaps=(2, 5, 10, 20, 40),
            learning_rates=(0.003, 0.01, 0.03),
            seeds=(0, 1, 2),
            tuning_seeds=(100,),
            num_params=7460,
            max_steps=2000,
            chunk_steps=100,
            eval_size=64,
            out=_OUT,
        ),
        "reference": SweepConfig.of(
            preset="reference",
            task="copy@num_recalled=3",
            cells=_CELLS,
            gaps=(5, 10, 20, 40, 80),
            seeds=tuple(range(10)),
            tuning_seeds=(100, 101, 102),
            num_params=7460,
            max_steps=5000,
            chunk_steps=100,
            eval_size=64,
            out=_OUT,
        ),
        "full": SweepConfig.of(
            preset="full",
            task="copy",
            cells=_CELLS,
            gaps=(10, 20, 50, 100, 200, 300, 500, 750, 1000, 2000),
            seeds=tuple(range(30)),
            tuning_seeds=tuple(range(100, 120)),
            num_params=12290,
            max_steps=20_000,
            chunk_steps=200,
            optimizer="rmsprop",
            out=_OUT,
        ),
    },
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a command; returns the exit status."""
    return common.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
