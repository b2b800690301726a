"""Whatever a user's class does, each backward mode trains what a loop over `cell.step` gives: cells drawn at random."""

from __future__ import annotations

import dataclasses
import functools

import drawn_cells
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import add_noise, inputs_of, state_of, weighted_sum
from drawn_cells import CLASSES, TAKEN_APART, Drawn
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lstm_jax.cells import CELLS, make_cell
from lstm_jax.cells.rnn import RNN
from lstm_jax.pointwise import adds_projections, can_be_taken_apart
from lstm_jax.scan import scan

MODES = ["autodiff", "activations", "states", "checkpoint"]
NUM_STEPS, LENGTHS = 3, np.array([0, 2])

recipes = st.fixed_dictionaries(
    {
        "mix": st.sampled_from(["sum", "twice", "difference", "double", "product", "nested"]),
        "keep": st.sampled_from(["old", "x_proj", "h_proj", "sum"]),
        "give": st.sampled_from(["hidden", "wide", "x_proj", "h_proj", "constant"]),
        "counts": st.booleans(),
        "reads_weights": st.sampled_from([False, False, True]),
    }
)
options = st.fixed_dictionaries(
    {
        "backward": st.sampled_from(MODES),
        "reverse": st.booleans(),
        "lengths": st.sampled_from([None, tuple(LENGTHS.tolist())]),
        "truncation": st.sampled_from([None, 2]),
    }
)


def loop(cell, params, inputs, state, *, lengths, reverse, truncation):
    """A plain loop: padding leaves the state, and a state before a cut is a constant."""
    ends = np.full(inputs.shape[1], len(inputs)) if lengths is None else np.asarray(lengths)
    outputs = [None] * len(inputs)

    def choose(which, new, old):
        return jax.tree.map(lambda a, b: jnp.where(which.reshape(-1, *(1,) * (a.ndim - 1)), a, b), new, old)

    for t in reversed(range(len(inputs))) if reverse else range(len(inputs)):
        valid = t < ends
        if truncation:
            cut = valid & (((t + 1) if reverse else ends - t) % truncation == 0)
            state = choose(cut, jax.lax.stop_gradient(state), state)
        new, output = cell.step(params, state, inputs[t])
        state, outputs[t] = choose(valid, new, state), choose(valid, output, jnp.zeros_like(output))
    return state, jnp.stack(outputs)


def compare(cell, backward, **how):
    """Outputs, last state and all gradients, in float64."""
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), 3, jnp.float64))
    params = add_noise(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), params), 1)
    state, inputs = state_of(cell, (2,), jnp.float64), inputs_of(NUM_STEPS, (2,), dtype=jnp.float64)
    numbers = (params, state._replace(count=None), inputs)

    def everything(run):
        def loss(params, numbers, inputs):
            final, outputs = run(params, inputs, state._replace(hidden=numbers.hidden, kept=numbers.kept))
            smooth = final._replace(count=None)
            return weighted_sum(jax.tree.map(jnp.sin, (smooth, outputs))), (final, outputs)

        return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(*numbers)

    runs = (
        lambda params, inputs, state: scan(cell, params, inputs, state, backward=backward, **how),
        lambda params, inputs, state: loop(cell, params, inputs, state, **how),
    )
    cheap = {"xla_backend_optimization_level": "0", "xla_cpu_use_fusion_emitters": False}
    actual, expected = jax.jit(lambda: [everything(run) for run in runs], compiler_options=cheap)()
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11), actual, expected)


@settings(max_examples=14, derandomize=True, deadline=None, database=None)
@given(st.sampled_from(CLASSES), recipes, options)
@example(Drawn, {"keep": "x_proj"}, {"backward": "activations"})
@example(Drawn, {"give": "h_proj"}, {"backward": "states"})
@example(Drawn, {"give": "wide"}, {"backward": "checkpoint", "truncation": 2})
@example(drawn_cells.OwnStep, {}, {"backward": "states"})
@example(drawn_cells.BelowOwnStep, {}, {"backward": "checkpoint"})
def test_each_mode_computes_what_the_loop_does(kind, recipe, how):
    with jax.enable_x64(True):
        compare(kind(2, **recipe), **{"lengths": None, "reverse": False, "truncation": None} | how)


def shapes_of(cell):
    params, state = jax.eval_shape(lambda: (cell.init(jax.random.key(0), 3), cell.initial_state((2,))))
    return params, state, jax.ShapeDtypeStruct((2, 3), jnp.float32)


@pytest.mark.parametrize("kind", CLASSES)
def test_which_classes_are_taken_apart(kind):
    """Those whose step is the program that the parts make: the mere override is not what counts."""
    assert can_be_taken_apart(kind(2), *shapes_of(kind(2))) == (kind in TAKEN_APART)
    for other in ({"counts": True}, {"reads_weights": True}):
        assert not can_be_taken_apart(kind(2, **other), *shapes_of(kind(2, **other)))


@dataclasses.dataclass(frozen=True)
class Scaled(RNN):
    """Has a number, and a setting of an operation, in its update; its own step may have others."""

    number: float = 2.0
    backwards: bool = False
    its_number: float = 2.0
    its_backwards: bool = False

    def update(self, params, state, x_proj, h_proj):
        hidden = self.number * jax.lax.cumsum(x_proj + h_proj, axis=x_proj.ndim - 1, reverse=self.backwards)
        return state._replace(hidden=hidden), hidden

    def step(self, params, state, x):
        its = dataclasses.replace(self, number=self.its_number, backwards=self.its_backwards)
        return RNN.step(its, params, state, x)


@pytest.mark.parametrize(
    ("options", "same"), [({}, True), ({"its_number": 3.0}, False), ({"its_backwards": True}, False)]
)
def test_a_step_that_differs_in_a_number_alone_is_not_taken_apart(options, same):
    cell = Scaled(2, **options)
    assert can_be_taken_apart(cell, *shapes_of(cell)) is same


@pytest.mark.parametrize("mix", ["sum", "twice", "difference", "double", "product", "nested"])
@pytest.mark.parametrize(
    ("keep", "give"), [("old", "hidden"), ("x_proj", "wide"), ("sum", "hidden"), ("old", "h_proj")]
)
def test_which_cells_add_their_projections(mix, keep, give):
    cell = Drawn(2, mix=mix, keep=keep, give=give)
    adds = (mix, keep, give) == ("sum", "old", "hidden")
    assert adds_projections(cell, *shapes_of(cell)) == adds


@pytest.mark.parametrize("backward", MODES)
@pytest.mark.parametrize("name", [*CELLS, "gru@reset=before", "own_cells:Leaky"])
def test_registered_cells_take_the_fast_path(name, backward):
    """By what jax sees of it; and of each the parts are those expected."""
    cell = make_cell(name, 4)
    params, state, x = shapes_of(cell)
    inputs = jax.ShapeDtypeStruct((5, *x.shape), x.dtype)
    program = str(jax.make_jaxpr(functools.partial(scan, cell, backward=backward))(params, inputs, state))
    taken_apart = cell.is_pointwise
    assert ("custom_vjp_call" in program) == (taken_apart and backward != "autodiff")
    assert ("remat" in program or "checkpoint" in program) == (not taken_apart and backward != "autodiff")
    if taken_apart:
        assert adds_projections(cell, params, state, x) == (name != "gru")
