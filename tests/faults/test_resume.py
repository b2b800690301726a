"""A run that is cut off and goes on is bitwise the run that never was: state, curve, outcome; for every cell."""

from __future__ import annotations

import dataclasses
import random

import faults
import jax
import numpy as np
import programs
import pytest
from cell_cases import costly

from lstm_jax.cells import CELLS
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.plan import make_jobs
from lstm_jax.sweeps.store import checkpoints as stored
from lstm_jax.sweeps.store.directory import Directory
from lstm_jax.sweeps.worker import states as checkpoints
from lstm_jax.sweeps.worker import vmapped
from lstm_jax.sweeps.worker.job import run_job

CONFIG = SweepConfig.of(
    gaps=(3,),
    hidden_dim=8,
    embedding_dim=4,
    learning_rates=(0.03, 1e-6, 3e38),  # solved, unsolved, diverged
    seeds=faults.times((0,), (0, 5)),
    tuning_seeds=(9,),
    batch_size=8,
    eval_size=32,
    chunk_steps=7,
    max_steps=40,
    dropout=faults.times(0.0, 0.1),
    num_layers=faults.times(1, 2),
    checkpoint_seconds=float("inf"),
)
ALL_CELLS = [*CELLS, "flax.nnx:GRUCell"]


@pytest.fixture(autouse=True)
def _programs(monkeypatch):
    if not faults.LONG:
        programs.share(monkeypatch)


def job_of(**changes):
    (job,) = make_jobs(CONFIG.replace(**changes))[0]
    return job


def assert_bitwise_equal(job, left, right):
    pairs = list(zip(left.records([job]), right.records([job]), strict=True))
    assert len(pairs) == len(job.runs)
    for a, b in pairs:  # as text, since NaN is not equal to itself
        for record in (a, b):
            assert (
                record.run.duration_seconds > 0 or record.run.steps <= job.settings.training.chunk_steps
            )  # less than a millisecond
        without = [dataclasses.replace(each.run, duration_seconds=0.0) for each in (a, b)]
        assert repr(without[0]) == repr(without[1])
        assert repr(a.curve) == repr(b.curve)
    for run in job.runs:
        states = [checkpoints.to_host(checkpoints.restore(each.checkpoints(job), job, run)) for each in (left, right)]
        for x, y in zip(*(jax.tree.leaves(state) for state in states), strict=True):
            assert x.dtype == y.dtype and x.tobytes() == y.tobytes()


@pytest.mark.parametrize(("cell", "lanes"), [*costly(ALL_CELLS, [1]), ("lstm", 4)])
def test_a_job_that_is_cut_anywhere_ends_the_same_bit_for_bit(tmp_path, monkeypatch, capsys, cell, lanes):
    """Calls of one update each, so that a cut can fall anywhere, in the middle of a chunk too."""
    job = job_of(cells=(cell,), lanes=lanes)
    whole, cut = Directory(tmp_path / "whole"), Directory(tmp_path / "cut")
    assert run_job(job, whole).status == "done"
    monkeypatch.setattr(vmapped, "CALL_SECONDS", 0.0)
    randomness = random.Random(f"{cell}{lanes}")
    num_cuts = faults.times(1, 20)
    places = []
    for _ in range(num_cuts):
        calls_to_go = randomness.randint(
            1, 2 * len(job.runs) * job.settings.training.max_steps // (3 * lanes * num_cuts)
        )
        places.append(calls_to_go)
        calls = iter(range(calls_to_go, 0, -1))
        assert run_job(job, cut, lambda calls=calls: next(calls) == 1).status == "stopped"
    assert run_job(job, cut).status == "done"
    assert stored.names(cut.checkpoints(job), "running") == []
    assert_bitwise_equal(job, whole, cut)
    faults.say(capsys, f"cut {num_cuts} times, bitwise the same: {cell}, {lanes} lanes (calls between cuts: {places})")


@pytest.mark.long
def test_a_run_that_overflows_leaves_its_neighbours_as_they_would_have_been(tmp_path):
    """Side by side in one program; who is beside whom, and when a neighbour ends, changes no bit."""
    with_it, without = (
        job_of(cells=("lstm",), lanes=3, num_layers=1, learning_rates=rates) for rates in ((0.03, 3e38), (0.03,))
    )
    run_job(with_it, Directory(tmp_path / "with"))
    run_job(without, Directory(tmp_path / "without"))
    records = {record.run.seed: record for record in Directory(tmp_path / "without").records([without])}
    for record in Directory(tmp_path / "with").records([with_it]):
        if record.run.learning_rate == 3e38:
            assert record.run.status == "diverged" and 1 <= record.run.steps <= 7
        else:
            same = records[record.run.seed]
            assert record.curve == same.curve and record.run.steps == same.run.steps
    for run in without.runs:
        left, right = (
            checkpoints.to_host(checkpoints.restore(Directory(tmp_path / name).checkpoints(job), job, run))
            for name, job in (("with", with_it), ("without", without))
        )
        assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True))


def test_a_chunk_in_many_calls_is_the_chunk_in_one(tmp_path):
    training = job_of(cells=("gru",)).training("activations")
    from lstm_jax.training import Hypers

    hypers = Hypers(np.uint32(3), np.float32(0.01), np.float32(1))
    state = jax.jit(training.init)(hypers)
    advance = jax.jit(training.advance)
    whole = advance(state, hypers, 11)
    parts = advance(state, hypers, 4)
    parts = advance(parts[0], hypers, 1, parts[1])
    parts = advance(parts[0], hypers, 6, parts[1])
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        a, b = (jax.random.key_data(each) if each.dtype == state.key.dtype else each for each in (a, b))
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert int(whole[1].num_updates) == 11
