"""How parameters start: the one menu for all cells, and the biases that keep memory."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from cell_cases import cell_of, inputs_of

from lstm_jax import registry
from lstm_jax.cells import CELLS, make_cell
from lstm_jax.cells.gru import GRU
from lstm_jax.cells.indrnn import IndRNN
from lstm_jax.cells.initializers import chrono_bias, input_weights, linear_params
from lstm_jax.cells.janet import Janet
from lstm_jax.cells.lstm import LSTM
from lstm_jax.scan import scan


def blocks(array, num_gates):
    """The gates of `[..., G*H]`, one after another."""
    return np.split(np.asarray(array), num_gates, axis=-1)


def recurrent_blocks(name, params, hidden_dim):
    """The recurrent matrices `[H, H]` of a cell, one after another; none where units remember themselves alone."""
    if name == "clockwork":
        return []  # pieces of one: below
    matrices = [getattr(params, field, None) for field in ("w_hh", "w_mh")]
    columns = [block for each in matrices if each is not None for block in blocks(each, each.shape[1] // hidden_dim)]
    return [block for each in columns for block in np.split(each, len(each) // hidden_dim)]


ON_THE_MENU = [name for name in CELLS if "init" in registry.fields_of(registry.load("cell", name, CELLS))]


@pytest.mark.parametrize("name", ON_THE_MENU)
def test_uniform(name):
    """Weights fill U(-1/sqrt(H), 1/sqrt(H)), both matrices, all gates; the bound does not depend on D."""
    params = make_cell(name, 25).init(jax.random.key(0), 40)
    for block in (*blocks(params.w_ih, params.w_ih.shape[1] // 25), *recurrent_blocks(name, params, 25)):
        assert np.abs(block).max() <= 0.2
        # under a uniform distribution p is below 1e-3 for one key in a thousand: the key is fixed
        assert scipy.stats.kstest(block.ravel(), scipy.stats.uniform(-0.2, 0.4).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", ON_THE_MENU)
def test_orthogonal(name):
    """Each gate's recurrent block is orthogonal, and another; each gate's inputs are Glorot's over [D, H]."""
    params = make_cell(f"{name}@init=orthogonal", 24).init(jax.random.key(0), 40)
    recurrent = recurrent_blocks(name, params, 24)
    for block in recurrent:
        np.testing.assert_allclose(block.T @ block, np.eye(24), rtol=0, atol=2e-6)
    assert len({block.tobytes() for block in recurrent}) == len(recurrent)
    bound = np.sqrt(6 / (40 + 24))
    for block in blocks(params.w_ih, params.w_ih.shape[1] // 24):
        assert np.abs(block).max() <= bound
        assert scipy.stats.kstest(block.ravel(), scipy.stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", ["rnn@activation=relu,init=identity", "lstm@init=identity"])
def test_identity(name):
    """Le et al. 2015: the identity for each gate, and inputs in N(0, 0.001²)."""
    cell = make_cell(name, 25)
    params = cell.init(jax.random.key(0), 400)
    for block in blocks(params.w_hh, cell.num_gates):
        np.testing.assert_array_equal(block, np.eye(25))
    for block in blocks(params.w_ih, cell.num_gates):
        assert scipy.stats.kstest(block.ravel(), scipy.stats.norm(0, 0.001).cdf).pvalue > 1e-3


def test_clockwork_hears_slower_modules_alone():
    """Its matrices are those of a dense one's that lead from a module to itself and to faster ones."""
    cell = make_cell("clockwork@modules=3", 8)
    params = cell.init(jax.random.key(0), 4)
    assert (cell.sizes, cell.starts) == ((3, 3, 2), (0, 3, 6))
    assert [block.shape for block in params.w_hh] == [(8, 3), (5, 3), (2, 2)]
    dense = linear_params("uniform", jax.random.key(0), 4, 8, 1, jnp.float32).w_hh
    for block, start, size in zip(params.w_hh, cell.starts, cell.sizes, strict=True):
        np.testing.assert_array_equal(block, dense[start:, start : start + size])
    assert make_cell("clockwork@modules=7", 2).sizes == (1, 1)


def test_clockwork_ticks():
    """A unit of period 2^k changes at multiples of that alone; the first step moves all."""
    cell = make_cell("clockwork@modules=3", 3)
    _, outputs = scan(cell, cell.init(jax.random.key(0), 4), inputs_of(10, (), 4))
    moved = np.diff(np.asarray(outputs), axis=0, prepend=0) != 0
    np.testing.assert_array_equal(moved, [[t % period == 0 for period in (1, 2, 4)] for t in range(10)])
    with pytest.raises(ValueError, match="modules: expected 1 to 16, got 0"):
        make_cell("clockwork@modules=0", 3)


@pytest.mark.parametrize(("long_memory", "least", "most"), [(False, 0.0, 2.0 ** (1 / 20)), (True, 0.5**0.05, 2**0.05)])
def test_indrnn_neither_grows_nor_forgets_over_the_gap(long_memory, least, most):
    """U(0, 2^(1/gap)), or with long memory U(2^(-1/gap), 2^(1/gap)); U(0, 1) where no gap is told."""
    recurrent = IndRNN(500, long_memory=long_memory, gap=20).init(jax.random.key(1), 1).recurrent
    assert scipy.stats.kstest(recurrent, scipy.stats.uniform(least, most - least).cdf).pvalue > 1e-3
    recurrent = IndRNN(500).init(jax.random.key(1), 1).recurrent
    assert scipy.stats.kstest(recurrent, scipy.stats.uniform(0, 1).cdf).pvalue > 1e-3
    with pytest.raises(ValueError, match="long_memory=true needs to be told the gap"):
        IndRNN(5, long_memory=True).init(jax.random.key(0), 3)


def test_lem_draws_biases_too():
    bias = make_cell("lem", 100).init(jax.random.key(0), 3).bias
    assert scipy.stats.kstest(bias, scipy.stats.uniform(-0.1, 0.2).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lem@dt=0", r"dt: expected a time step in \(0, 1\], got 0.0"),
        ("lem@dt=1.5", r"dt: expected a time step in \(0, 1\], got 1.5"),
        ("cornn@dt=0", "dt: expected a time step above 0, got 0.0"),
        ("janet@chrono=true,forget_bias=3", "chrono=true draws the forget bias: leave out forget_bias"),
    ],
)
def test_settings_that_cannot_be(text, message):
    with pytest.raises(ValueError, match=message):
        make_cell(text, 5, gap=20)


def test_orthogonal_float64(x64):
    w_hh = cell_of("lstm@init=orthogonal,forget_bias=0").init(jax.random.key(0), 3, jnp.float64).w_hh
    for block in blocks(w_hh, 4):
        np.testing.assert_allclose(block.T @ block, np.eye(len(block)), rtol=0, atol=1e-14)


def test_orthogonal_bfloat16():
    """Drawn in float32 (there is no QR decomposition in half precision) and rounded."""
    cell = make_cell("lstm@init=orthogonal", 8)
    full = cell.init(jax.random.key(0), 3).w_hh
    half = cell.init(jax.random.key(0), 3, jnp.bfloat16).w_hh
    np.testing.assert_array_equal(half, full.astype(jnp.bfloat16))


def test_unknown_menu_entry():
    unchecked = inspect.unwrap(input_weights)  # as in use: under pytest beartype would see it first
    with pytest.raises(ValueError, match="init: expected 'uniform', 'orthogonal' or 'identity', got 'zeros'"):
        unchecked("zeros", jax.random.key(0), 3, 5, 1, jnp.float32)


@pytest.mark.parametrize("init", ["uniform", "orthogonal"])
def test_biases_are_zero_but_for_the_one_that_keeps(init):
    """LSTM: b_f in i, f, g, o. GRU: b_z in r, z, n, and b_hn zero. RNN: nothing."""
    key = jax.random.key(0)
    np.testing.assert_array_equal(make_cell(f"rnn@init={init}", 5).init(key, 3).bias, np.zeros(5))
    for name, expected in (("janet", [3, 0]), ("ugrnn", [3, 0]), ("peephole_lstm", [0, 3, 0, 0])):
        bias = make_cell(f"{name}@forget_bias=3,init={init}", 5).init(key, 3).bias
        np.testing.assert_array_equal(bias, np.repeat(expected, 5))
    bias = make_cell(f"layer_norm_lstm@forget_bias=3,init={init}", 5).init(key, 3).bias
    np.testing.assert_array_equal(bias, np.repeat([0, 3, 0, 0], 5))
    for forget_bias, text in ((1.0, "lstm@"), (5.0, "lstm@forget_bias=5,"), (0.0, "lstm@forget_bias=0,")):
        bias = make_cell(f"{text}init={init}", 5).init(key, 3).bias
        np.testing.assert_array_equal(bias, np.repeat([0.0, forget_bias, 0.0, 0.0], 5))
    for update_bias, text in ((0.0, "gru@"), (2.5, "gru@update_bias=2.5,"), (-1.0, "gru@update_bias=-1,reset=before,")):
        params = make_cell(f"{text}init={init}", 5).init(key, 3)
        np.testing.assert_array_equal(params.bias, np.repeat([0.0, update_bias, 0.0], 5))
        assert not np.any(getattr(params, "bias_hn", 0.0))


def test_settings_of_the_bias_leave_the_weights():
    """Runs that differ in their forget bias start from the same weights."""
    key = jax.random.key(0)
    weights = LSTM(5).init(key, 3)[:2]
    for other in (LSTM(5, forget_bias=5.0), LSTM(5, chrono=True, gap=30)):
        jax.tree.map(np.testing.assert_array_equal, other.init(key, 3)[:2], weights)


@pytest.mark.parametrize("gap", [3, 20, 1000])
def test_chrono_distribution(gap):
    """b_f = log u, u ~ U(1, gap - 1): bounds, and a Kolmogorov-Smirnov test against that law."""
    bias = LSTM(1000, chrono=True, gap=gap).init(jax.random.key(1), 1).bias
    b_i, b_f, b_g, b_o = blocks(bias, 4)
    np.testing.assert_array_equal(b_i, -b_f)
    assert not b_g.any()
    assert not b_o.any()
    assert b_f.min() >= 0.0
    assert b_f.max() <= np.log(gap - 1) + 1e-6  # float32
    assert scipy.stats.kstest(np.exp(b_f.astype(float)), scipy.stats.uniform(1, gap - 2).cdf).pvalue > 1e-3
    # against what it could be confused with: log-uniform time constants
    assert scipy.stats.kstest(b_f, scipy.stats.uniform(0, np.log(gap - 1)).cdf).pvalue < 1e-3


def test_chrono_of_a_gru():
    """The update gate keeps, so b_z is drawn; r and n stay zero, for both resets. JANET's b_f is drawn likewise."""
    b_f, b_g = blocks(make_cell("janet@chrono=true", 25, gap=20).init(jax.random.key(1), 40).bias, 2)
    assert scipy.stats.kstest(np.exp(b_f.astype(float)), scipy.stats.uniform(1, 18).cdf).pvalue > 1e-3
    assert not b_g.any()
    for reset in ("after", "before"):
        b_r, b_z, b_n = blocks(GRU(25, chrono=True, gap=20, reset=reset).init(jax.random.key(1), 40).bias, 3)
        assert not b_r.any()
        assert not b_n.any()
        assert 0 <= b_z.min() < b_z.max() <= np.log(19) + 1e-6
        assert scipy.stats.kstest(np.exp(b_z.astype(float)), scipy.stats.uniform(1, 18).cdf).pvalue > 1e-3


def test_chrono_depends_on_the_key_alone():
    draws = [chrono_bias(jax.random.key(seed), 50, 20, jnp.float32) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (np.asarray(draws[0]) != np.asarray(draws[2])).all()


@pytest.mark.parametrize("gap", [1, 2])
def test_chrono_of_a_gap_that_leaves_no_room(gap):
    """U(1, 1): all zero, and finite."""
    np.testing.assert_array_equal(chrono_bias(jax.random.key(0), 5, gap, jnp.float32), np.zeros(5))


@pytest.mark.parametrize("cell", [LSTM(5, chrono=True), GRU(5, chrono=True), Janet(5, chrono=True)])
def test_chrono_needs_a_gap(cell):
    with pytest.raises(ValueError, match="chrono=true needs to be told the gap: give gap="):
        cell.init(jax.random.key(0), 3)


def test_chrono_draws_the_bias_itself():
    with pytest.raises(ValueError, match="chrono=true draws the forget bias: leave out forget_bias"):
        LSTM(5, chrono=True, forget_bias=5.0)
    with pytest.raises(ValueError, match="chrono=true draws the update bias: leave out update_bias"):
        GRU(5, chrono=True, update_bias=1.0)


@pytest.mark.parametrize("hidden_dim", [0, -3])
def test_hidden_dim_is_positive(hidden_dim):
    with pytest.raises(ValueError, match=f"hidden_dim: expected at least 1, got {hidden_dim}"):
        LSTM(hidden_dim)
