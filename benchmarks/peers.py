"""One recurrent layer over a sequence, by us and by other libraries, each as its own guide writes it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen, nnx

from benchmarks.peer import LEARNING_RATE, Peer, Problem, What, functional, in_jax
from lstm_jax.scan import Backward, scan
from lstm_jax.sweeps.machine import num_cores

OURS = "lstm_jax activations"
LEFT_OUT = {
    ("haiku", "gru"): "hk.GRU resets before the matmul: another function than the GRU of cuDNN, PyTorch and Flax",
    ("haiku", "rnn"): "hk.VanillaRNN has relu where the others have tanh, and no argument for it",
    ("equinox", "rnn"): "Equinox has no vanilla RNN",
    ("jax.experimental.rnn", "gru"): "it has an LSTM alone",
    ("jax.experimental.rnn", "rnn"): "it has an LSTM alone",
}
"""Why an implementation has no row for a kind of cell."""


def ours(problem: Problem) -> list[Peer]:
    """`scan` with each of its backward passes, our default first."""

    def outputs(params: Any, inputs: jax.Array, backward: Backward) -> jax.Array:
        return scan(problem.cell, params, inputs, backward=backward)[1]

    modes = sorted(get_args(Backward), key=lambda mode: not OURS.endswith(mode))
    return [functional(f"lstm_jax {mode}", problem, functools.partial(outputs, backward=mode)) for mode in modes]


def lax_scan(problem: Problem) -> list[Peer]:
    """The step as everyone writes it, under jax.lax.scan."""

    def lstm(params: Any, carry: Any, x: jax.Array) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(x @ params.w_ih + h @ params.w_hh + params.bias, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(params: Any, carry: Any, x: jax.Array) -> Any:
        (h,) = carry
        x_r, x_z, x_n = jnp.split(x @ params.w_ih + params.bias, 3, axis=-1)
        h_r, h_z, h_n = jnp.split(h @ params.w_hh, 3, axis=-1)
        z = jax.nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * (h_n + params.bias_hn))
        h = (1 - z) * n + z * h
        return (h,), h

    def rnn(params: Any, carry: Any, x: jax.Array) -> Any:
        h = jnp.tanh(x @ params.w_ih + carry[0] @ params.w_hh + params.bias)
        return (h,), h

    step = {"lstm": lstm, "gru": gru, "rnn": rnn}[problem.kind]

    def outputs(params: Any, inputs: jax.Array) -> jax.Array:
        zeros = jnp.zeros((inputs.shape[1], problem.hidden))
        carry = (zeros, zeros) if problem.kind == "lstm" else (zeros,)
        return jax.lax.scan(functools.partial(step, params), carry, inputs)[1]

    return [functional("lax.scan", problem, outputs)]


def flax_nnx(problem: Problem) -> list[Peer]:
    """nnx.RNN and nnx.Optimizer under nnx.jit, and, as Flax's guide to speed says, split into arrays under jax.jit."""
    lstm = problem.kind == "lstm"
    cell_class: Any = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "rnn": nnx.SimpleCell}[problem.kind]
    model = nnx.RNN(cell_class(problem.hidden, problem.hidden, rngs=nnx.Rngs(0)), time_major=True)

    def convert(params: Any) -> Any:
        dense_i, dense_h = {"kernel": params.w_ih}, {"kernel": params.w_hh}
        (dense_h if lstm else dense_i)["bias"] = params.bias
        return {"cell": {"dense_i": dense_i, "dense_h": dense_h}}

    state = nnx.state(model, nnx.Param)
    nnx.replace_by_pure_dict(state, convert(problem.params))
    nnx.update(model, state)

    def loss(model: nnx.RNN, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        return jnp.mean((model(inputs) - targets) ** 2)

    @nnx.jit
    def step(model: nnx.RNN, optimizer: nnx.Optimizer, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        value, gradients = nnx.value_and_grad(loss)(model, inputs, targets)
        optimizer.update(model, gradients)
        return value

    held = (model, nnx.Optimizer(model, optax.sgd(LEARNING_RATE), wrt=nnx.Param))
    jitted = {
        "forward": nnx.jit(lambda model, x: model(x)),
        "step": step,
        "gradients": nnx.jit(nnx.value_and_grad(loss)),
    }
    plain = lambda tree: nnx.to_pure_dict(nnx.state(tree, nnx.Param))  # noqa: E731
    lacks = ("bias_hn",) if problem.kind == "gru" else ()
    in_place = in_jax("flax.nnx", problem, convert, held, **jitted, plain=plain, lacks=lacks)

    graphdef, weights, rest = nnx.split(nnx.clone(model), nnx.Param, ...)  # or the other peer would train it too
    options: Any = {"weights": weights, "plain": nnx.to_pure_dict, "lacks": lacks}
    apply = lambda weights, x: nnx.merge(graphdef, weights, rest, copy=True)(x)  # noqa: E731
    return [in_place, functional("flax.nnx split", problem, apply, convert, **options)]


def flax_linen(problem: Problem) -> list[Peer]:
    """linen.RNN, whose weights come gate by gate."""
    cell_class: Any = {"lstm": linen.OptimizedLSTMCell, "gru": linen.GRUCell, "rnn": linen.SimpleCell}[problem.kind]
    names = {"lstm": "ifgo", "gru": "rzn", "rnn": [""]}[problem.kind]
    has_bias = "h" if problem.kind == "lstm" else "i"

    def convert(params: Any) -> Any:
        cell = {}
        for side, kernel in (("i", params.w_ih), ("h", params.w_hh)):
            for name, part in zip(names, jnp.split(kernel, len(names), axis=1), strict=True):
                cell[side + name] = {"kernel": part}
        for name, part in zip(names, jnp.split(params.bias, len(names)), strict=True):
            cell[has_bias + name]["bias"] = part
        if problem.kind == "gru":
            cell["hn"]["bias"] = params.bias_hn
        return {"params": {"cell": cell}}

    return [functional("flax.linen", problem, linen.RNN(cell_class(problem.hidden), time_major=True).apply, convert)]


def haiku(problem: Problem) -> list[Peer]:
    """hk.dynamic_unroll of hk.LSTM: gates i, g, f, o in one matrix, and 1 added to f in each step."""
    import haiku as hk

    def outputs(inputs: jax.Array) -> jax.Array:
        core = hk.LSTM(problem.hidden)
        return hk.dynamic_unroll(core, inputs, core.initial_state(inputs.shape[1]))[0]

    def convert(params: Any) -> Any:
        i, f, g, o = jnp.split(jnp.vstack([params.w_ih, params.w_hh, params.bias]), 4, axis=1)
        f = f.at[-1].add(-1.0)
        together = jnp.hstack([i, g, f, o])
        return {"lstm/linear": {"w": together[:-1], "b": together[-1]}}

    return [functional("haiku", problem, hk.without_apply_rng(hk.transform(outputs)).apply, convert)]


def equinox(problem: Problem) -> list[Peer]:
    """A cell under jax.lax.scan, vmapped over the batch, and eqx.filter_jit."""
    import equinox as eqx

    names = ["weight_ih", "weight_hh", "bias"] + ["bias_n"] * (problem.kind == "gru")
    zeros = jnp.zeros(problem.hidden)
    start: Any = (zeros, zeros) if problem.kind == "lstm" else zeros

    def convert(params: Any) -> Any:
        values = [params.w_ih.T, params.w_hh.T, *params[2:]]
        return dict(zip(names, values, strict=True))

    def one_sequence(cell: Any, inputs: jax.Array) -> jax.Array:
        def step(state: Any, x: jax.Array) -> Any:
            state = cell(x, state)
            return state, state[0] if problem.kind == "lstm" else state

        return jax.lax.scan(step, start, inputs)[1]

    def outputs(cell: Any, inputs: jax.Array) -> jax.Array:
        return jax.vmap(functools.partial(one_sequence, cell), in_axes=1, out_axes=1)(inputs)

    def plain(cell: Any) -> Any:
        return {name: getattr(cell, name) for name in names}

    cell_class: Any = {"lstm": eqx.nn.LSTMCell, "gru": eqx.nn.GRUCell}[problem.kind]
    cell = cell_class(problem.hidden, problem.hidden, key=jax.random.key(0))
    cell = eqx.tree_at(
        lambda cell: [getattr(cell, name) for name in names], cell, list(convert(problem.params).values())
    )
    options = {"weights": cell, "jit": eqx.filter_jit, "value_and_grad": eqx.filter_value_and_grad, "plain": plain}
    return [functional("equinox", problem, outputs, convert, **options)]


def cudnn(problem: Problem) -> list[Peer]:
    """jax.experimental.rnn: cuDNN's LSTM, batch-major, all weights in one vector."""
    if jax.default_backend() != "gpu":
        raise ImportError("it needs a GPU")
    from jax.experimental import rnn

    def convert(params: Any) -> Any:
        second_bias = jnp.zeros_like(params.bias)
        return jnp.concatenate([params.w_ih.T.ravel(), params.w_hh.T.ravel(), params.bias, second_bias])

    def outputs(weights: jax.Array, inputs: jax.Array) -> jax.Array:
        batch, steps, hidden = inputs.shape
        zeros, lengths = jnp.zeros((1, batch, hidden)), jnp.full(batch, steps, jnp.int32)
        sizes = (hidden, hidden, 1, 0.0, False)
        return rnn.lstm(inputs, zeros, zeros, weights, lengths, *sizes, jax.lax.Precision.HIGHEST)[0]

    return [functional("jax.experimental.rnn", problem, outputs, convert, batch_major=True)]


def pytorch(problem: Problem) -> list[Peer]:
    """torch.nn.LSTM, GRU or RNN, on one thread and on all cores, or on the GPU."""
    import torch

    on_gpu = jax.default_backend() == "gpu"
    if on_gpu and not torch.cuda.is_available():
        raise ImportError("this PyTorch has no CUDA")
    device = "cuda" if on_gpu else "cpu"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False

    def convert(params: Any) -> Any:
        second_bias = jnp.zeros_like(params.bias)
        if problem.kind == "gru":
            second_bias = second_bias.at[2 * problem.hidden :].set(params.bias_hn)
        weights = {"weight_ih_l0": params.w_ih.T, "weight_hh_l0": params.w_hh.T}
        return weights | {"bias_ih_l0": params.bias, "bias_hh_l0": second_bias}

    def peer(threads: int) -> Peer:
        module_class = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[problem.kind]
        module = module_class(problem.hidden, problem.hidden)
        module.load_state_dict({name: torch.tensor(np.array(x)) for name, x in convert(problem.params).items()})
        module.to(device)
        inputs, targets = (torch.tensor(array, device=device) for array in (problem.inputs, problem.targets))
        optimizer = torch.optim.SGD(module.parameters(), lr=LEARNING_RATE)

        def forward() -> torch.Tensor:
            with torch.no_grad():
                outputs = module(inputs)[0]
            if on_gpu:
                torch.cuda.synchronize()
            return outputs

        def backward() -> torch.Tensor:
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(module(inputs)[0], targets)
            loss.backward()
            return loss

        def step() -> float:
            loss = backward()
            optimizer.step()
            return loss.item()  # waits for the GPU

        def arrays(of: Callable[[Any], Any]) -> dict[str, np.ndarray]:
            return {name: of(weight).detach().cpu().numpy() for name, weight in module.named_parameters()}

        def compile(what: What) -> tuple[None, int | None]:
            if not on_gpu:
                return None, None
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            forward() if what == "forward" else backward()
            return None, torch.cuda.max_memory_allocated() - before

        return Peer(
            "pytorch",
            threads,
            convert,
            forward=forward,
            step=step,
            weights=lambda: arrays(lambda weight: weight),
            gradients=lambda: (backward().item(), arrays(lambda weight: weight.grad)),
            compile=compile,
            prepare=lambda: torch.set_num_threads(threads),
        )

    return [peer(threads) for threads in ([num_cores()] if on_gpu else sorted({1, num_cores()}))]


BUILDERS = {
    "lstm_jax": ours,
    "lax.scan": lax_scan,
    "flax.nnx": flax_nnx,
    "flax.linen": flax_linen,
    "haiku": haiku,
    "equinox": equinox,
    "pytorch": pytorch,
    "jax.experimental.rnn": cudnn,
}


def make_peers(problem: Problem) -> tuple[list[Peer], dict[str, str]]:
    """Every implementation that there is, our default first, and why the others are left out."""
    peers: list[Peer] = []
    left_out: dict[str, str] = {}
    for name, build in BUILDERS.items():
        try:
            if (name, problem.kind) in LEFT_OUT:
                raise ImportError(LEFT_OUT[name, problem.kind])
            peers += build(problem)
        except ImportError as error:
            left_out[name] = str(error)
    return peers, left_out
