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


def relu(x):
    return np.where(x.real > 0, x, 0.0)


def irnn(weights, state, xs):
    w_ih, w_hh, bias = weights
    (hidden,) = state
    outputs = []
    for x in xs:
        hidden = relu(x @ w_ih + bias[..., None, :] + hidden @ w_hh)
        outputs.append(hidden)
    return outputs, [hidden]


def peephole_lstm(weights, state, xs):
    w_ih, w_hh, bias = weights[:3]
    p_i, p_f, p_o = (weight[..., None, :] for weight in weights[3:])
    hidden, cell = state
    size = hidden.shape[-1]
    w_i, w_f, w_g, w_o = (_gate(k, size, w_ih) for k in range(4))
    r_i, r_f, r_g, r_o = (_gate(k, size, w_hh) for k in range(4))
    b_i, b_f, b_g, b_o = (_gate(k, size, bias)[..., None, :] for k in range(4))
    outputs = []
    for x in xs:
        i = sigmoid(x @ w_i + b_i + hidden @ r_i + p_i * cell)
        f = sigmoid(x @ w_f + b_f + hidden @ r_f + p_f * cell)
        g = np.tanh(x @ w_g + b_g + hidden @ r_g)
        before, cell = hidden, f * cell + i * g
        o = sigmoid(x @ w_o + b_o + before @ r_o + p_o * cell)
        hidden = o * np.tanh(cell)
        outputs.append(hidden)
    return outputs, [hidden, cell]


def janet(weights, state, xs, beta=1.0, activation=np.tanh):
    w_ih, w_hh, bias = weights
    (hidden,) = state
    size = hidden.shape[-1]
    w_s, w_g = (_gate(k, size, w_ih) for k in range(2))
    r_s, r_g = (_gate(k, size, w_hh) for k in range(2))
    b_s, b_g = (_gate(k, size, bias)[..., None, :] for k in range(2))
    outputs = []
    for x in xs:
        s = x @ w_s + b_s + hidden @ r_s
        g = activation(x @ w_g + b_g + hidden @ r_g)
        hidden = sigmoid(s) * hidden + (1 - sigmoid(s - beta)) * g
        outputs.append(hidden)
    return outputs, [hidden]


def ugrnn(weights, state, xs):
    return janet(weights, state, xs, beta=0.0)


def ugrnn_relu(weights, state, xs):
    return janet(weights, state, xs, beta=0.0, activation=relu)


def indrnn(weights, state, xs):
    w_ih, bias, recurrent = weights
    (hidden,) = state
    outputs = []
    for x in xs:
        hidden = relu(x @ w_ih + bias[..., None, :] + recurrent[..., None, :] * hidden)
        outputs.append(hidden)
    return outputs, [hidden]


def _norm(values):
    mean = values.mean(axis=-1)[..., None]
    return (values - mean) / np.sqrt(((values - mean) ** 2).mean(axis=-1)[..., None] + 1e-5)


def layer_norm_lstm(weights, state, xs):
    w_ih, w_hh = weights[:2]
    bias, gain_ih, gain_hh, gain_cell, bias_cell = (weight[..., None, :] for weight in weights[2:])
    hidden, cell = state
    size = hidden.shape[-1]
    outputs = []
    for x in xs:
        total = gain_ih * _norm(x @ w_ih) + gain_hh * _norm(hidden @ w_hh) + bias
        i, f, g, o = (_gate(k, size, total) for k in range(4))
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(gain_cell * _norm(cell) + bias_cell)
        outputs.append(hidden)
    return outputs, [hidden, cell]


def clockwork(weights, state, xs):
    """Unit by unit: `modules` of the five units here have 1 unit each, and periods 1, 2, 4, 8 and 16."""
    w_ih, *blocks, bias = weights
    hidden, phase = state
    outputs = []
    for x in xs:
        new = hidden.copy()
        for unit, block in enumerate(blocks):
            total = x @ w_ih[..., unit] if w_ih.ndim == 2 else (x @ w_ih[..., unit : unit + 1])[..., 0]
            slower = (hidden[..., unit:] @ block)[..., 0]
            ticks = np.floor(phase.real) % 2**unit == 0
            new[..., unit] = np.where(ticks, np.tanh(total + bias[..., unit, None] + slower), hidden[..., unit])
        hidden = new
        phase = phase + 1
        phase = np.where(phase.real >= 16, phase - 16, phase)
        outputs.append(hidden)
    return outputs, [hidden, phase]


def lem(weights, state, xs, dt=1.0):
    w_ih, w_hh, w_mh, bias = weights
    hidden, memory = state
    size = hidden.shape[-1]
    w_s, w_r, w_m, w_y = (_gate(k, size, w_ih) for k in range(4))
    r_s, r_r, r_m = (_gate(k, size, w_hh) for k in range(3))
    b_s, b_r, b_m, b_y = (_gate(k, size, bias)[..., None, :] for k in range(4))
    outputs = []
    for x in xs:
        s = dt * sigmoid(x @ w_s + b_s + hidden @ r_s)
        r = dt * sigmoid(x @ w_r + b_r + hidden @ r_r)
        memory = (1 - s) * memory + s * np.tanh(x @ w_m + b_m + hidden @ r_m)
        hidden = (1 - r) * hidden + r * np.tanh(x @ w_y + b_y + memory @ w_mh)
        outputs.append(hidden)
    return outputs, [hidden, memory]


def lem_half(weights, state, xs):
    return lem(weights, state, xs, dt=0.5)


