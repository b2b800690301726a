"""A worker compares its cell with a loop over `step` before it trains anything."""

from __future__ import annotations

import pytest

from lstm_jax import self_check
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.worker import vmapped
from lstm_jax.sweeps.worker.job import run_job


def test_a_job_whose_path_computes_another_cell_trains_nothing(tmp_path, monkeypatch):
    config = SweepConfig.of(
        cells=("gru",), gaps=(2,), hidden_dim=7, learning_rates=(0.01,), seeds=(0,), tuning_seeds=()
    )
    (job,) = make_jobs(config)[0]
    monkeypatch.setattr("lstm_jax.memory_saving.adds_projections", lambda *_: True)  # as at commit 878744e
    monkeypatch.setattr(vmapped, "VmappedRuns", lambda *_: pytest.fail("it began to train"))
    self_check._check_cell.cache_clear()
    with pytest.raises(ValueError, match=r"cell GRU, backward 'activations': .* --backward autodiff"):
        run_job(job, Directory(tmp_path))
    self_check._check_cell.cache_clear()
