"""Outputs and gradients in float64 against independent implementations, at T up to 1,000.

Every comparison is absolute: outputs within 1e-12, gradients within 1e-10. The loss is scaled so that the largest
number of each parameter's gradient is of order one (asserted), so the same figures hold relative to it.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_cells
import pytest
from cell_cases import HIDDEN_DIM, add_noise, call, cell_of, inputs_of, jit_scan, params_of, python_loop, state_of
from flax import nnx

from lstm_jax.cells.base import LinearParams
from lstm_jax.cells.convert import from_flax, from_torch, to_flax, to_torch
from lstm_jax.cells.gru import GRUParams
from lstm_jax.cells.lstm import LSTM
from lstm_jax.scan import scan

pytestmark = pytest.mark.usefixtures("x64")

OUTPUT_TOLERANCE, GRADIENT_TOLERANCE = 1e-12, 1e-10
LENGTHS = [1, 7, 100, 1000]
PEERS = ("rnn", "gru", "gru@reset=before", "lstm")
# Of all cells one length, of these all: what goes wrong with the length does so in the scan, not in the cell.
LOOPED = [(name, length) for name in numpy_cells.LOOPS for length in LENGTHS if name in PEERS or length == 7]


def loss_weights(num_steps, state):
    """Normal weights for every output and every number of the final state; 1/sqrt(T) keeps gradients of order one."""
    rng = np.random.default_rng(num_steps)
    outputs = rng.normal(size=(num_steps, *state[0].shape[:-1], HIDDEN_DIM)) / np.sqrt(num_steps)
    return outputs, [rng.normal(size=leaf.shape) for leaf in state]


@functools.cache
def case(name, num_steps):
    """Cell, parameters, state and inputs; b_hn is zero for `gru without b_hn`, as Flax has none."""
    cell = cell_of(name.removesuffix(" without b_hn"))
    params = params_of(cell, dtype=jnp.float64)
    if name.endswith("without b_hn"):
        params = params._replace(bias_hn=jnp.zeros_like(params.bias_hn))
    return cell, params, state_of(cell, dtype=jnp.float64), inputs_of(num_steps, dtype=jnp.float64)


@functools.cache
def ours(name, num_steps):
    """(outputs, final state) and gradients w.r.t. (parameters, initial state, inputs), through `scan`."""
    cell, *arguments = case(name, num_steps)

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
    def run(params, state, inputs):
        final, outputs = scan(cell, params, inputs, state)
        return loss(outputs, final), (outputs, final)

    def loss(outputs, final):
        output_weights, state_weights = loss_weights(num_steps, final)
        return jnp.vdot(output_weights, outputs) + sum(
            jnp.vdot(weights, leaf) for weights, leaf in zip(state_weights, final, strict=True)
        )

    (_, results), gradients = run(*arguments)
    for gradient in jax.tree.leaves(gradients[0]):
        largest = np.abs(gradient).max()
        assert 0.05 < largest < 100, f"the loss is badly scaled: {largest}"
    return results, gradients


def assert_close(actual, expected, tolerance):
    """Leaf by leaf, absolute."""
    actual, expected = jax.tree.leaves(actual), jax.tree.leaves(expected)
    assert [leaf.shape for leaf in actual] == [leaf.shape for leaf in expected]
    for ours_leaf, theirs in zip(actual, expected, strict=True):
        assert ours_leaf.dtype == np.float64
        np.testing.assert_allclose(ours_leaf, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("name", "num_steps"), LOOPED)
def test_numpy_loop(name, num_steps):
    """Outputs against the equations; gradients against complex steps through them."""
    _, params, state, inputs = case(name, num_steps)
    loop = numpy_cells.LOOPS[name]
    arrays = [np.asarray(leaf) for leaf in (*jax.tree.leaves(params), *state, inputs)]
    num_params = len(arrays) - len(state) - 1
    weights, states = arrays[:num_params], arrays[num_params:-1]

    outputs, final = loop(weights, states, arrays[-1])
    (our_outputs, our_final), gradients = ours(name, num_steps)
    assert_close(our_outputs, np.stack(outputs), OUTPUT_TOLERANCE)
    assert_close(our_final, final, OUTPUT_TOLERANCE)

    output_weights, state_weights = loss_weights(num_steps, states)

    def loss(copies):
        # inputs come as [copies, T, B, D]; the loop wants time first
        outputs, final = loop(copies[:num_params], copies[num_params:-1], np.moveaxis(copies[-1], 1, 0))
        total = sum((w * y).sum(axis=(-2, -1)) for w, y in zip(output_weights, outputs, strict=True))
        return total + sum((w * s).reshape(len(s), -1).sum(1) for w, s in zip(state_weights, final, strict=True))

    # Each number of parameters and initial state, and the inputs of the first, a middle and the last step; at
    # T = 1,000 a third of them, for the loop takes seconds there.
    sizes = [array.size for array in arrays]
    before_inputs, width = sum(sizes[:-1]), inputs[0].size
    chosen = [before_inputs + t * width + k for t in {0, num_steps // 2, num_steps - 1} for k in range(width)]
    coordinates = np.array(sorted([*range(before_inputs), *chosen]))
    if num_steps == 1000:
        coordinates = coordinates[np.random.default_rng(0).permutation(len(coordinates))[: len(coordinates) // 3]]
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradients)])
    assert len(flat) == sum(sizes)
    assert_close(flat[coordinates], numpy_cells.derivatives(loss, arrays, coordinates), GRADIENT_TOLERANCE)


@pytest.mark.parametrize("name", PEERS)
def test_python_loop(name):
    """Gradients against jax's own, through an unrolled loop over `step` without any scan."""
    num_steps = 7
    cell, *arguments = case(name, num_steps)

    def loss(params, state, inputs):
        final, outputs = python_loop(cell, params, inputs, state)
        output_weights, state_weights = loss_weights(num_steps, final)
        total = jnp.vdot(output_weights, outputs)
        return total + sum(jnp.vdot(w, leaf) for w, leaf in zip(state_weights, final, strict=True)), (outputs, final)

    (_, results), gradients = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(*arguments)
    our_results, our_gradients = ours(name, num_steps)
    assert_close(our_results, results, OUTPUT_TOLERANCE)
    assert_close(our_gradients, gradients, GRADIENT_TOLERANCE)


