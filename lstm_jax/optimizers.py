"""Optimizers by name, with settings as text, and how the learning rate goes through a run.

    adam, adamw@weight_decay=0.01        a registered name, with settings
    optax:adabelief@b1=0.95              any function of optax that is given a learning rate
    package.module:Name@field=value      a function or class of the user's own that is given learning_rate and settings

Rate and clip norm are traced; settings are part of the program.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int32

from lstm_jax import registry
from lstm_jax.choices import ScheduleName
from lstm_jax.models.base import Config

OPTIMIZERS: Mapping[str, str] = {
    "adam": "optax:adam",
    "adamw": "optax:adamw",
    "sgd": "optax:sgd",
    "rmsprop": "lstm_jax.optimizers:rmsprop",
    "lion": "optax:lion",
}
RATE = "learning_rate"
Rate = Float[Array, ""]


def make_optimizer(text: str, learning_rate: Rate | float) -> optax.GradientTransformation:
    """The optimizer that `text` names, `adam@b1=0.95` say; raises ValueError that says what is allowed."""
    spec = registry.parse(text)
    factory = _factory(spec.name)
    settings = _settings(spec, factory)
    made = factory(**{RATE: learning_rate}, **settings)
    if not (callable(getattr(made, "init", None)) and callable(getattr(made, "update", None))):
        raise ValueError(f"optimizer {spec!r}: expected an optax.GradientTransformation, got {made!r}")
    return optax.GradientTransformation(made.init, made.update)


def _factory(name: str) -> Any:
    """The function or class of that name."""
    if name not in OPTIMIZERS and _is_factory(getattr(optax, name, None)):
        raise ValueError(
            f"unknown optimizer {name!r}: did you mean 'optax:{name}'? choose from {', '.join(OPTIMIZERS)}"
        )
    factory = registry.load("optimizer", name, OPTIMIZERS, _is_factory)
    if not _is_factory(factory):
        raise ValueError(f"optimizer {name!r}: expected a function or class that is given {RATE}, got {factory!r}")
    return factory


def _is_factory(value: Any) -> bool:
    try:
        return callable(value) and RATE in inspect.signature(value).parameters
    except (TypeError, ValueError):  # of what has no signature
        return False


def _settings(spec: registry.Spec, factory: Any) -> dict[str, Any]:
    """The settings of `spec` as keyword arguments of `factory`."""
    signature = inspect.signature(factory)
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    free = {name: each for name, each in signature.parameters.items() if each.kind in named and name != RATE}
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in signature.parameters.values())
    values = {}
    for name, text in spec.settings:
        if name == RATE:
            raise ValueError(f"optimizer {spec!r}: {name} is set by the experiment's own option, not here")
        if name not in free and not takes_any:
            allowed = registry.nearest(name, list(free)) if free else "it has no settings"
            raise ValueError(f"optimizer {spec!r}: unknown setting {name!r}; {allowed}")
        try:
            values[name] = _parse_value(text, free.get(name))
        except ValueError as error:
            raise ValueError(f"optimizer {spec!r}: {name}: {error}") from None
    try:
        signature.bind(**{RATE: 0.0}, **values)
    except TypeError as error:
        raise ValueError(f"optimizer {spec!r}: {error}") from None
    return values


def _parse_value(text: str, parameter: inspect.Parameter | None) -> Any:
    """A number, true, false or none; another word only where the argument is one (`mu_dtype=bfloat16`)."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if not math.isfinite(value):
            break
        return value
    takes_words = parameter is not None and (
        isinstance(parameter.default, str) or parameter.annotation in (str, "str") or parameter.name.endswith("dtype")
    )
    if takes_words:
        return text
    raise ValueError(f"got {text!r}; expected a finite number, true, false or none")


