"""What a peer in a benchmark is: one recurrent layer with weights copied from ours, trained one step a call.

A step is plain SGD on the mean square of all outputs minus targets. Before a peer is timed, `check` asks whether it
computes what ours does. Data are time-major `[T, B, D]`; nobody donates buffers, as no library's guide does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lstm_jax.cells import make_cell
from lstm_jax.scan import scan
from lstm_jax.sweeps.machine import num_cores

What = Literal["forward", "step"]
LEARNING_RATE = 0.1
TOLERANCE = 1e-4
"""Float32: sums over up to 64,000 steps and sequences, in another order in each library."""


class Problem(NamedTuple):
    """What all peers are given: our cell and its parameters, inputs and targets `[T, B, H]`."""

    kind: str
    cell: Any
    params: Any
    inputs: np.ndarray
    targets: np.ndarray

    @property
    def hidden(self) -> int:
        """H; inputs are as wide as the state."""
        return self.inputs.shape[-1]


def make_problem(kind: str, batch: int, steps: int, hidden: int) -> Problem:
    """Random data and weights; biases too, so that one in the wrong place shows in the outputs."""
    rng = np.random.default_rng(0)
    cell = make_cell(kind, hidden)
    params = cell.init(jax.random.key(0), hidden)
    noise = jnp.asarray(0.1 * rng.standard_normal(params.bias.shape), jnp.float32)
    # The GRU's bias_hn stays zero: nnx.GRUCell has none.
    return Problem(
        kind,
        cell,
        params._replace(bias=params.bias + noise),
        *rng.standard_normal((2, steps, batch, hidden), np.float32),
    )


class Peer(NamedTuple):
    """One implementation with weights of its own."""

    name: str
    threads: int
    convert: Callable[[Any], Any]
    """From our parameters to the library's, differentiable by jax."""
    forward: Callable[[], Any]
    """All outputs, ready."""
    step: Callable[[], float]
    """One training step from the weights that the last one left; the loss before it."""
    weights: Callable[[], Any]
    """The weights as they are now, in the structure that `convert` gives."""
    gradients: Callable[[], tuple[float, Any]]
    """The loss, and its gradient in the structure that `convert` gives."""
    compile: Callable[[What], tuple[float | None, int | None]]
    """Seconds to trace and compile, and bytes of temporary memory; None where there is no such thing."""
    prepare: Callable[[], None] = lambda: None
    """To be called before a call that is timed."""
    batch_major: bool = False
    lacks: tuple[str, ...] = ()
    """Those of our parameters that the library has no counterpart of."""


def in_jax(
    name: str,
    problem: Problem,
    convert: Callable[[Any], Any],
    held: tuple[Any, ...],
    *,
    forward: Any,
    step: Any,
    gradients: Any,
    plain: Callable[[Any], Any] = lambda held: held,
    batch_major: bool = False,
    lacks: tuple[str, ...] = (),
) -> Peer:
    """A peer of jitted `step(*held, inputs, targets) -> (loss, *held)`, `forward(held[0], inputs)` and `gradients`.

    A `step` that returns the loss alone has updated what is held in place. `plain` tells the weights of their holder.
    """
    arrays = (problem.inputs, problem.targets)
    inputs, targets = (jnp.asarray(array.swapaxes(0, 1) if batch_major else array) for array in arrays)

    def one_step() -> float:
        nonlocal held
        results = step(*held, inputs, targets)
        if isinstance(results, tuple):
            results, *held = results
        return float(results)  # waits for all: what one execution gives is ready at one time

    def loss_and_gradients() -> tuple[float, Any]:
        loss, gradient = gradients(held[0], inputs, targets)
        return float(loss), plain(gradient)

    def compile(what: What) -> tuple[float, int]:
        started = time.perf_counter()
        lowered = step.lower(*held, inputs, targets) if what == "step" else forward.lower(held[0], inputs)
        compiled = lowered.compile()
        seconds = time.perf_counter() - started
        compiled = getattr(compiled, "compiled", compiled)  # Flax and Equinox wrap what jax gives
        return seconds, compiled.memory_analysis().temp_size_in_bytes

    return Peer(
        name,
        num_cores(),
        convert,
        forward=lambda: jax.block_until_ready(forward(held[0], inputs)),
        step=one_step,
        weights=lambda: plain(held[0]),
        gradients=loss_and_gradients,
        compile=compile,
        batch_major=batch_major,
        lacks=lacks,
    )


