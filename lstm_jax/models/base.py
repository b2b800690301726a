"""What a model is: a config that builds a flax.nnx module, and how a module that writes is asked for one token more."""

from __future__ import annotations

import abc
import dataclasses
import functools
from typing import Any, ClassVar, NamedTuple, Protocol, get_args, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int32, Integer

from lstm_jax import registry
from lstm_jax.choices import Backward, Form, Readout
from lstm_jax.parameters import as_trees, as_variables
from lstm_jax.text.vocabulary import PAD


class Pair(NamedTuple):
    """A source, and what a decoder reads while it writes the target: the token before each one, BOS at first.

    Both end in PAD, which gives their lengths. The targets that go with it are the target and EOS.
    """

    source: Integer[Array, "T B"]
    prefix: Integer[Array, "S B"]


class Step(NamedTuple):
    """What a model that writes says of one token: its state after it, logits of the next, where it looked."""

    state: Any
    logits: Float[Array, "B C"]
    alignment: Float[Array, "B T"] | None


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The options of a job that make the size of its model, and how that is differentiated."""

    hidden_dim: int
    input_dim: int
    num_layers: int = 1
    dropout: float = 0.0
    backward: Backward = "autodiff"
    truncation: int | None = None


@dataclasses.dataclass(frozen=True)
class Data:
    """The properties of a task that its models depend on."""

    form: Form
    num_tokens: int | None
    """None where the inputs are vectors, of the width `input_dim`."""
    num_outputs: int
    readout: Readout = "every"
    gap: int | None = None
    """Its distance, the time steps over which what is asked for has to be held."""
    num_steps: int | None = None
    """The length of its sequences in training."""


@dataclasses.dataclass(frozen=True)
class Config(abc.ABC):
    """The static description of a model: a frozen dataclass, hashable, so that it can key a compiled program.

    `build` is abstract, everything else has a default. Fields called as those of `Sizes` and `Data` are filled from the
    job and its task; the others are settings of the model's name, `package.module:Name@setting=3`. `forms` are those
    that a model of this class can have.
    """

    forms: ClassVar[tuple[Form, ...]] = get_args(Form)
    takes_vectors: ClassVar[bool] = False
    """Whether its inputs may be vectors, where `num_tokens` is None."""

    @classmethod
    def from_spec(cls, spec: registry.Spec, sizes: Sizes, data: Data) -> Config:
        """The model that `spec` names; raises ValueError that names the setting and what is allowed."""
        fixed = {**vars(sizes), **vars(data)}
        fields = registry.fields_of(cls) if dataclasses.is_dataclass(cls) else {}
        for name, default in (("num_layers", 1), ("dropout", 0.0), ("truncation", None)):
            if name not in fields and fixed[name] != default:
                raise ValueError(f"model {spec!r}: expected no {name}, since it has no such field")
        config: Config = registry.construct("model", spec, cls, Config, fixed)
        return config

    @classmethod
    def hidden_dim_unit(cls, spec: registry.Spec) -> int:
        """The number that hidden_dim must be a multiple of."""
        del spec
        return 1

    @abc.abstractmethod
    def build(self, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> nnx.Module:
        """The model with fresh parameters: `model(inputs, *, dropout_key=None) -> logits [S, B, C]`."""

    @property
    def initial_forget_bias(self) -> float | None:
        """What the bias of the gate that keeps the state starts at, recorded with every result; None for no gate."""
        return None

    @property
    def backward_mode(self) -> Backward:
        """What is stored for the backward pass, recorded with every result: the field `backward` where there is one."""
        mode: Backward = getattr(self, "backward", "autodiff")  # no property of that name, which would be its default
        return mode

    @property
    def uses_rng(self) -> bool:
        """Whether a forward pass in training uses random numbers (dropout, scheduled sampling)."""
        return bool(getattr(self, "dropout", 0.0))

    def training_kwargs(self, step: Int32[Array, ""]) -> dict[str, Any]:
        """Arguments of the model in update `step`, from 0, beside its inputs and key."""
        del step
        return {}

    @property
    def average_decay(self) -> float:
        """How slowly the mean of the parameters that is scored and used follows them; 0: they are used themselves."""
        return float(getattr(self, "average", 0.0))

    def train_losses(self, losses: Float[Array, "S B"], logits: Float[Array, "S B C"]) -> Float[Array, "S B"]:
        """What training makes less: the losses of the task, unless a model says otherwise."""
        del logits
        return losses

    def attention_floats(self, num_steps: int) -> int:
        """Numbers stored for one sequence beside what recurrent layers do: attention's, quadratic in its length."""
        del num_steps
        return 0

    def initial_states(self, batch_size: int) -> Any:
        """The states before the first of several segments of a text; () where no state goes on to the next."""
        del batch_size
        return ()


@runtime_checkable
class Writer(Protocol):
    """A model that writes one token after another. All leaves of `memory` and `state` are `[B, ...]`."""

    def begin(self, source: Integer[Array, "T B"] | None, batch_size: int, max_steps: int) -> tuple[Any, Any]:
        """Read the source, if there is one; returns (memory, state).

        The memory is what stays as it is while a text of at most `max_steps` tokens is written.
        """

    def step(self, memory: Any, state: Any, tokens: Integer[Array, " B"]) -> Step:
        """Read the latest tokens (BOS at first), and say what comes next."""


def lengths_of(tokens: Integer[Array, "T B"]) -> Integer[Array, " B"]:
    """How many tokens of each sequence are no padding, which is at its end."""
    return is_token(tokens).sum(axis=0, dtype=jnp.int32)


def is_token(tokens: Integer[Array, "*S"]) -> Bool[Array, "*S"]:
    """Where there is no padding."""
    return tokens != PAD


def params_of(model: nnx.Module) -> Any:
    """The parameters of a model as runs hold them: the `as_trees` of `nnx.state`."""
    return as_trees(nnx.state(model, nnx.Param), model)


def with_params(config: Config, params: Any) -> Any:
    """The model that `config` builds, with such parameters."""
    return nnx.merge(graphdef(config), as_variables(params, _abstract(config)))


@functools.cache
def graphdef(config: Config) -> nnx.GraphDef[Any]:
    """What a model is beside its parameters. flax can't tell inside of a device mesh, so ask before."""
    return nnx.graphdef(_abstract(config))


@functools.cache
def _abstract(config: Config) -> nnx.Module:
    model: nnx.Module = nnx.eval_shape(lambda: config.build(rngs=nnx.Rngs(0)))
    return model


def in_dtype(tree: Any, dtype: DTypeLike) -> Any:
    """A tree of states in the dtype of a model; whole numbers stay what they are."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf, tree)


def count_params(config: Config) -> int:
    """How many numbers a model learns, readout and embedding included; computes shapes only."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(_abstract(config), nnx.Param)))
