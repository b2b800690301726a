"""One file per question; each is a command: `python -m experiments.gap_length --help`."""
