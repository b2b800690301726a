"""Which runs a sweep has: the choice of a learning rate, and what is asked for by it. No jax."""
