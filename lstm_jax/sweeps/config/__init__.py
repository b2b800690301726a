"""Options: dataclasses with their constraints, and how the command line, YAML and grid files become one.

Imports only what parses and checks, no jax. Everything else in `sweeps` may import it.
"""
