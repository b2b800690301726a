"""Flax's table of a model, with the row filter that our states need."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import pytest
from flax import nnx

from lstm_jax.cells import make_cell
from lstm_jax.layers import Recurrent, Stack, table_row
from lstm_jax.models import ModelConfig, TransformerConfig

X, TOKENS = jnp.ones((3, 2, 4)), jnp.ones((3, 2), jnp.int32)
CELL = make_cell("rnn", 4)
MODELS = {
    "Recurrent": (lambda rngs: Recurrent(make_cell("lstm", 4), 4, rngs=rngs), X, ["0/hidden", "0/cell", "w_ih"]),
    "Recurrent of a Flax cell": (
        lambda rngs: Recurrent(make_cell("flax.nnx:LSTMCell", 4), 4, rngs=rngs),
        X,
        ["0/0", "0/1", "kernel"],
    ),
    "Stack": (
        lambda rngs: Stack([CELL], 4, bidirectional=True, rngs=rngs),
        X,
        ["layers/0", "other_way/0", "0/0/1/hidden"],
    ),
    "SequenceModel": (lambda rngs: ModelConfig((CELL,), 4, 7).build(rngs=rngs), X, ["0/0/hidden", "readout"]),
    "Transformer": (lambda rngs: TransformerConfig("decoder", 1, 4, 1, 7, 7).build(rngs=rngs), TOKENS, ["1/0/keys"]),
}


@pytest.mark.standard_promotion
@pytest.mark.parametrize("name", MODELS)
def test_a_table(name):
    make, inputs, words = MODELS[name]
    model = make(nnx.Rngs(0))
    table = nnx.tabulate(model, inputs, row_filter=table_row, console_kwargs={"width": 300, "force_terminal": False})
    assert f"{type(model).__name__} Summary" in table
    assert [word for word in words if word not in table] == []


class State(NamedTuple):
    """A state as our cells have them."""

    hidden: Any


class OfFlaxAlone(nnx.Module):
    """Nothing of ours: outputs of the form (state, outputs)."""

    def __call__(self, x):
        return State(x), x


def test_flax_alone_fails():
    """Where it no longer does, `table_row` has done its work: take it away."""
    with pytest.raises(TypeError, match="not supported between instances of 'int' and 'str'"):
        nnx.tabulate(OfFlaxAlone(), X)
