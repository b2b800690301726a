"""What a model is: a config that builds a flax.nnx module, and how a module that writes is asked for one token more."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int32, Integer

from lstm_jax.scanning import Backward
from lstm_jax.text.vocabulary import PAD

Form = Literal["sequence", "decoder", "encoder", "encoder_decoder"]
"""`sequence`: symbols in, answers out. Of language models and translation: `decoder` says the next word from those
before, `encoder` a masked word from those on both sides, `encoder_decoder` writes a target from a source."""


class Pair(NamedTuple):
    """A source, and what a decoder reads while it writes the target: the token before each one, BOS at first.

    Both end in PAD, by which their lengths are told. The targets that go with it are the target and EOS.
    """

    source: Integer[Array, "T B"]
    prefix: Integer[Array, "S B"]


class Step(NamedTuple):
    """What a model that writes says of one token: its state after it, logits of the next, where it looked."""

    state: Any
    logits: Float[Array, "B C"]
    alignment: Float[Array, "B T"] | None


@runtime_checkable
class Config(Protocol):
    """The static description of a model: hashable, so that it can key a compiled program."""

    def __hash__(self) -> int:
        """A frozen dataclass's."""

    @property
    def initial_forget_bias(self) -> float | None:
        """What the bias of the gate that keeps the state starts at, recorded with every result; None for none."""

    @property
    def backward(self) -> Backward:
        """What is kept for the backward pass: of `scan`, recorded with every result."""

    @property
    def draws(self) -> bool:
        """Whether a forward pass in training draws random numbers (dropout, scheduled sampling)."""

    def scheduled(self, step: Int32[Array, ""]) -> dict[str, Any]:
        """What a call of the model in update `step`, from 0, is told beside its inputs and key."""

    def floats_of_pairs(self, num_steps: int) -> int:
        """What a sequence takes that grows with the square of its length: attention."""

    def initial_carry(self, batch_size: int) -> Any:
        """What goes on from one segment of a text to the next, before the first; () for nothing."""

    def build(self, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> nnx.Module:
        """The model with fresh parameters: `model(inputs, *, dropout_key=None) -> logits [S, B, C]`."""


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
