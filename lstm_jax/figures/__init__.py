"""From numbers to figures and tables. Knows neither jax nor wandb."""
