"""What people look at: progress, status, tables, wandb. All of it can be made again from `store`.

No jax. `run` and the commands in `experiments` import it.
"""
