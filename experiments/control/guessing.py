"""Scores of models whose weights are drawn and never trained (Schmidhuber & Hochreiter 1996)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.control.judge import Guesses
from lstm_jax.arrays import Floats
from lstm_jax.sweeps.config.options import SweepConfig

DRAWS_AT_ONCE = 100
SCALES = (-2.0, 4.0)
"""Weights are those that a run begins with, times 2 to a power drawn from here: from a quarter to 16."""


def scores(config: SweepConfig, cell: str, gap: int, num_draws: int, num_scored: int) -> Iterator[Floats]:
    """Yield the held-out scores of draws, DRAWS_AT_ONCE at a time, on `num_scored` sequences."""
    import dataclasses

    import jax
    import jax.numpy as jnp

    from lstm_jax.sweeps.job import Job
    from lstm_jax.sweeps.plan import sized
    from lstm_jax.training import Hypers

    training = dataclasses.replace(Job(sized(config, cell, gap)).training(), eval_size=num_scored)

    @jax.jit
    def score(first: jax.Array) -> jax.Array:
        def of_seed(seed: jax.Array) -> jax.Array:
            state = training.init(Hypers(seed, jnp.float32(0.0), jnp.float32(1.0)))
            scale = 2.0 ** jax.random.uniform(jax.random.key(seed), minval=SCALES[0], maxval=SCALES[1])
            return training.evaluate(state._replace(params=jax.tree.map(lambda leaf: leaf * scale, state.params))).score

        scores: jax.Array = jax.lax.map(of_seed, first + jnp.arange(DRAWS_AT_ONCE, dtype=jnp.uint32), batch_size=10)
        return scores

    for first in range(0, num_draws, DRAWS_AT_ONCE):
        yield np.asarray(score(jnp.uint32(first)), dtype=np.float64)[: num_draws - first]


def summarised(cell: str, gap: int, found: Floats, chance: float, solved_at: float) -> Guesses:
    """Return the row of one cell at one gap."""
    median, p99, p999 = np.quantile(found, [0.5, 0.99, 0.999]).tolist()
    solved = int((found >= solved_at).sum())
    return Guesses(cell, gap, len(found), solved, chance, median, p99, p999, float(found.max()))
