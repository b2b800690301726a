"""From records to numbers: solve rates, horizons, intervals. Knows neither jax, wandb nor plots."""
