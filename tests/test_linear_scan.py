"""All steps at once of cells that are linear in their state: the same as one after another, whatever the options."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import own_cells
import pytest
from cell_cases import add_noise, cell_of, inputs_of, jit_scan, params_of, state_of, weighted_sum

from lstm_jax.cells import CELLS
from lstm_jax.linear_scan import is_linear
from lstm_jax.scan import scan, scan_last
from lstm_jax.self_check import check_backward

LINEAR = [name for name in CELLS if is_linear(cell_of(name))]
NUM_STEPS = 13
LENGTHS = jnp.array([0, 1, 6, NUM_STEPS])
OPTIONS = [{}, {"reverse": True}, {"truncation": 4}, {"reverse": True, "truncation": 4}]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def run(cell, run_cell, options, params, state, inputs, lengths):
    """Results, and the gradients of a loss on all of them with respect to everything."""

    def loss(params, state, inputs):
        results = run_cell(cell, params, inputs, state, lengths=lengths, **dict(options))
        return weighted_sum(results), results

    return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(params, state, inputs)


def case(name, num_steps=NUM_STEPS, dtype=jnp.float64):
    """A batch of four."""
    cell = cell_of(name)
    return params_of(cell, dtype=dtype), state_of(cell, (4,), dtype), inputs_of(num_steps, (4,), dtype=dtype)


def at_once(name, *arguments, return_outputs=True, lengths=None):
    """All steps at once, without gradients; in one program."""
    options = {"return_outputs": return_outputs, "backward": "parallel"}
    return jax.jit(lambda *of, lengths: scan(cell_of(name), *of, lengths=lengths, **options))(
        *arguments, lengths=lengths
    )


def both(name, run_cell, arguments, lengths=None, **options):
    """At once, and one after another."""
    return [
        run(cell_of(name), run_cell, tuple({**options, "backward": mode}.items()), *arguments, lengths)
        for mode in ("parallel", "autodiff")
    ]


def assert_close(actual, expected, tolerance):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance), actual, expected)


def test_which_cells_are_linear():
    assert LINEAR == ["min_gru", "min_lstm", "lru", "rglru"]
    assert is_linear(own_cells.Fading(5)) and not is_linear(own_cells.FadingTwice(5)) and not is_linear(cell_of("lstm"))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("name", ["lru", "own_cells:Fading"])
def test_the_same_as_one_after_another(name, with_lengths, options, x64):
    """States, outputs and all gradients, of complex numbers and of a cell of the user's own."""
    assert_close(*both(name, scan, case(name), LENGTHS if with_lengths else None, **options), 1e-12)


@pytest.mark.parametrize(("name", "num_steps"), [*((name, NUM_STEPS) for name in LINEAR), ("lru", 1), ("min_gru", 300)])
def test_every_linear_cell(name, num_steps, x64):
    """With lengths, in reverse and truncated at once."""
    lengths = jnp.minimum(LENGTHS, num_steps)
    assert_close(*both(name, scan, case(name, num_steps), lengths, reverse=True, truncation=5), 1e-11)


@pytest.mark.parametrize("backward", ["activations", "checkpoint"])
def test_complex_numbers_in_other_modes(backward, x64):
    """Of which a rematerialisation policy can save none."""
    arguments = case("lru")
    found = [run(cell_of("lru"), scan, (("backward", mode),), *arguments, None) for mode in (backward, "autodiff")]
    assert_close(*found, 1e-12)


@pytest.mark.parametrize("with_lengths", [False, True])
def test_the_last_output(with_lengths, x64):
    assert_close(*both("rglru", scan_last, case("rglru"), LENGTHS if with_lengths else None, truncation=4), 1e-12)


def test_without_outputs_and_without_steps(x64):
    params, state, inputs = case("lru")
    actual, none = at_once("lru", params, inputs, state, return_outputs=False)
    assert none is None
    assert_close(actual, jit_scan(cell_of("lru"), params, inputs, state)[0], 1e-13)
    final, outputs = at_once("lru", params, inputs[:0], state)
    np.testing.assert_array_equal(final.hidden, state.hidden)
    assert outputs.shape == (0, 4, 5)


@pytest.mark.parametrize("batch_shape", [(), (2, 3)])
def test_batch_shapes(batch_shape, x64):
    params, inputs = case("lru")[0], inputs_of(NUM_STEPS, batch_shape, dtype=jnp.float64)
    lengths = jnp.arange(np.prod(batch_shape, dtype=int)).reshape(batch_shape) + 3
    found = at_once("lru", params, inputs, lengths=lengths)
    assert_close(found, jit_scan(cell_of("lru"), params, inputs, None, lengths), 1e-13)


