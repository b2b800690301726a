"""One job on one device. The only folder of `sweeps` that imports jax.

It is handed a job and a directory, and leaves records and checkpoints; executors alone import it.
"""
