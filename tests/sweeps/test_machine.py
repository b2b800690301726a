"""What a machine has: cores, GPUs told without jax, and how many lanes its memory has room for."""

from __future__ import annotations

import dataclasses
import types

import jax
import pytest

from lstm_jax.sweeps import machine
from lstm_jax.sweeps.config import SweepConfig
from lstm_jax.sweeps.jobs import make_jobs, memory_bytes
from lstm_jax.sweeps.worker import _first_width


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5a")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name == "jax_cuda13_plugin" else None)


def test_a_worker_a_gpu(two_gpus, monkeypatch):
    assert machine.accelerators() == ["3", "GPU-5a"] and machine.has_accelerator()
    assert machine.num_workers(SweepConfig()) == 2
    assert machine.num_workers(SweepConfig(workers=1)) == 1
    assert machine.num_workers(SweepConfig(executor="serial")) == 1
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert not machine.has_accelerator() and machine.num_workers(SweepConfig()) == machine.num_cores()
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not machine.has_accelerator()


def test_a_worker_sees_its_own_gpu(two_gpus, monkeypatch):
    import os

    from lstm_jax.sweeps import executors

    seen = []
    monkeypatch.setattr(executors, "prepare_process", lambda: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("threading.Thread", lambda **_: types.SimpleNamespace(start=lambda: None))
    for index in (0, 1):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5a")
        executors._start_worker(index, 2 + machine.num_cores(), os.getppid())
    assert seen == ["3", "GPU-5a"]


@pytest.mark.parametrize(
    ("runs_that_fit", "num_runs", "width"), [(1, 9, 1), (5, 9, 4), (64, 9, 16), (10**6, 9, 16), (10**6, 5000, 1024)]
)
def test_lanes_by_memory_on_an_accelerator(monkeypatch, runs_that_fit, num_runs, width):
    """A power of two that fits, and no more than there are runs."""
    job = make_jobs(SweepConfig(cells=("rnn",), gaps=(2,), hidden_dim=4, seeds=tuple(range(num_runs)), tuning_seeds=()))
    job = job[0][0]
    stats = {"bytes_limit": int(memory_bytes(job, "states") * runs_that_fit / 0.8) + 1}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [types.SimpleNamespace(memory_stats=lambda: stats)])
    assert _first_width(job, "states") == width
    assert _first_width(dataclasses.replace(job, lanes=7), "states") == 7
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert _first_width(job, "states") == 1
