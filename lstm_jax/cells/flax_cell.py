"""A Flax cell as one of ours, so that it can be put into any experiment as `flax.nnx:GRUCell`."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, Real

from lstm_jax.cells.base import Cell
from lstm_jax.cells.initializers import check_sizes


def is_flax_cell(cls: Any) -> bool:
    """Whether `cls` is a Flax cell class with one feature axis."""
    return isinstance(cls, type) and issubclass(cls, nnx.RNNCellBase)


@dataclasses.dataclass(frozen=True)
class FlaxCell(Cell):
    """A Flax cell class, `cell_class(input_dim, hidden_dim, rngs=...)`, as a `Cell` on the reference path.

    Parameters are the `nnx.Param`s of the module; the state is the carry of the Flax cell, whatever it is (the LSTM's
    is (cell, hidden)). The order of returns is ours: (state, output).
    """

    cell_class: type[nnx.RNNCellBase]

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> nnx.State[Any, Any]:
        """The parameters as Flax initialises them; a cell with other variables than parameters is refused."""
        check_sizes(input_dim, self.hidden_dim)
        module: Any = self._module(input_dim, dtype, nnx.Rngs(key))
        params, rest = nnx.state(module, nnx.Param, ...)
        if jax.tree.leaves(rest):
            raise ValueError(f"{self.cell_class.__name__}: expected parameters only, got {list(rest)}")
        return params

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Any:
        """The carry that the Flax cell starts from."""
        dtype = np.dtype(dtype)
        cell: Any = nnx.merge(_graphdef(self, 1, dtype), self._abstract_params(1, dtype))
        return cell.initialize_carry((*batch_shape, 1), nnx.Rngs(0))

    def step(self, params: Any, state: Any, x: Real[Array, "*B D"]) -> tuple[Any, Float[Array, "*B H"]]:
        # Flax computes in the module's dtype, whatever the parameters' is: ours is that of `x @ w`.
        dtype = jnp.result_type(x, *jax.tree.leaves(params))
        cell: Any = nnx.merge(_graphdef(self, x.shape[-1], dtype), params)
        state, output = cell(state, x)
        return state, output

    def _module(self, input_dim: int, dtype: DTypeLike, rngs: nnx.Rngs) -> Any:
        return self.cell_class(input_dim, self.hidden_dim, dtype=dtype, param_dtype=dtype, rngs=rngs)  # type: ignore[call-arg]

    def _abstract_params(self, input_dim: int, dtype: DTypeLike) -> Any:
        return jax.eval_shape(lambda: self.init(jax.random.key(0), input_dim, dtype))


@functools.cache
def _graphdef(cell: FlaxCell, input_dim: int, dtype: np.dtype[Any]) -> nnx.GraphDef[Any]:
    """The static half of the module; shapes only, so it costs no arithmetic."""
    abstract = nnx.eval_shape(lambda: cell._module(input_dim, dtype, nnx.Rngs(0)))
    return nnx.split(abstract)[0]