def cornn(weights, state, xs, dt=0.5, gamma=1.5, epsilon=0.25):
    w_ih, w_hh, bias = weights
    size = w_ih.shape[-1]
    y, z = state[0][..., :size], state[0][..., size:]
    r_y, r_z = w_hh[..., :size, :], w_hh[..., size:, :]
    outputs = []
    for x in xs:
        z = z + dt * (np.tanh(x @ w_ih + bias[..., None, :] + y @ r_y + z @ r_z) - gamma * y - epsilon * z)
        y = y + dt * z
        outputs.append(y)
    return outputs, [np.concatenate([y, z], axis=-1)]


def slstm(weights, state, xs, log_forget=lambda f: -np.log1p(np.exp(-f))):
    w_ih, w_hh, bias = weights
    hidden, cell, normaliser, stabiliser = state
    size = hidden.shape[-1]
    outputs = []
    for x in xs:
        total = x @ w_ih + bias[..., None, :] + hidden @ w_hh
        i, f, z, o = (_gate(k, size, total) for k in range(4))
        log_f = log_forget(f) + stabiliser
        stabiliser = np.where(log_f.real > i.real, log_f, i)
        cell = np.exp(log_f - stabiliser) * cell + np.exp(i - stabiliser) * np.tanh(z)
        normaliser = np.exp(log_f - stabiliser) * normaliser + np.exp(i - stabiliser)
        hidden = sigmoid(o) * cell / normaliser
        outputs.append(hidden)
    return outputs, [hidden, cell, normaliser, stabiliser]


def slstm_exp(weights, state, xs):
    return slstm(weights, state, xs, log_forget=lambda f: f)


def positive(values):
    return np.where(values.real >= 0, values + 0.5, sigmoid(values))


def min_gru(weights, state, xs, g=positive):
    w_ih, bias = weights
    (hidden,) = state
    size = hidden.shape[-1]
    outputs = []
    for x in xs:
        z, n = (_gate(k, size, x @ w_ih + bias[..., None, :]) for k in range(2))
        hidden = (1 - sigmoid(z)) * hidden + sigmoid(z) * g(n)
        outputs.append(hidden)
    return outputs, [hidden]


def min_gru_plain(weights, state, xs):
    return min_gru(weights, state, xs, g=lambda values: values)


def min_lstm(weights, state, xs, g=positive):
    w_ih, bias = weights
    (hidden,) = state
    size = hidden.shape[-1]
    outputs = []
    for x in xs:
        i, f, n = (_gate(k, size, x @ w_ih + bias[..., None, :]) for k in range(3))
        i, f = sigmoid(i), sigmoid(f)
        hidden = f / (f + i) * hidden + i / (f + i) * g(n)
        outputs.append(hidden)
    return outputs, [hidden]


def min_lstm_plain(weights, state, xs):
    return min_lstm(weights, state, xs, g=lambda values: values)


def rglru(weights, state, xs):
    w_ih, bias, decay = weights
    (hidden,) = state
    size = hidden.shape[-1]
    outputs = []
    for x in xs:
        r, i, u = (_gate(k, size, x @ w_ih + bias[..., None, :]) for k in range(3))
        a = np.exp(8 * sigmoid(r) * np.log(sigmoid(decay[..., None, :])))
        hidden = a * hidden + np.sqrt(1 - a**2) * sigmoid(i) * u
        outputs.append(hidden)
    return outputs, [hidden]


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def lru(weights, state, xs, activation=gelu):
    """In real numbers, since the imaginary parts are those of the steps that derivatives are taken by."""
    log_nu, log_theta, log_gamma = (weight[..., None, :] for weight in weights[:3])
    w_ih, w_out, w_skip = weights[3:]
    size = log_nu.shape[-1]
    real, imaginary = state[0][..., :size], state[0][..., size:]
    radius, angle = np.exp(-np.exp(log_nu)), np.exp(log_theta)
    outputs = []
    for x in xs:
        inputs = x @ w_ih
        real, imaginary = (
            radius * (np.cos(angle) * real - np.sin(angle) * imaginary) + np.exp(log_gamma) * inputs[..., :size],
            radius * (np.sin(angle) * real + np.cos(angle) * imaginary) + np.exp(log_gamma) * inputs[..., size:],
        )
        outputs.append(activation(real @ w_out[..., :size, :] + imaginary @ w_out[..., size:, :] + x @ w_skip))
    return outputs, [np.concatenate([real, imaginary], axis=-1)]


def lru_plain(weights, state, xs):
    return lru(weights, state, xs, activation=lambda values: values)


LOOPS = {"coupled_lstm": coupled_lstm, "rnn": rnn, "gru": gru, "gru@reset=before": gru_before, "lstm": lstm}
LOOPS |= {"rnn@activation=relu": irnn, "peephole_lstm": peephole_lstm, "janet": janet, "indrnn": indrnn}
LOOPS |= {"ugrnn": ugrnn, "ugrnn@activation=relu": ugrnn_relu, "layer_norm_lstm": layer_norm_lstm}
LOOPS |= {"clockwork": clockwork, "lem": lem, "lem@dt=0.5": lem_half, "cornn@dt=0.5,gamma=1.5,epsilon=0.25": cornn}
LOOPS |= {"slstm": slstm, "slstm@forget_gate=exp": slstm_exp, "rglru": rglru}
LOOPS |= {"min_gru": min_gru, "min_gru@positive=false": min_gru_plain}
LOOPS |= {"min_lstm": min_lstm, "min_lstm@positive=false": min_lstm_plain}
LOOPS |= {"lru": lru, "lru@activation=none": lru_plain}


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
