"""Where jobs run: one file per executor. `submit(job)` gives a future with a `JobResult`.

No jax in this process, except for the serial executor's thread. `run` alone imports it.
"""
