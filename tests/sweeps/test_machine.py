"""What a machine has: cores, GPUs told without jax, and how many lanes its memory has room for."""

from __future__ import annotations

import dataclasses
import types

import jax
import pytest

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps import machine
from lstm_jax.sweeps.config.execution import ExecutionOptions
from lstm_jax.sweeps.config.options import SweepConfig, replaced
from lstm_jax.sweeps.plan import make_jobs, memory_bytes
from lstm_jax.sweeps.worker.job import _backward, _first_width


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5a")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name == "jax_cuda13_plugin" else None)


def test_a_worker_a_gpu(two_gpus, monkeypatch):
    assert machine.accelerators() == ["3", "GPU-5a"] and machine.has_accelerator()
    assert machine.num_workers(ExecutionOptions()) == 2
    assert machine.num_workers(ExecutionOptions(workers=1)) == 1
    assert machine.num_workers(ExecutionOptions("serial")) == 1
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert not machine.has_accelerator() and machine.num_workers(ExecutionOptions()) == machine.num_cores()
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not machine.has_accelerator()


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        *(("-1", []), ("NoDevFiles", []), ("none", []), (" ", []), (",1", [])),
        *(("0,-1,1", ["0"]), ("0, 1", ["0", "1"]), ("MIG-5a/1/0,GPU-5a,x,2", ["MIG-5a/1/0", "GPU-5a"])),
    ],
)
def test_gpus_end_at_the_first_name_that_is_none(two_gpus, monkeypatch, visible, seen):
    """As CUDA reads CUDA_VISIBLE_DEVICES."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.accelerators() == seen
    assert machine.has_accelerator() == bool(seen)


def test_a_gpu_that_is_asked_for_is_there(two_gpus, monkeypatch):
    for platforms in ("cuda", "gpu", "cuda,cpu", "cpu", ""):
        monkeypatch.setenv("JAX_PLATFORMS", platforms)
        machine.check_platforms()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    machine.check_platforms()
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(ConfigError, match="JAX_PLATFORMS=cuda asks for a GPU, and jax finds none here"):
        machine.check_platforms()


def test_a_failure_without_a_message_has_a_reason(monkeypatch, tmp_path):
    """jax's own assertions have none."""
    from lstm_jax.sweeps.worker import process

    def fail(*_):
        raise AssertionError

    monkeypatch.setattr(process.worker, "run_job", fail)
    job = make_jobs(SweepConfig.of(learning_rates=(0.003,), cells=("rnn",), gaps=(2,), hidden_dim=4))[0][0]
    result = process.work(job, tmp_path)
    assert result.status == "failed" and result.reason.startswith("AssertionError: without a message (see ")


def test_a_worker_sees_its_own_gpu(two_gpus, monkeypatch):
    import os

    from lstm_jax.sweeps.executors import process as executor

    seen = []
    monkeypatch.setattr(executor, "prepare_process", lambda: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(executor, "outlive_readers", lambda: None)
    monkeypatch.setattr("threading.Thread", lambda **_: types.SimpleNamespace(start=lambda: None))
    for index in (0, 1):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5a")
        executor._start_worker(index, 2 + machine.num_cores(), os.getppid())
    assert seen == ["3", "GPU-5a"]


@pytest.mark.parametrize(
    ("runs_that_fit", "num_runs", "width"), [(1, 9, 1), (5, 9, 4), (64, 9, 16), (10**6, 9, 16), (10**6, 5000, 1024)]
)
def test_lanes_by_memory_on_an_accelerator(monkeypatch, runs_that_fit, num_runs, width):
    """A power of two that fits, and no more than there are runs."""
    job = make_jobs(
        SweepConfig.of(
            learning_rates=(0.003,),
            cells=("rnn",),
            gaps=(2,),
            hidden_dim=4,
            seeds=tuple(range(num_runs)),
            tuning_seeds=(),
        )
    )
    job = job[0][0]
    stats = {"bytes_limit": int(memory_bytes(job, "states") * runs_that_fit / 0.8) + 1}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [types.SimpleNamespace(memory_stats=lambda: stats)])
    assert _first_width(job, "states") == width
    assert _first_width(dataclasses.replace(job, settings=replaced(job.settings, lanes=7)), "states") == 7
    of_cells = [dataclasses.replace(job, settings=replaced(job.settings, cell=cell)) for cell in ("rnn", "min_gru")]
    assert [_backward(each) for each in of_cells] == ["states", "parallel"]
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert _first_width(job, "states") == 1
