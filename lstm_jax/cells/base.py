"""What a cell is: one step of recurrence, as pure functions on a frozen dataclass of hyperparameters."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Real

Init = Literal["uniform", "orthogonal", "identity"]
Params = Any
"""A pytree of arrays, of the cell's own choice."""
State = Any
"""A pytree of arrays `[*B, ...]`: a NamedTuple whose field order is the order of the state."""


class LinearParams(NamedTuple):
    """The linear maps of a cell with G gates: `x @ w_ih + bias` and `hidden @ w_hh`, gates side by side."""

    w_ih: Float[Array, "D GH"]
    w_hh: Float[Array, "H GH"]
    bias: Float[Array, " GH"]


class HiddenState(NamedTuple):
    """The state of a cell that has nothing but a hidden state."""

    hidden: Float[Array, "*B H"]


@dataclasses.dataclass(frozen=True)
class Cell(abc.ABC):
    """One step of recurrence: `step(params, state, x) -> (state, output)`, pure, over any batch shape.

    A subclass is a frozen dataclass that holds hyperparameters only. If its step is a linear map of the hidden state
    plus a pointwise update, let it derive from `PointwiseCell`, which writes `step` for it. A field called `gap` is
    set to the task's distance.
    """

    hidden_dim: int

    def __post_init__(self) -> None:
        if self.hidden_dim < 1:
            raise ValueError(f"hidden_dim: expected at least 1, got {self.hidden_dim}")

    @abc.abstractmethod
    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> Params:
        """Fresh parameters for inputs `[..., input_dim]`."""

    @abc.abstractmethod
    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> State:
        """The state before the first step: arrays of shape `[*batch_shape, ...]`."""

    @abc.abstractmethod
    def step(self, params: Params, state: State, x: Real[Array, "*B D"]) -> tuple[State, Float[Array, "*B O"]]:
        """One time step: the new state and the output (for most cells, the new hidden state)."""

    @property
    def output_dim(self) -> int:
        """The width of the output."""
        return self.hidden_dim

    @property
    def initial_forget_bias(self) -> float | None:
        """What the bias of the gate that keeps the state starts at, recorded with every result.

        None where there is no such gate or where each unit draws its own.
        """
        return getattr(self, "forget_bias", None)

    @property
    def is_pointwise(self) -> bool:
        """Whether `step` is `x @ w_ih + bias` and `hidden @ w_hh` followed by a pointwise `update`.

        The memory-saving scan believes a False; a True it compares with `step` itself.
        """
        return False


@dataclasses.dataclass(frozen=True)
class PointwiseCell(Cell):
    """A cell of the form

        x_proj = x @ w_ih + bias        h_proj = hidden @ w_hh        (state', output) = update(state, x_proj, h_proj)

    where `update` mixes no units and no sequences. Parameters are a NamedTuple with the fields of `LinearParams` and,
    for pointwise parameters, more of them; the state is one with a field `hidden [*B, H]`, which the recurrent weights
    multiply. `num_gates` is G. A subclass that overrides `step` is run by its `step`.
    """

    num_gates: ClassVar[int]
    initialization: Init = dataclasses.field(default="uniform", kw_only=True, metadata={"setting": "init"})

    @abc.abstractmethod
    def update(
        self, params: Any, state: Any, x_proj: Float[Array, "*B GH"], h_proj: Float[Array, "*B GH"]
    ) -> tuple[Any, Float[Array, "*B O"]]:
        """The pointwise part of a step: the new state and the output."""

    def step(self, params: Any, state: Any, x: Real[Array, "*B D"]) -> tuple[Any, Float[Array, "*B O"]]:
        """One time step, as the linear maps and `update` define it."""
        return self.update(params, state, x @ params.w_ih + params.bias, state.hidden @ params.w_hh)

    @property
    def is_pointwise(self) -> bool:
        """True: the memory-saving scan may take this cell apart, if its step is what `update` makes."""
        return True


def check_state(cell: Cell, state: State) -> None:
    """Raise ValueError where a state is of another structure than the cell's own, a bare tuple for a NamedTuple say."""
    own: Any = jax.eval_shape(lambda: cell.initial_state((1,)))
    given: Any = jax.tree.structure(state)
    if given != jax.tree.structure(own):
        fields = f" of {', '.join(own._fields)}" if hasattr(own, "_fields") else ""
        raise ValueError(
            f"initial_state: expected what {type(cell).__name__}.initial_state makes, {type(own).__name__}{fields}, "
            f"got {type(state).__name__}"
        )
