"""flax.nnx modules around cells: a recurrent layer, a stack of them, and a Cell as a Flax cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer

from lstm_jax.cells.base import Cell, State
from lstm_jax.choices import Backward
from lstm_jax.parameters import Parameters
from lstm_jax.scan import scan, scan_last


class Recurrent(nnx.Module):
    """A cell over a sequence: `inputs [T, *B, D] -> (state, outputs [T, *B, O])`.

    `backward` and `truncation` are those of `scan`: what is kept for the backward pass, and how far it goes.
    """

    def __init__(
        self,
        cell: Cell,
        input_dim: int,
        *,
        backward: Backward = "autodiff",
        truncation: int | None = None,
        rngs: nnx.Rngs,
        dtype: DTypeLike = jnp.float32,
    ) -> None:
        self.cell = cell
        self.backward: Backward = backward
        self.truncation = truncation
        self.weights = Parameters(cell.init(rngs.params(), input_dim, dtype))

    @property
    def params(self) -> Parameters:
        """The parameters, `layer.params.w_ih`; in `nnx.state` they are called `weights`, for Linen refuses `params`."""
        return self.weights

    def __call__(
        self,
        inputs: Float[Array, "T *B D"],
        initial_state: State | None = None,
        *,
        lengths: Integer[Array, "*B"] | None = None,
        reverse: bool = False,
        return_outputs: bool = True,
    ) -> tuple[State, Any]:
        """Run the cell over time, with `scan`'s arguments; the outputs are None unless `return_outputs`."""
        return scan(
            self.cell,
            self.params.get_value(),
            inputs,
            initial_state,
            lengths=lengths,
            reverse=reverse,
            return_outputs=return_outputs,
            backward=self.backward,
            truncation=self.truncation,
        )

    def last(
        self,
        inputs: Float[Array, "T *B D"],
        initial_state: State | None = None,
        *,
        lengths: Integer[Array, "*B"] | None = None,
    ) -> tuple[State, Float[Array, "*B O"]]:
        """Run the cell over time, with `scan_last`'s arguments: the last output alone."""
        return scan_last(
            self.cell,
            self.params.get_value(),
            inputs,
            initial_state,
            lengths=lengths,
            backward=self.backward,
            truncation=self.truncation,
        )


