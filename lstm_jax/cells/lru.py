"""The linear recurrent unit: a diagonal linear recurrence of complex numbers."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Complex, Float, Key, Real

from lstm_jax.cells.base import HiddenState
from lstm_jax.cells.initializers import check_sizes
from lstm_jax.cells.linear import LinearCell, as_complex


class LRUParams(NamedTuple):
    """The logarithms of decay, angle and input scale; of complex matrices real parts, then imaginary parts."""

    log_nu: Float[Array, " H"]
    log_theta: Float[Array, " H"]
    log_gamma: Float[Array, " H"]
    w_ih: Float[Array, "D 2H"]
    w_out: Float[Array, "2H H"]
    w_skip: Float[Array, "D H"]


@dataclasses.dataclass(frozen=True)
class LRU(LinearCell):
    """Linear recurrent unit of H complex numbers s, and as many outputs:

        λ = exp(-exp(log_nu) + i exp(log_theta))        s' = λ * s + exp(log_gamma) * (x B)
        output = gelu(Re(s' C) + x D)

    The hidden state `[*B, 2 H]` holds the real parts of s, then its imaginary parts. |λ| starts uniformly in the ring
    between `r_min` and `r_max`, its angle in U(0, `max_phase`), and gamma at sqrt(1 - |λ|²), so that s has the same
    size whatever λ. B is N(0, 1/(2 D)) in both parts, C N(0, 1/H), D N(0, 1/D).

    Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences", section 3 and appendix A. There D
    is a diagonal, for inputs as wide as outputs. `activation` none leaves out the GELU, which belongs to the block
    around the unit: a stack of such cells is linear as a whole.
    """

    r_min: float = dataclasses.field(default=0.0, kw_only=True)
    r_max: float = dataclasses.field(default=1.0, kw_only=True)
    max_phase: float = dataclasses.field(default=2 * math.pi, kw_only=True)
    activation: Literal["gelu", "none"] = dataclasses.field(default="gelu", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.r_min < self.r_max <= 1.0:
            raise ValueError(f"r_min, r_max: expected 0 <= r_min < r_max <= 1, got {self.r_min}, {self.r_max}")
        if not self.max_phase > 0.0:
            raise ValueError(f"max_phase: expected an angle above 0, got {self.max_phase}")

    def init(self, key: Key[Array, ""], input_dim: int, dtype: DTypeLike = jnp.float32) -> LRUParams:
        """Fresh parameters for inputs `[..., input_dim]`."""
        check_sizes(input_dim, self.hidden_dim)
        keys = jax.random.split(key, 5)
        full = (
            dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32
        )  # a logarithm of one needs more than half precision
        # neither 0, whose logarithm is infinite, nor 1, of which gamma would be that of
        u, v = jax.random.uniform(keys[0], (2, self.hidden_dim), full, 1e-6, 1.0 - 1e-6)
        squared_radius = self.r_min**2 + u * (self.r_max**2 - self.r_min**2)

        def normal(key: Array, shape: tuple[int, int], variance: float) -> Array:
            return math.sqrt(variance) * jax.random.normal(key, shape, dtype)

        units = self.hidden_dim
        return LRUParams(
            jnp.log(-0.5 * jnp.log(squared_radius)).astype(dtype),
            jnp.log(self.max_phase * v).astype(dtype),
            (0.5 * jnp.log1p(-squared_radius)).astype(dtype),
            normal(keys[1], (input_dim, 2 * units), 0.5 / input_dim),
            normal(keys[2], (2 * units, units), 1.0 / units),
            normal(keys[3], (input_dim, units), 1.0 / input_dim),
        )

    def initial_state(self, batch_shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> HiddenState:
        return HiddenState(jnp.zeros((*batch_shape, 2 * self.hidden_dim), dtype))

    def linear(self, params: LRUParams, x: Real[Array, "*B D"]) -> tuple[Complex[Array, " H"], Complex[Array, "*B H"]]:
        decay = jnp.exp(as_complex(jnp.concatenate([-jnp.exp(params.log_nu), jnp.exp(params.log_theta)])))
        scale = jnp.exp(params.log_gamma)
        return decay, as_complex(x @ params.w_ih * jnp.concatenate([scale, scale]))

    def output(self, params: LRUParams, hidden: Float[Array, "*B N"], x: Real[Array, "*B D"]) -> Float[Array, "*B H"]:
        # Re((a + ib)(c + id)) = a c - b d, and w_out holds -d: as good a start, and one product
        total = hidden @ params.w_out + x @ params.w_skip
        return jax.nn.gelu(total) if self.activation == "gelu" else total
