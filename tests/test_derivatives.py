"""Forward mode and second derivatives: right, or refused with the cure named, whatever T is."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import add_noise, cell_of, inputs_of, params_of, weighted_sum

from lstm_jax.derivatives import reverse_only
from lstm_jax.scan import scan, scan_last

MODES = ["activations", "states", "checkpoint"]


def loss_of(name, backward, num_steps, truncation, last=False):
    """A loss of the parameters, and where and in which direction to differentiate it."""
    cell = cell_of(name, 2)
    params, inputs = params_of(cell, dtype=jnp.float32), inputs_of(num_steps)

    def loss(params):
        options = {"backward": backward, "truncation": truncation}
        return weighted_sum((scan_last if last else scan)(cell, params, inputs, **options))

    return loss, params, add_noise(jax.tree.map(jnp.zeros_like, params), 5)


KINDS = {
    "jvp": lambda f, x, v: jax.jvp(f, (x,), (v,)),
    "linearize": lambda f, x, v: jax.linearize(f, x)[1](v),
    "jvp of jit": lambda f, x, v: jax.jit(lambda: jax.jvp(jax.jit(f), (x,), (v,)))(),
    "jvp of vmap": lambda f, x, v: jax.jvp(jax.vmap(f), *[(jax.tree.map(lambda a: a[None], each),) for each in (x, v)]),
    "jacfwd": lambda f, x, v: jax.jacfwd(f)(x),
    "jvp of grad": lambda f, x, v: jax.jvp(jax.grad(f), (x,), (v,)),
    "grad of grad": lambda f, x, v: jax.jacrev(jax.grad(f))(x),
    "hessian": lambda f, x, v: jax.jit(jax.hessian(f))(x),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("num_steps", "last", "truncation"),
    [
        *((0, False, None), (1, True, None), (4, False, None)),
        *(pytest.param(*each, marks=pytest.mark.long) for each in ((1, False, 2), (4, True, 2))),
    ],
)
def test_of_a_cell_that_is_taken_apart_they_are_refused(kind, num_steps, last, truncation):
    loss, *at = loss_of("rnn", MODES[num_steps % 3], num_steps, truncation, last)
    with pytest.raises(TypeError, match=r"derivative of a scan .*: expected .*; give backward='autodiff'"):
        KINDS[kind](loss, *at)


@pytest.mark.parametrize("backward", MODES)
def test_in_each_mode(backward):
    loss, *at = loss_of("own_cells:Leaky", backward, 3, 2)
    for kind in ("jvp", "jvp of grad"):
        with pytest.raises(TypeError, match="backward='autodiff'"):
            KINDS[kind](loss, *at)


@pytest.mark.parametrize("backward", ["autodiff", *MODES])
def test_of_other_cells_they_are_right(backward, x64):
    """With truncation too: against a Python loop in which the states before a cut are constants."""
    cell = cell_of("gru@reset=before", 2)
    params, inputs = params_of(cell, dtype=jnp.float64), inputs_of(5, dtype=jnp.float64)
    direction = add_noise(jax.tree.map(jnp.zeros_like, params), 5)

    def ours(params):
        return weighted_sum(scan(cell, params, inputs, backward=backward, truncation=2))

    def loop(params):
        state, outputs = cell.initial_state((2,), jnp.float64), []
        for t in range(5):
            if (5 - t) % 2 == 0:
                state = jax.lax.stop_gradient(state)
            state, output = cell.step(params, state, inputs[t])
            outputs.append(output)
        return weighted_sum((state, jnp.stack(outputs)))

    @functools.partial(jax.jit, static_argnums=0)
    def derivatives(f, params):
        return jax.jvp(f, (params,), (direction,)), jax.jvp(jax.grad(f), (params,), (direction,))

    actual, expected = derivatives(ours, params), derivatives(loop, params)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-11), actual, expected)


@pytest.mark.standard_promotion
def test_the_mark_leaves_the_gradient_as_it_is():
    """Under jit, vmap, rematerialisation and loops, and integers beside."""
    x = jnp.arange(3.0)

    def f(x):
        marked, count = reverse_only((x, jnp.int32(2)))
        return (jnp.sin(marked) ** 2).sum() * count

    def looped(x):
        return jax.lax.scan(lambda carry, _: (carry + f(x), None), 0.0, None, length=2)[0]

    expected = 2 * np.sin(2 * x)
    np.testing.assert_allclose(jax.jit(jax.grad(f))(x), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(jax.grad(jax.checkpoint(f)))(x[:, None])[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(jax.checkpoint(looped))(x), 2 * expected, rtol=1e-5)
