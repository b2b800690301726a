"""From the tables of lstm_jax.analysis to figures and to tables in the terminal.

Imports lstm_jax.analysis; neither jax nor wandb.
"""