@functools.wraps(optax.rmsprop)  # whose settings it has
def rmsprop(learning_rate: Any, **settings: Any) -> optax.GradientTransformation:
    """That of optax, without the empty state of a momentum that it has not: no earlier checkpoint has one."""
    inner = optax.rmsprop(learning_rate, **settings)
    if settings.get("momentum") is not None:
        return inner

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, new_state = inner.update(updates, (*state, optax.EmptyState()), params)
        return updates, new_state[:-1]

    return optax.GradientTransformation(lambda params: inner.init(params)[:-1], update)


def clipped(inner: optax.GradientTransformation, max_norm: Rate | float) -> optax.GradientTransformation:
    """`inner` of gradients that are clipped to a global norm.

    The state is that of one chain: the parts of `inner`, where it is a chain, come right behind that of the clipping.
    """
    clip = optax.clip_by_global_norm(max_norm)

    def is_chain(params: Any) -> bool:
        return type(jax.eval_shape(inner.init, params)) is tuple

    def init(params: Any) -> Any:
        state = inner.init(params)
        return (clip.init(params), *state) if is_chain(params) else (clip.init(params), state)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, first = clip.update(updates, state[0], params)
        its = state[1:] if is_chain(params) else state[1]
        updates, new = inner.update(updates, its, params)
        return updates, (first, *new) if is_chain(params) else (first, new)

    return optax.GradientTransformation(init, update)


def check_optimizer(text: str, model: Config) -> None:
    """Raise ValueError where the optimizer that `text` names can't be made, or can't train this model.

    An update is of the form of the parameters, and leaves that of the state as it is. Computes shapes only.
    """
    params = nnx.state(nnx.eval_shape(lambda: model.build(rngs=nnx.Rngs(0))), nnx.Param)

    def form(tree: Any) -> Any:
        return jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]

    def check(learning_rate: Rate) -> None:
        optimizer = make_optimizer(text, learning_rate)
        state = jax.eval_shape(optimizer.init, params)
        updates, new = jax.eval_shape(optimizer.update, params, state, params)
        if form(updates)[0] != form(params)[0]:
            raise ValueError("expected an update for each array of parameters")
        if form(new) != form(state):
            raise ValueError("expected a state of the same arrays after an update")
        if any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(state)):
            raise ValueError("expected a state of numbers; a key goes as jax.random.key_data(key)")

    with jax.numpy_dtype_promotion("standard"):  # as in training
        jax.eval_shape(check, jax.ShapeDtypeStruct((), jnp.float32))  # of no device, which may be missing


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A factor of the learning rate by the update, from 0: up from 0 in a line in `warmup_steps`, then as `kind` says.

    At `num_steps`, the budget, `cosine` and `linear` are at 0. The functions are optax's.
    """

    kind: ScheduleName = "constant"
    warmup_steps: int = 0
    num_steps: int = 0
    """Of no meaning for a constant rate: 0 there, so that equal schedules are equal."""

    @classmethod
    def over(cls, max_steps: int, kind: ScheduleName, warmup_steps: int) -> Schedule:
        """The schedule of a run of at most `max_steps` updates."""
        return cls(kind, warmup_steps, 0 if kind == "constant" else max_steps)

    def __post_init__(self) -> None:
        if self.kind != "constant" and not 0 <= self.warmup_steps < self.num_steps:
            raise ValueError(f"warmup_steps: expected at most {self.num_steps - 1}, got {self.warmup_steps}")

    def rate(self, peak: Rate, step: Int32[Array, ""] | int) -> Rate:
        """The learning rate of update `step`."""
        if self == Schedule():
            return peak
        return peak * jnp.asarray(self._factors()(step), peak.dtype)

    def _factors(self) -> optax.Schedule:
        decay_steps = self.num_steps - self.warmup_steps
        if self.kind == "cosine":
            after = optax.cosine_decay_schedule(1.0, decay_steps)
        elif self.kind == "linear":
            after = optax.linear_schedule(1.0, 0.0, decay_steps)
        else:
            after = optax.constant_schedule(1.0)
        if not self.warmup_steps:
            return after
        return optax.join_schedules([optax.linear_schedule(0.0, 1.0, self.warmup_steps), after], [self.warmup_steps])
