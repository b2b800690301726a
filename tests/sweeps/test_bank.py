"""Lanes and devices: who trains beside whom changes no bit of a run, on how many devices nothing that counts."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.sweeps.worker.vmapped import Bank, Lane

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
    """All runs of a job in a bank, in the order of the grid: their records and last states."""
    bank = Bank(job, job.lanes, "activations")
    todo, ended = list(job.runs), {}
    while todo or bank.lanes:
        if todo and (room := bank.num_free):
            bank.begin([Lane(run) for run in todo[:room]])
            todo = todo[room:]
        for each in bank.advance():
            ended[each.run] = each
    return [ended[run] for run in job.runs]


def numbers(ended):
    """All that must not change, as text: NaN is not equal to itself."""
    import jax

    run = dataclasses.replace(ended.record.run, duration_seconds=0.0)
    leaves = [np.asarray(leaf).tobytes().hex() for leaf in jax.tree.leaves(ended.state)]
    return [repr(run), repr(ended.record.curve), leaves]


def outcome(ended):
    """Device, outcome and curve."""
    run = ended.record.run
    curve = [[point.train_loss, point.loss, point.accuracy, point.grad_norm] for point in ended.record.curve]
    return [run.device, run.status, run.steps, curve]


@pytest.fixture(scope="module")
def job():
    return make_jobs(CONFIG)[0][0]


@pytest.fixture(scope="module")
def on_one_device(job):
    return [numbers(ended) for ended in train(job)]


def test_a_lane_that_is_free_is_taken_by_the_next_run(job, on_one_device):
    """Runs that overflow end after their first chunk; the others' neighbours change, their numbers do not."""
    backwards = dataclasses.replace(job, runs=job.runs[::-1])
    assert [numbers(ended) for ended in train(backwards)][::-1] == on_one_device
    statuses = [ended.record.run.status for ended in train(job)]
    assert statuses == ["unsolved"] * 4 + ["diverged"] * 4


def test_lanes_spread_over_devices_are_the_same_lanes(job):
    """Three devices of two lanes each, against one."""
    script = "import json, test_bank as t; job = t.make_jobs(t.CONFIG)[0][0]; import jax\n"
    script += "print(json.dumps([t.outcome(ended) for ended in t.train(job)]))"
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=3"
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    spread = json.loads(done.stdout)
    assert {each[0] for each in spread} == {"3 x cpu"} and len(spread) == len(job.runs)
    for one, three in zip([outcome(ended) for ended in train(job)], spread, strict=True):
        assert one[1:3] == three[1:3]
        np.testing.assert_allclose(one[3], three[3], rtol=2e-6)
