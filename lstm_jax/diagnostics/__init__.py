"""Why a cell stops: what reaches a fact, what is left of it, and what training sees of it, by distance. Needs jax."""