class Stack(nnx.Module):
    """Recurrent layers on top of each other, with dropout between them (not after the last, as in PyTorch).

    With `bidirectional` each layer has a second cell that runs the other way, the outputs of both side by side
    (Schuster & Paliwal 1997); a layer's state is then the pair of both.

    Dropout draws one mask an element and step (Zaremba et al. 2014) from the key that the call is given; the module
    itself holds no random state, so that it can be split and merged anywhere.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        input_dim: int,
        *,
        dropout: float = 0.0,
        bidirectional: bool = False,
        backward: Backward = "autodiff",
        truncation: int | None = None,
        rngs: nnx.Rngs,
        dtype: DTypeLike = jnp.float32,
    ) -> None:
        if not cells:
            raise ValueError("cells: expected at least one, got none")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout: expected a rate in [0, 1), got {dropout}")
        input_dims = [input_dim, *((1 + bidirectional) * cell.output_dim for cell in cells[:-1])]

        def layers() -> Any:
            return nnx.List(
                [
                    Recurrent(cell, dim, backward=backward, truncation=truncation, rngs=rngs, dtype=dtype)
                    for cell, dim in zip(cells, input_dims, strict=True)
                ]
            )

        self.layers = layers()
        self.other_way = layers() if bidirectional else None
        self.dropout = dropout
        self.deterministic = False  # what flax's `eval` sets

    def __call__(
        self,
        inputs: Float[Array, "T *B D"],
        initial_states: Sequence[State] | None = None,
        *,
        lengths: Integer[Array, "*B"] | None = None,
        reverse: bool = False,
        dropout_key: Array | None = None,
        last_output: bool = False,
    ) -> tuple[list[State], Float[Array, "S *B O"]]:
        """The state of each layer after the last step, and the outputs of the last layer: `[T, *B, O]`.

        With `reverse` all layers run from the last step to the first. With `last_output` the last layer gives its last
        output alone, `[1, *B, O]`, and stores no others: ValueError where one of its cells ends at the first step.
        Without a `dropout_key`, and after `eval()`, nothing is dropped. Raises ValueError for `initial_states` that
        are not one a layer, or with `bidirectional` a pair of them.
        """
        initial_states = self._checked(initial_states)
        dropout_key = None if self.deterministic else dropout_key
        if last_output and (reverse or self.other_way is not None):
            raise ValueError("last_output: expected layers that all end at the last step, got some that run backwards")
        states = []
        for index, layer in enumerate(self.layers):
            if index > 0:
                key = None if dropout_key is None else jax.random.fold_in(dropout_key, index - 1)
                inputs = drop(inputs, self.dropout, key)
            initial_state = initial_states[index]
            if last_output and index == len(self.layers) - 1:
                state, output = layer.last(inputs, initial_state=initial_state, lengths=lengths)
                inputs = output[None]
            elif self.other_way is None:
                state, inputs = layer(inputs, initial_state=initial_state, lengths=lengths, reverse=reverse)
            else:
                directions = ((layer, reverse), (self.other_way[index], not reverse))
                initial_state = initial_state or (None, None)
                both = [
                    each(inputs, initial_state=state, lengths=lengths, reverse=back)
                    for (each, back), state in zip(directions, initial_state, strict=True)
                ]
                state, inputs = (both[0][0], both[1][0]), jnp.concatenate([both[0][1], both[1][1]], axis=-1)
            states.append(state)
        return states, inputs

    def _checked(self, states: Any) -> Sequence[Any]:
        """A state for each layer, None where there is none; raises ValueError for another number or form."""
        if states is None:
            return [None] * len(self.layers)
        expected = f"initial_states: expected {len(self.layers)}, one a layer"
        if not isinstance(states, list | tuple) or hasattr(states, "_fields"):
            raise ValueError(f"{expected}, got one {type(states).__name__}")
        if len(states) != len(self.layers):
            raise ValueError(f"{expected}, got {len(states)}")
        for index, state in enumerate(states if self.other_way is not None else []):
            is_pair = isinstance(state, list | tuple) and not hasattr(state, "_fields") and len(state) == 2
            if state is not None and not is_pair:
                raise ValueError(
                    f"initial_states[{index}]: expected a pair, the state of this way and that of the other, "
                    f"got {type(state).__name__}"
                )
        return states


def drop(values: Float[Array, "*S"], rate: float, key: Array | None) -> Float[Array, "*S"]:
    """Dropout where there is a key: an element is 0 with probability `rate`, else divided by 1 - rate."""
    if key is None or rate == 0.0:
        return values
    is_active = jax.random.bernoulli(key, 1.0 - rate, values.shape)
    return jnp.where(is_active, values / (1.0 - rate), jnp.zeros((), values.dtype))


class CellAsFlax(nnx.RNNCellBase):
    """One of our cells as a Flax cell, for `nnx.RNN`, `nnx.Bidirectional` and code written against them.

    The carry is our state (a NamedTuple, hidden state first).
    """

    def __init__(self, cell: Cell, input_dim: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> None:
        self.cell = cell
        self.dtype = dtype
        self.weights = Parameters(cell.init(rngs.params(), input_dim, dtype))

    @property
    def params(self) -> Parameters:
        """The parameters, `cell.params.w_ih`; in `nnx.state` they are called `weights`, for Linen refuses `params`."""
        return self.weights

    def __call__(self, carry: State, inputs: Array) -> tuple[State, Array]:
        """One step: (new carry, output)."""
        return self.cell.step(self.params.get_value(), carry, inputs)

    def initialize_carry(
        self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: nnx.Initializer | None = None
    ) -> State:
        """The cell's initial state for inputs `[*B, D]`, or one that `carry_init` draws from `rngs.carry()`."""
        state = self.cell.initial_state(tuple(input_shape[:-1]), self._state_dtype)
        if carry_init is None:
            return state
        if rngs is None:
            raise ValueError("initialize_carry: carry_init needs rngs, got None")
        stream = rngs.carry if isinstance(rngs, nnx.Rngs) else rngs
        return jax.tree.map(lambda leaf: carry_init(stream(), leaf.shape, leaf.dtype), state)

    @property
    def _state_dtype(self) -> DTypeLike:
        """That of the parameters, which may be another than they started in."""
        dtypes = [
            leaf.dtype for leaf in jax.tree.leaves(self.weights.get_value()) if jnp.issubdtype(leaf.dtype, jnp.inexact)
        ]
        return jnp.result_type(*dtypes) if dtypes else self.dtype

    @property
    def num_feature_axes(self) -> int:
        """One: inputs are `[*B, D]`."""
        return 1


def table_row(row: Any) -> bool:
    """A `row_filter` for `nnx.tabulate(layer, inputs, row_filter=table_row)`: it has outputs shown by their paths.

    flax 0.12 fails at showing a NamedTuple, as states are, inside of a tuple or a list.
    """
    leaves = jax.tree_util.tree_leaves_with_path(row.outputs)
    if len(leaves) != 1 or leaves[0][0]:
        row.outputs = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    return not issubclass(row.type, nnx.RngStream)