def functional(
    name: str,
    problem: Problem,
    apply: Callable[[Any, jax.Array], jax.Array],
    convert: Callable[[Any], Any] = lambda params: params,
    *,
    weights: Any = None,
    jit: Any = jax.jit,
    value_and_grad: Any = jax.value_and_grad,
    **options: Any,
) -> Peer:
    """A peer whose outputs are a pure function of a pytree of weights: what `convert` gives, or `weights`."""
    optimizer = optax.sgd(LEARNING_RATE)
    gradients = value_and_grad(lambda weights, inputs, targets: jnp.mean((apply(weights, inputs) - targets) ** 2))

    def step(weights: Any, optimizer_state: Any, inputs: jax.Array, targets: jax.Array) -> tuple[jax.Array, Any, Any]:
        loss, gradient = gradients(weights, inputs, targets)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state, weights)
        return loss, optax.apply_updates(weights, updates), optimizer_state

    weights = convert(problem.params) if weights is None else weights
    held = (weights, optimizer.init(weights))
    jitted = {"forward": jit(apply), "step": jit(step), "gradients": jit(gradients)}
    return in_jax(name, problem, convert, held, **jitted, **options)


class Reference(NamedTuple):
    """What peers must agree with."""

    outputs: np.ndarray
    loss: float
    gradients: dict[str, np.ndarray]


def reference(problem: Problem) -> Reference:
    """Our scan, differentiated by jax itself."""
    peer = functional("reference", problem, lambda params, inputs: scan(problem.cell, params, inputs)[1])
    loss, gradients = peer.gradients()
    return Reference(np.asarray(peer.forward()), loss, {name: np.asarray(x) for name, x in gradients._asdict().items()})


def check(peer: Peer, problem: Problem, expected: Reference) -> float:
    """The largest relative error of a fresh peer in outputs, loss, gradients, and in what its first step updates.

    Gradients are pulled back through `convert`, so that they are compared in our layout. Errors are relative to the
    largest element of an array. Raises ValueError where one is beyond `TOLERANCE`.
    """
    loss, own = peer.gradients()
    _, pull_back = jax.vjp(peer.convert, problem.params)
    gradients = pull_back(jax.tree.map(jnp.asarray, own))[0]._asdict()
    outputs = np.asarray(peer.forward())
    errors = {
        "outputs": _relative_error(outputs.swapaxes(0, 1) if peer.batch_major else outputs, expected.outputs),
        "loss": _relative_error(loss, expected.loss),
    }
    for name, gradient in expected.gradients.items():
        if name not in peer.lacks:
            errors[f"gradient of {name}"] = _relative_error(gradients[name], gradient)

    before = jax.tree.map(np.array, peer.weights())
    errors["loss of the step"] = _relative_error(peer.step(), expected.loss)
    for was, now, gradient in zip(*map(jax.tree.leaves, (before, peer.weights(), own)), strict=True):
        change = -LEARNING_RATE * np.asarray(gradient)
        # The sum of a weight and its update is rounded as the weight is.
        rounding = np.finfo(np.float32).eps * np.max(np.abs(was))
        error = max(np.max(np.abs(np.asarray(now) - was - change)) - rounding, 0.0) / np.max(np.abs(change))
        errors["update"] = np.maximum(errors.get("update", 0.0), error)  # unlike max, it passes a NaN on

    worst = max(errors, key=lambda name: np.nan_to_num(errors[name], nan=np.inf))
    if not errors[worst] <= TOLERANCE:
        raise ValueError(
            f"{peer.name} ({problem.kind}): {worst} differs from ours: expected a relative error of at most "
            f"{TOLERANCE:g}, got {errors[worst]:.1e}; what computes something else is not timed"
        )
    return float(errors[worst])


def _relative_error(value: Any, expected: Any) -> float:
    value, expected = np.asarray(value), np.asarray(expected)
    if value.shape != expected.shape:
        return float("inf")
    return float(np.max(np.abs(value - expected)) / np.max(np.abs(expected)))
