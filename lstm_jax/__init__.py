"""How far back can a recurrent network learn to look, and why does it stop?

The package imports nothing by itself: `--help`, analysis and plots work without jax.
"""
