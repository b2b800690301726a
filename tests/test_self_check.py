"""A job's comparison of its own cell before it trains: silent where all is well, one line where it isn't."""

from __future__ import annotations

import dataclasses
import time

import drawn_cells
import jax
import jax.numpy as jnp
import own_cells
import pytest
from cell_cases import costly, inputs_of, params_of

from lstm_jax import self_check
from lstm_jax.cells import CELLS, make_cell
from lstm_jax.memory_saving import _PointwiseScan
from lstm_jax.models import Sizes, make_model
from lstm_jax.self_check import check_backward, check_model

MODES = ["autodiff", "activations", "states", "checkpoint"]


def model(text, backward="activations", **options):
    sizes = Sizes(hidden_dim=4, input_dim=3, num_layers=2, backward=backward, **options)
    return make_model(text, sizes, form="encoder_decoder", num_tokens=5, num_outputs=5, gap=9)


OTHERS = ["own_cells:Leaky", "drawn_cells:Drawn@give=wide,keep=x_proj", "transformer"]


@pytest.mark.parametrize("name", [*costly(CELLS), *OTHERS])
def test_a_good_cell(name):
    check_model(model(name, truncation=None if name == "transformer" else 2))


def broken(monkeypatch):
    """The fault of issue 20: the sum of both projections in the place of each."""
    monkeypatch.setattr("lstm_jax.memory_saving.adds_projections", lambda *_: True)


@pytest.mark.parametrize("backward", MODES[1:])
def test_a_path_that_computes_another_cell(backward, monkeypatch):
    broken(monkeypatch)
    with pytest.raises(
        ValueError, match=f"cell GRU, backward '{backward}': its .* differ by .*--backward autodiff"
    ) as e:
        check_model(model(f"gru@init={'uniform' if backward == 'states' else 'orthogonal'}", backward))
    assert "\n" not in str(e.value)
    check_model(model("gru", "autodiff"))


def test_a_wrong_gradient_alone(monkeypatch):
    backward = _PointwiseScan.backward

    def wrong(self, *arguments):
        params, state, inputs = backward(self, *arguments)
        return params, state, 1.01 * inputs

    monkeypatch.setattr(_PointwiseScan, "backward", wrong)
    cell = make_cell("rnn", 4)
    with pytest.raises(ValueError, match=r"its gradients of inputs differ by 1\.0e-02"):
        check_backward(cell, params_of(cell), inputs_of(3), "states")


def test_a_cell_that_is_no_number_anywhere():
    """That is for training to find: it is the same on both ways."""
    cell = drawn_cells.Drawn(4)
    params = jax.tree.map(lambda leaf: leaf * jnp.nan, cell.init(jax.random.key(0), 3))
    check_backward(cell, params, inputs_of(3), "states")


def test_parameters_that_are_no_numbers():
    """A cell that keeps a key among its parameters is not taken apart, and there is nothing to compare."""

    @dataclasses.dataclass(frozen=True)
    class Keyed(own_cells.Leaky):
        def init(self, key, input_dim, dtype=jnp.float32):
            return super().init(key, input_dim, dtype)._replace(leak=(jnp.zeros(self.hidden_dim), key))

        def update(self, params, state, x_proj, h_proj):
            return super().update(params._replace(leak=params.leak[0]), state, x_proj, h_proj)

    check_model(dataclasses.replace(model("rnn"), cells=(Keyed(4),)))


def test_it_is_made_once_a_process_and_cheap():
    self_check._check_cell.cache_clear()
    seconds = []
    for _ in range(2):
        start = time.process_time()
        check_model(model("lstm"))
        seconds.append(time.process_time() - start)
    assert seconds[1] < 0.01
    assert seconds[0] < 5.0  # 0.6 s on a quiet core
