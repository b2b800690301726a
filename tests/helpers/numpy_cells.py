"""The oracle: the cells' equations as float64 NumPy loops, gate by gate, and their derivatives by complex steps.

f'(a) = Im f(a + ih) / h is exact to rounding for h = 1e-30, because nothing is subtracted: it gives gradients to 1e-15
from a loop that holds nothing but the equations. Arrays may have leading axes, one for each perturbed copy.
"""

from __future__ import annotations

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def _gate(index, hidden_dim, array):
    """The columns of one gate, or its part of a bias as a row."""
    return array[..., index * hidden_dim : (index + 1) * hidden_dim]


def rnn(weights, state, xs):
    w_ih, w_hh, bias = weights
    (hidden,) = state
    outputs = []
    for x in xs:
        hidden = np.tanh(x @ w_ih + bias[..., None, :] + hidden @ w_hh)
        outputs.append(hidden)
    return outputs, [hidden]


def gru(weights, state, xs, reset_after=True):
    w_ih, w_hh, bias = weights[:3]
    (hidden,) = state
    size = hidden.shape[-1]
    w_r, w_z, w_n = (_gate(k, size, w_ih) for k in range(3))
    r_r, r_z, r_n = (_gate(k, size, w_hh) for k in range(3))
    b_r, b_z, b_n = (_gate(k, size, bias)[..., None, :] for k in range(3))
    outputs = []
    for x in xs:
        r = sigmoid(x @ w_r + b_r + hidden @ r_r)
        z = sigmoid(x @ w_z + b_z + hidden @ r_z)
        if reset_after:
            n = np.tanh(x @ w_n + b_n + r * (hidden @ r_n + weights[3][..., None, :]))
        else:
            n = np.tanh(x @ w_n + b_n + (r * hidden) @ r_n)
        hidden = (1 - z) * n + z * hidden
        outputs.append(hidden)
    return outputs, [hidden]


def gru_before(weights, state, xs):
    return gru(weights, state, xs, reset_after=False)


def lstm(weights, state, xs):
    w_ih, w_hh, bias = weights
    hidden, cell = state
    size = hidden.shape[-1]
    w_i, w_f, w_g, w_o = (_gate(k, size, w_ih) for k in range(4))
    r_i, r_f, r_g, r_o = (_gate(k, size, w_hh) for k in range(4))
    b_i, b_f, b_g, b_o = (_gate(k, size, bias)[..., None, :] for k in range(4))
    outputs = []
    for x in xs:
        i = sigmoid(x @ w_i + b_i + hidden @ r_i)
        f = sigmoid(x @ w_f + b_f + hidden @ r_f)
        g = np.tanh(x @ w_g + b_g + hidden @ r_g)
        o = sigmoid(x @ w_o + b_o + hidden @ r_o)
        cell = f * cell + i * g
        hidden = o * np.tanh(cell)
        outputs.append(hidden)
    return outputs, [hidden, cell]


def coupled_lstm(weights, state, xs):
    w_ih, w_hh, bias = weights
    hidden, cell = state
    size = hidden.shape[-1]
    w_f, w_g, w_o = (_gate(k, size, w_ih) for k in range(3))
    r_f, r_g, r_o = (_gate(k, size, w_hh) for k in range(3))
    b_f, b_g, b_o = (_gate(k, size, bias)[..., None, :] for k in range(3))
    outputs = []
    for x in xs:
        f = sigmoid(x @ w_f + b_f + hidden @ r_f)
        g = np.tanh(x @ w_g + b_g + hidden @ r_g)
        o = sigmoid(x @ w_o + b_o + hidden @ r_o)
        cell = f * cell + (1 - f) * g
        hidden = o * np.tanh(cell)
        outputs.append(hidden)
    return outputs, [hidden, cell]


LOOPS = {"coupled_lstm": coupled_lstm, "rnn": rnn, "gru": gru, "gru@reset=before": gru_before, "lstm": lstm}


def derivatives(loss, arrays, coordinates):
    """d loss(arrays) / d (the numbers at `coordinates` of the arrays put end to end), each by a complex step."""
    step = 1e-30
    flat = np.concatenate([array.ravel() for array in arrays])
    copies = np.repeat(flat[None].astype(complex), len(coordinates), axis=0)
    copies[np.arange(len(coordinates)), coordinates] += 1j * step
    ends = np.cumsum([array.size for array in arrays])[:-1]
    parts = np.split(copies, ends, axis=1)
    perturbed = [part.reshape(-1, *array.shape) for part, array in zip(parts, arrays, strict=True)]
    return loss(perturbed).imag / step
