"""One file per question, each a command: `python -m experiments.gap_length`, once installed `lstm-jax gap-length`."""
