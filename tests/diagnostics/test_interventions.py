"""What is changed in a run is changed, and nothing else."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_jax.diagnostics import interventions
from lstm_jax.diagnostics.double import Double
from lstm_jax.diagnostics.drift import follow_lanes, moments, within
from lstm_jax.diagnostics.interventions import Intervened
from lstm_jax.diagnostics.solving import train_runs
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.job import Job
from lstm_jax.sweeps.plan import sized
from lstm_jax.training import NO_UPDATES, Hypers

HYPERS = Hypers(jnp.uint32(3), jnp.float32(0.03), jnp.float32(1.0))


def plain(cell="gru", gap=3):
    config = SweepConfig.of(cells=(cell,), gaps=(gap,), hidden_dim=6, embedding_dim=4, batch_size=8, eval_size=64)
    return Job(sized(config, cell, gap)).training()


def of_kind(cls, training, **fields):
    own = {field.name: getattr(training, field.name) for field in dataclasses.fields(training)}
    return cls(**own, **fields)


def trained(training, num_updates=4):
    before = training.init(HYPERS)
    after, _ = jax.jit(training.advance)(before, HYPERS, num_updates, NO_UPDATES)
    return [
        {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(state.params)}
        for state in (before, after)
    ]


def test_without_an_intervention_it_is_the_same_run():
    for one, other in zip(trained(plain()), trained(of_kind(Intervened, plain())), strict=True):
        assert all((one[name] == other[name]).all() for name in one)


def test_a_frozen_readout_stays_and_the_rest_moves():
    before, after = trained(of_kind(Intervened, plain(), intervention="frozen readout"))
    assert all((before[name] != after[name]).any() != ("readout" in name) for name in before)


def test_at_a_zero_readout_nothing_moves():
    before, after = trained(of_kind(Intervened, plain(), intervention="zero readout"))
    assert all((before[name] == after[name]).all() for name in before)
    assert all((before[name] == 0.0).all() for name in before if "readout" in name)


def test_a_frozen_gate_stays_for_its_updates_and_moves_then(monkeypatch):
    training = of_kind(Intervened, plain(), intervention="frozen gate", gate=1)
    monkeypatch.setattr(interventions, "GATE_STEPS", 4)
    before, after = trained(training)
    (name,) = (name for name in before if "w_hh" in name)
    moved = (before[name] != after[name]).reshape(6, 3, 6).any(axis=(0, 2))
    assert moved.tolist() == [True, False, True]
    monkeypatch.setattr(interventions, "GATE_STEPS", 3)
    before, after = trained(dataclasses.replace(training, eval_size=32))
    assert (before[name] != after[name]).reshape(6, 3, 6).any(axis=(0, 2)).all()
    with pytest.raises(ValueError, match="gate: none given"):
        of_kind(Intervened, plain(), intervention="frozen gate")


def test_random_answers_go_with_the_same_inputs_and_know_nothing_of_them():
    training = plain()
    key = jax.random.key(7)
    drawn = of_kind(Intervened, dataclasses.replace(training, batch_size=4096), intervention="random answers")
    small = of_kind(Intervened, training, intervention="random answers")
    true, batch, small = jax.jit(lambda: [each.train_batch(key, jnp.int32(0)) for each in (training, drawn, small)])()
    np.testing.assert_array_equal(true.inputs, small.inputs)
    facts, answers = np.asarray(batch.inputs[0]), np.asarray(batch.targets[0])
    assert np.mean(facts == answers) == pytest.approx(1 / 8, abs=0.02)  # four standard errors


def test_trained_runs_are_those_of_a_sweep_and_in_float64_nearly_so():
    training = dataclasses.replace(plain(gap=1), batch_size=32)
    (found,) = train_runs(training, (0,), 0.03, 1.0, 400, 50)
    assert found.solved_step is not None and found.score >= 0.99
    (again,) = train_runs(training, (0,), 0.03, 1.0, 50, 50, [found.params])
    assert again.score >= 0.99, "it goes on from where it stood"
    single = jax.jit(training.init)(HYPERS)
    with jax.enable_x64(True):
        double = of_kind(Double, training)
        start = jax.jit(double.init)(HYPERS)
        leaves = jax.tree.leaves(start.params)
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float64")}
        for one, other in zip(jax.tree.leaves(single.params), leaves, strict=True):
            np.testing.assert_array_equal(one, other)
        with jax.numpy_dtype_promotion("standard"):  # the weights of a batch are float32
            end, metrics = jax.jit(double.advance)(start, HYPERS, jnp.int32(2), NO_UPDATES)
        assert metrics.train_loss.dtype == jnp.float64 == jax.tree.leaves(end.params)[0].dtype


def test_noise_is_what_differs_among_sequences_with_the_same_fact():
    rng = np.random.default_rng(0)
    facts = rng.integers(3, size=40)
    values = rng.normal(size=(40, 5)) + 10.0 * facts[:, None]
    apart = [values[facts == fact] - values[facts == fact].mean(axis=0) for fact in range(3)]
    expected = np.sqrt(np.mean(np.square(np.concatenate(apart))))
    assert float(within(jnp.asarray(values, jnp.float32), jnp.asarray(facts), 3)) == pytest.approx(expected, rel=1e-5)


def test_lanes_are_measured_at_their_moments(monkeypatch):
    monkeypatch.setattr("lstm_jax.diagnostics.drift.NUM_BATCHES", 4)
    rows = follow_lanes(plain(), (3, 4), 0.03, 1.0, (0, 2))
    assert [(row.seed, row.step) for row in rows] == [(3, 0), (4, 0), (3, 2), (4, 2)]
    training = plain()
    score = float(jax.jit(lambda: training.evaluate(training.init(HYPERS)).score)())
    assert rows[0].score == pytest.approx(score, abs=1e-6)
    assert all(0.0 < row.time_constant < 100.0 and row.transport > 0.0 and row.noise > 0.0 for row in rows)


@pytest.mark.parametrize(
    ("max_steps", "expected"),
    [
        (1600, (0, 10, 25, 50, 100, 200, 400, 800, 1600)),
        (3200, (0, 10, 25, 50, 100, 200, 400, 800, 1600, 3200)),
        (1000, (0, 10, 25, 50, 100, 200, 400, 800, 1000)),
        (10, (0, 10)),
        (1, (0, 1)),
    ],
)
def test_moments_end_with_the_run(max_steps, expected):
    assert moments(max_steps) == expected
