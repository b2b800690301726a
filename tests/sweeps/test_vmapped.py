"""Lanes and devices: who trains beside whom changes no bit of a run, on how many devices nothing that counts."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import forking
import numpy as np
import programs
import pytest

from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.job import RunKey
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.sweeps.worker.vmapped import LiveRun, VmappedRuns

CONFIG = SweepConfig.of(
    cells=("gru",),
    gaps=(2,),
    hidden_dim=6,
    embedding_dim=4,
    learning_rates=(0.01, 3e38),
    seeds=(0, 1, 2),
    tuning_seeds=(9,),
    batch_size=4,
    eval_size=16,
    chunk_steps=5,
    max_steps=12,
    lanes=2,
)


def train(job):
    """All runs of a job, in the order of the grid: their records and last states."""
    live = VmappedRuns(job, job.settings.training.lanes, "activations")
    todo, ended = list(job.runs), {}
    while todo or live.runs:
        if todo and (room := live.num_free):
            live.begin([LiveRun(key) for key in todo[:room]])
            todo = todo[room:]
        for record, state in live.advance():
            ended[RunKey(record.run.seed, record.run.learning_rate)] = record, state
    return [ended[key] for key in job.runs]


def bits(record, state):
    """All that must not change, as text: NaN is not equal to itself."""
    import jax

    run = dataclasses.replace(record.run, duration_seconds=0.0)
    leaves = [np.asarray(leaf).tobytes().hex() for leaf in jax.tree.leaves(state)]
    return [repr(run), repr(record.curve), leaves]


def outcome(record):
    """Device, outcome and curve."""
    run = record.run
    curve = [[point.train_loss, point.loss, point.score, point.grad_norm] for point in record.curve]
    return [run.device, run.status, run.steps, curve]


@pytest.fixture(autouse=True)
def _programs(monkeypatch):
    programs.share(monkeypatch)


@pytest.fixture(scope="module")
def job():
    return make_jobs(CONFIG)[0][0]


@pytest.fixture(scope="module")
def on_one_device(job):
    return [bits(*ended) for ended in train(job)]


def test_a_lane_that_is_free_is_taken_by_the_next_run(job, on_one_device):
    """Runs that overflow end after their first chunk; the others' neighbours change, their numbers do not."""
    backwards = dataclasses.replace(job, runs=job.runs[::-1])
    assert [bits(*ended) for ended in train(backwards)][::-1] == on_one_device
    statuses = [record.run.status for record, _ in train(job)]
    assert statuses == ["unsolved"] * 4 + ["diverged"] * 4


def test_lanes_spread_over_devices_are_the_same_lanes(job, tmp_path):
    """Three devices of two lanes each, against one."""
    script = "import json, test_vmapped as t; job = t.make_jobs(t.CONFIG)[0][0]\n"
    script += "print(json.dumps([t.outcome(record) for record, _ in t.train(job)]))"
    (tmp_path / "spread.py").write_text(script)
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=3"
    paths = os.pathsep.join(map(str, (tmp_path, Path(__file__).parent, Path(forking.__file__).parent)))
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": paths}
    process = forking.popen("spread", [], cwd=None, env=environment)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    spread = json.loads(output)
    assert {each[0] for each in spread} == {"3 x cpu"} and len(spread) == len(job.runs)
    for one, three in zip([outcome(record) for record, _ in train(job)], spread, strict=True):
        assert one[1:3] == three[1:3]
        np.testing.assert_allclose(one[3], three[3], rtol=2e-6)
