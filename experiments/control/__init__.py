"""What a sweep must not find, and what needs no learning: the parts of `python -m experiments.controls`."""
