"""From the records of a finished sweep to tables: solve rates, horizons, scores, intervals.

Imports lstm_jax.sweeps.store and lstm_jax.text; neither jax, wandb nor anything that draws.
"""