@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_in_the_padding_does_not_matter(reverse):
    """To the last bit, in results and gradients; sequences of no length give back the state."""
    params, state, inputs = case("lru", dtype=jnp.float32)
    padding = np.arange(NUM_STEPS)[:, None] >= np.asarray(LENGTHS)
    options = (("backward", "parallel"), ("reverse", reverse))
    expected = run(cell_of("lru"), scan, options, params, state, inputs, LENGTHS)
    (_, (final, outputs)), (_, _, of_inputs) = expected
    assert not np.asarray(outputs)[padding].any() and not np.asarray(of_inputs)[padding].any()
    np.testing.assert_array_equal(final.hidden[0], state.hidden[0])
    spoiled = jnp.asarray(np.where(padding[..., None], np.float32(np.nan), inputs))
    actual = run(cell_of("lru"), scan, options, params, state, spoiled, LENGTHS)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_many_steps_in_float32():
    """As near to float64 as one step after another is, within a factor."""
    arguments = case("lru", 1000, jnp.float32)
    at_once, in_turn = both("lru", scan, arguments)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), arguments)
        exact = both("lru", scan, wide)[1]

    def errors(results):
        pairs = zip(jax.tree.leaves(results), jax.tree.leaves(exact), strict=True)
        return [np.linalg.norm(a - np.asarray(b)) / np.linalg.norm(b) for a, b in pairs]

    assert max(errors(at_once)) < 1e-5
    assert sum(errors(at_once)) < 2 * sum(errors(in_turn))


def test_runs_side_by_side(x64):
    """As training has them: parameters and inputs mapped."""
    params, state, inputs = case("min_gru")
    lanes = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *(add_noise(params, seed) for seed in range(3)))
    xs = jnp.asarray(np.stack([np.roll(inputs, lane, axis=0) for lane in range(3)]))
    run_at_once = functools.partial(run, cell_of("min_gru"), scan, (("backward", "parallel"), ("truncation", 4)))
    found = jax.jit(jax.vmap(lambda params, inputs: run_at_once(params, state, inputs, None)))(lanes, xs)
    for lane in range(3):
        of_lane = jax.tree.map(lambda leaf, lane=lane: jnp.asarray(np.asarray(leaf)[lane]), (lanes, xs, found))
        assert_close(of_lane[2], run_at_once(of_lane[0], state, of_lane[1], None), 1e-12)


def test_forward_mode_and_second_derivatives(x64):
    """Of other modes only autodiff has these."""
    params, state, inputs = case("lru")
    direction = add_noise(jax.tree.map(np.zeros_like, params), 5)

    def curvature(backward):
        def loss(params):
            return weighted_sum(scan(cell_of("lru"), params, inputs, state, backward=backward))

        return jax.jvp(jax.grad(loss), (params,), (direction,))

    assert_close(*(jax.jit(curvature, static_argnums=0)(mode) for mode in ("parallel", "autodiff")), 1e-9)


@pytest.mark.parametrize("name", ["lstm", "own_cells:FadingTwice"])
def test_of_any_other_cell_it_is_autodiff(name):
    params, state, inputs = case(name, dtype=jnp.float32)
    jax.tree.map(np.testing.assert_array_equal, *both(name, scan, (params, state, inputs), LENGTHS))


@pytest.mark.parametrize("name", [*LINEAR, "own_cells:Fading"])
def test_there_is_no_loop_over_time(name):
    """By what jax sees of it."""
    params, state, inputs = case(name, dtype=jnp.float32)
    for backward in ("parallel", "states"):
        program = str(jax.make_jaxpr(functools.partial(scan, cell_of(name), backward=backward))(params, inputs, state))
        assert ("custom_linear_solve" in program) == (backward == "parallel")
        assert (" scan[" in program or " while[" in program) == (backward != "parallel")


def test_a_job_compares_it_with_a_loop(monkeypatch):
    params, _, inputs = case("lru", 3, jnp.float32)
    check_backward(cell_of("lru"), params, inputs, "parallel", 2)
    monkeypatch.setattr("lstm_jax.linear_scan._shifted", lambda values, reverse, first: 0.9 * values)
    with pytest.raises(ValueError, match=r"cell LRU, backward 'parallel': its .* differ by .* --backward autodiff"):
        check_backward(cell_of("lru"), params, inputs, "parallel")
