"""Cells without an output gate, or with one, are those that they are held against, where that gate is open."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.control.cells import GatedGRU, OpenCoupledLSTM, OpenLSTM
from lstm_jax.cells.coupled_lstm import CoupledLSTM
from lstm_jax.cells.gru import GRU, GRUParams
from lstm_jax.cells.lstm import LSTM

H = 5
OPEN = 1e3
"""A bias at which a gate is 1."""


def in_order(params, places):
    """Gates in another order; None is an open one, which looks at nothing."""

    def of(leaf, bias):
        empty = jnp.full((*leaf.shape[:-1], H), OPEN if bias else 0.0)
        parts = jnp.split(leaf, leaf.shape[-1] // H, axis=-1)
        return jnp.concatenate([empty if place is None else parts[place] for place in places], axis=-1)

    return params._replace(w_ih=of(params.w_ih, False), w_hh=of(params.w_hh, False), bias=of(params.bias, True))


@pytest.mark.parametrize(
    ("cell", "other", "places"),
    [(OpenLSTM(H), LSTM(H), (1, 0, 2, None)), (OpenCoupledLSTM(H), CoupledLSTM(H), (0, 1, None))],
    ids=["OpenLSTM", "OpenCoupledLSTM"],
)
def test_without_an_output_gate_is_with_an_open_one(cell, other, places):
    params = cell.init(jax.random.key(0), 3)
    state = jax.tree.map(lambda leaf: leaf + 0.4, cell.initial_state((2,)))
    x = jax.random.normal(jax.random.key(1), (2, 3))
    found, expected = cell.step(params, state, x), other.step(in_order(params, places), state, x)
    for one, same in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, same, atol=1e-6)


def test_a_gated_gru_whose_gate_is_open_is_a_gru():
    cell = GatedGRU(H)
    params = in_order(cell.init(jax.random.key(0), 3), (0, 1, 2, None))
    held = jax.random.normal(jax.random.key(2), (2, H))
    state = cell.initial_state((2,))._replace(hidden=held, cell=held)
    x = jax.random.normal(jax.random.key(1), (2, 3))
    gru = GRUParams(*in_order(params, (1, 0, 2)), bias_hn=jnp.zeros(H))
    expected, _ = GRU(H).step(gru, GRU(H).initial_state((2,))._replace(hidden=held), x)
    np.testing.assert_allclose(cell.step(params, state, x)[1], expected.hidden, atol=1e-6)
