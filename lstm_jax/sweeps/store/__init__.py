"""What is durable in the directory of a sweep: where files lie, records, checkpoints, locks, status of jobs.

No jax. It knows configurations and jobs as values; plan, worker, executors, views and run may import it.
"""
