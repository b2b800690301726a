"""Planted cells have the faults that they are said to have."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from benchmarks.verdicts import CAUSES, draw, draw_faint, verdict_on
from lstm_jax.diagnostics.planted import Latch, Register
from lstm_jax.diagnostics.rollout import rollout
from lstm_jax.diagnostics.transport import transport
from lstm_jax.models.sequence import ModelConfig
from lstm_jax.registry import parse
from lstm_jax.tasks.gap import Gap

TASK = Gap(12)


def found(cell):
    config = ModelConfig((cell,), 5, TASK.num_classes, num_tokens=TASK.num_tokens, readout="last")
    batch = TASK.sample(jax.random.key(1), 16)
    return transport(config.build(rngs=nnx.Rngs(0)), batch, TASK.outputs).relative


@pytest.mark.parametrize("keep", [1.0, 0.8, 0.3])
def test_a_leak_passes_its_power_on(keep):
    np.testing.assert_allclose(found(Latch(4, keep=keep)), keep ** np.arange(TASK.num_steps), rtol=2e-5)


def test_a_cut_passes_nothing_on():
    relative = np.asarray(found(Latch(4, cut=5)))
    assert relative[0] == 1.0 and set(relative.tolist()) == {1.0, 0.0} and relative[5] == 0.0


def test_levels_pass_nothing_on_and_noise_all():
    assert (np.asarray(found(Latch(4, levels=30))) == 0.0).all(), "not even the last step"
    np.testing.assert_allclose(found(Latch(4, noise=2.0)), 1.0, rtol=1e-6)


def test_a_register_ends_at_its_length():
    relative = np.asarray(found(Register(4, length=5)))
    assert (relative[:4] > 0.0).all() and (relative[5:] == 0.0).all()


def test_a_frozen_latch_trains_its_readout_alone():
    config = ModelConfig((Latch(4, frozen=True),), 5, TASK.num_classes, num_tokens=TASK.num_tokens, readout="last")
    model, batch = config.build(rngs=nnx.Rngs(0)), TASK.sample(jax.random.key(1), 16)
    graph, params = nnx.split(model)
    gradient = jax.grad(lambda params: nnx.merge(graph, params)(batch.inputs).sum())(params)
    sizes = {
        jax.tree_util.keystr(path): float(jnp.abs(leaf).max()) for path, leaf in jax.tree.leaves_with_path(gradient)
    }
    assert all((size > 0.0) == ("readout" in path) for path, size in sizes.items())


def test_noise_is_about_normal_and_that_of_a_sequence_its_own():
    config = ModelConfig((Latch(64, noise=1.0),), 5, 8, num_tokens=TASK.num_tokens, readout="last")
    inputs = jnp.concatenate([jnp.arange(16)[None] % 8, jnp.full((30, 16), 9)])
    held = np.asarray(rollout(config.build(rngs=nnx.Rngs(0)), inputs).states.held)
    steps = np.diff(held, axis=0)[1:]
    steps = steps - steps.mean(axis=(0, 1), keepdims=True)
    assert 0.9 < steps.std() < 1.1 and abs(np.corrcoef(steps[:, 0].ravel(), steps[:, 1].ravel())[0, 1]) < 0.1


def test_a_sensitive_latch_is_perfect_until_its_bias_moves():
    cell = Latch(4, sensitivity=200.0)
    params = cell.init(jax.random.key(0), 3)
    state = cell.initial_state((1,))._replace(held=jnp.ones((1, 4)))
    silent = params._replace(w_ih=jnp.zeros_like(params.w_ih))
    np.testing.assert_allclose(cell.step(silent, state, jnp.ones((1, 3)))[1], 1.0)
    moved = silent._replace(bias=silent.bias + 0.03)
    assert float(jnp.abs(cell.step(moved, state, jnp.ones((1, 3)))[1]).max()) < 0.05


@pytest.mark.parametrize("cause", CAUSES)
def test_draws_are_cells_of_that_kind(cause):
    rng = np.random.default_rng(0)
    for _ in range(5):
        planted = draw(cause, rng)
        assert parse(planted.cell).name.startswith("lstm_jax.diagnostics.planted:") and 12 <= planted.gap <= 24


def test_faint_leaks_leave_what_float32_keeps_and_no_run_makes_up_for():
    rng = np.random.default_rng(0)
    for _ in range(20):
        planted = draw_faint(rng)
        left = float(planted.cell.rpartition("=")[2]) ** planted.gap
        assert 2**-24 < 0.9e-6 < left < 4e-3 < (400 * 32) ** -0.5


@pytest.mark.parametrize(
    "cause",
    [
        cause if cause in ("vanished", "step too large") else pytest.param(cause, marks=pytest.mark.long)
        for cause in CAUSES
    ],
)
def test_the_verdict_on_a_planted_cell_is_the_cause_that_was_put_there(cause):
    """The small form of the confusion table in docs/why.md: one draw of each, that no draw of the table is."""
    called, numbers = verdict_on(draw(cause, np.random.default_rng(1234)), seed=4321)
    assert called == cause, numbers


@pytest.mark.long
def test_the_verdict_on_a_faint_leak_is_that_it_vanishes():
    called, numbers = verdict_on(draw_faint(np.random.default_rng(1234)), seed=4321)
    assert called == "vanished", numbers
