"""Gap sweeps: solve rates, horizons and their ratios, from rows of runs.csv. No jax."""