def flax_run(module, num_steps, carry, inputs, to_state):
    """As `ours`, through `nnx.RNN`; gradients of the parameters come as a module of the same class."""
    graphdef, params = nnx.split(module)

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
    def run(params, carry, inputs):
        layer = nnx.RNN(nnx.merge(graphdef, params), time_major=True, return_carry=True, rngs=False)
        final, outputs = layer(inputs, initial_carry=carry)
        output_weights, state_weights = loss_weights(num_steps, to_state(final))
        total = jnp.vdot(output_weights, outputs)
        total += sum(jnp.vdot(w, leaf) for w, leaf in zip(state_weights, to_state(final), strict=True))
        return total, (outputs, to_state(final))

    (_, results), (param_grads, carry_grads, input_grads) = run(params, carry, inputs)
    return results, (nnx.merge(graphdef, param_grads), to_state(carry_grads), input_grads)


@pytest.mark.parametrize("num_steps", LENGTHS)
@pytest.mark.parametrize("cell_class", [nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell])
def test_flax(cell_class, num_steps):
    """Against Flax's cells in `nnx.RNN`, with our weights copied over."""
    name = {"GRUCell": "gru without b_hn", "SimpleCell": "rnn"}.get(cell_class.__name__, "lstm")
    cell, params, state, inputs = case(name, num_steps)
    if cell_class is nnx.OptimizedLSTMCell:  # not what to_flax makes: its two kernels are ours as they are
        module = nnx.OptimizedLSTMCell(3, cell.hidden_dim, dtype=jnp.float64, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
        module.dense_i.kernel.set_value(params.w_ih)
        module.dense_h.kernel.set_value(params.w_hh)
        module.dense_h.bias.set_value(params.bias)
    else:
        module = to_flax(cell, params)
    assert type(module) is cell_class
    # Flax's LSTM carry is (c, h), ours (h, c); the other carries are the hidden state itself.
    is_lstm = isinstance(cell, LSTM)
    carry = (state.cell, state.hidden) if is_lstm else state.hidden
    results, (param_grads, state_grads, input_grads) = flax_run(
        module, num_steps, carry, inputs, lambda carry: (carry[1], carry[0]) if is_lstm else (carry,)
    )
    our_results, (our_param_grads, our_state_grads, our_input_grads) = ours(name, num_steps)
    assert_close(our_results, results, OUTPUT_TOLERANCE)
    # Names, not positions: the gradient of each map is read off the module by hand, so that a mistake that
    # convert.py made in both directions shows here.
    assert_close(our_param_grads[:3], by_hand(param_grads), GRADIENT_TOLERANCE)
    assert_close((our_state_grads, our_input_grads), (state_grads, input_grads), GRADIENT_TOLERANCE)


def by_hand(module):
    """(w_ih, w_hh, bias) of a Flax cell, gates i, f, g, o or r, z, n."""
    if isinstance(module, nnx.LSTMCell):
        inputs = [module.ii, module.if_, module.ig, module.io]
        hiddens = [module.hi, module.hf, module.hg, module.ho]
        return (
            np.concatenate([linear.kernel.get_value() for linear in inputs], axis=1),
            np.concatenate([linear.kernel.get_value() for linear in hiddens], axis=1),
            np.concatenate([linear.bias.get_value() for linear in hiddens]),
        )
    bias = module.dense_h.bias if isinstance(module, nnx.OptimizedLSTMCell) else module.dense_i.bias
    return module.dense_i.kernel.get_value(), module.dense_h.kernel.get_value(), bias.get_value()


@pytest.mark.parametrize("num_steps", LENGTHS)
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_torch(name, num_steps):
    """Against PyTorch's nn.RNN, nn.GRU and nn.LSTM, with our weights copied over."""
    torch = pytest.importorskip("torch")
    cell, params, state, inputs = case(name, num_steps)
    torch_class = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[name]
    module = torch_class(inputs.shape[-1], cell.hidden_dim).double()
    module.load_state_dict({key: torch.tensor(array) for key, array in to_torch(cell, params).items()})

    tensors = [torch.tensor(np.array(leaf)[None], requires_grad=True) for leaf in state]
    x = torch.tensor(np.array(inputs), requires_grad=True)
    outputs, final = module(x, tuple(tensors) if name == "lstm" else tensors[0])
    final = final if name == "lstm" else (final,)
    output_weights, state_weights = loss_weights(num_steps, state)
    loss = (torch.tensor(output_weights) * outputs).sum()
    loss = loss + sum((torch.tensor(w) * leaf[0]).sum() for w, leaf in zip(state_weights, final, strict=True))
    loss.backward()

    our_results, (our_param_grads, our_state_grads, our_input_grads) = ours(name, num_steps)
    assert_close(
        our_results, (outputs.detach().numpy(), [leaf[0].detach().numpy() for leaf in final]), OUTPUT_TOLERANCE
    )
    grads = {key: parameter.grad.numpy() for key, parameter in module.named_parameters()}
    expected = [grads["weight_ih_l0"].T, grads["weight_hh_l0"].T, grads["bias_ih_l0"]]
    if name == "gru":
        expected.append(grads["bias_hh_l0"][2 * cell.hidden_dim :])
    assert_close(our_param_grads, expected, GRADIENT_TOLERANCE)
    assert_close(our_state_grads, [leaf.grad[0].numpy() for leaf in tensors], GRADIENT_TOLERANCE)
    assert_close(our_input_grads, x.grad.numpy(), GRADIENT_TOLERANCE)


@pytest.mark.parametrize(
    ("name", "num_layers", "bias"),
    [("rnn", 2, True), ("rnn", 2, False), ("gru", 1, True), ("gru", 1, False), ("lstm", 1, True), ("lstm", 1, False)],
)
def test_from_torch(name, num_layers, bias):
    """A PyTorch module as PyTorch initialises it, both its biases at work; layers and directions by name."""
    torch = pytest.importorskip("torch")
    cell = cell_of(name)
    torch_class = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[name]
    torch.manual_seed(0)
    module = torch_class(3, cell.hidden_dim, num_layers=num_layers, bidirectional=num_layers == 2, bias=bias).double()
    arrays = {key: tensor.numpy() for key, tensor in module.state_dict().items()}
    inputs = inputs_of(7, dtype=jnp.float64)
    with torch.no_grad():
        expected, _ = module(torch.tensor(np.array(inputs)))
    outputs = inputs
    for layer in range(num_layers):
        halves = [
            jit_scan(cell, from_torch(cell, arrays, layer, reverse), outputs, reverse=reverse)[1]
            for reverse in ((False, True) if num_layers == 2 else (False,))
        ]
        outputs = jnp.asarray(np.concatenate(halves, axis=-1))
    assert_close(outputs, expected.numpy(), OUTPUT_TOLERANCE)


@pytest.mark.parametrize("cell_class", [nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell])
def test_from_flax(cell_class):
    """A Flax cell as Flax initialises it, its biases moved away from zero."""
    module = cell_class(3, 5, dtype=jnp.float64, param_dtype=jnp.float64, rngs=nnx.Rngs(3))
    graphdef, params = nnx.split(module)
    module = nnx.merge(graphdef, add_noise(params, 4, 0.3))
    inputs = inputs_of(7, dtype=jnp.float64)
    expected = call(nnx.RNN(module, time_major=True), inputs)
    cell, params = from_flax(module)
    assert isinstance(params, GRUParams if cell_class is nnx.GRUCell else LinearParams)
    assert_close(jit_scan(cell, params, inputs)[1], expected, OUTPUT_TOLERANCE)
