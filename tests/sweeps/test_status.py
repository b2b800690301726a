"""How far a sweep is, as its directory says: by the files of status alone."""

from __future__ import annotations

from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.store.status import JobStatus, write_status
from lstm_jax.sweeps.views.status import sweep_status

CONFIG = SweepConfig.of(
    learning_rates=(0.003,), cells=("rnn",), gaps=(2, 10), hidden_dim=4, seeds=(0, 1), tuning_seeds=(), max_steps=100
)


def states_of(status):
    return {name: job.state for name, job in status.jobs.items()}


def test_a_grid_that_has_grown_waits(tmp_path):
    file = Directory(tmp_path).status_file("rnn-gap2")
    write_status(file, JobStatus("done", {"solved": 1}))
    assert states_of(sweep_status(CONFIG, tmp_path)) == {"rnn-gap2": "waiting", "rnn-gap10": "waiting"}
    write_status(file, JobStatus("done", {"solved": 1, "diverged": 1}))
    status = sweep_status(CONFIG, tmp_path)
    assert states_of(status) == {"rnn-gap2": "done", "rnn-gap10": "waiting"}
    assert (status.num_runs, status.num_ended) == (4, 2)


def test_a_job_runs_while_somebody_has_it(tmp_path):
    """Whoever is told, or else whoever holds its lock."""
    write_status(Directory(tmp_path).status_file("rnn-gap2"), JobStatus("running", {"solved": 1}, num_updates=50))
    assert states_of(sweep_status(CONFIG, tmp_path, alive=["rnn-gap2"]))["rnn-gap2"] == "running"
    assert states_of(sweep_status(CONFIG, tmp_path, alive=["rnn-gap10"]))["rnn-gap2"] == "waiting"
    status = sweep_status(CONFIG, tmp_path)
    assert states_of(status)["rnn-gap2"] == "waiting"
    # A run and a half of gap 2 is done, of two of gap 2 and two of gap 10, each of (gap + 10) * 100.
    assert (status.done_weight, status.total_weight) == (1.5 * 1200, 2 * 1200 + 2 * 2000)
