"""A temporal convolutional network: a reference beside recurrent models that sees a fixed number of steps at once."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer

from lstm_jax import registry
from lstm_jax.choices import Form, Readout
from lstm_jax.layers import drop
from lstm_jax.models.base import Config, Data, Sizes
from lstm_jax.models.common import embedding, linear

Init = Literal["normal", "uniform"]
_FLOATS_PER_LEVEL = 8
"""Arrays of [T, B, H] that backpropagation stores for a level, with room to spare."""


@dataclasses.dataclass(frozen=True)
class TCNConfig(Config):
    """The static description of a `TCN`: hashable, so it can key a compiled program.

    `kernel` is the number of taps of a convolution. `levels` is the number of residual blocks; None: as few as let the
    last step see all `num_steps` of the task. `num_tokens` is None for real-valued inputs, whose width is then
    `input_dim` (for tokens, the width of the embedding). `dropout` is the rate after each convolution. `init` is how
    convolutions start: uniform between ± 1 / sqrt(kernel * inputs), or N(0, 0.01).
    """

    forms: ClassVar[tuple[Form, ...]] = ("sequence",)
    takes_vectors: ClassVar[bool] = True
    hidden_dim: int
    input_dim: int
    num_tokens: int | None
    num_outputs: int
    num_steps: int | None = None
    readout: Readout = "every"
    dropout: float = 0.0
    kernel: int = 7
    levels: int | None = None
    init: Init = "uniform"

    def __post_init__(self) -> None:
        if self.kernel < 2:
            raise ValueError(f"kernel: expected at least 2 taps, got {self.kernel}")
        if self.levels is None and self.num_steps is None:
            raise ValueError("levels: expected a number where a task has no num_steps, got None")
        if self.levels is not None and self.levels < 1:
            raise ValueError(f"levels: expected at least 1, got {self.levels}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout: expected a rate in [0, 1), got {self.dropout}")

    @classmethod
    def from_spec(cls, spec: registry.Spec, sizes: Sizes, data: Data) -> Config:
        """The TCN that `spec` names. Its levels are a number from here on: nothing else depends on `num_steps`."""
        config = super().from_spec(spec, sizes, data)
        assert isinstance(config, TCNConfig)
        return dataclasses.replace(config, levels=config.num_levels, num_steps=None)

    @property
    def num_levels(self) -> int:
        """`levels`, or as few as cover `num_steps`."""
        if self.levels is not None:
            return self.levels
        assert self.num_steps is not None
        levels = 1
        while receptive_field(self.kernel, levels) < self.num_steps:
            levels += 1
        return levels

    def attention_floats(self, num_steps: int) -> int:
        """No attention, but what its levels keep."""
        return _FLOATS_PER_LEVEL * self.num_levels * num_steps * self.hidden_dim

    def build(self, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> TCN:
        return TCN(self, rngs=rngs, dtype=dtype)


def receptive_field(kernel: int, levels: int) -> int:
    """How many steps an output sees, its own among them: two convolutions a level, of dilation 1, 2, 4, ...

    1 + 2 (kernel - 1) (2^levels - 1)
    """
    return 1 + 2 * (kernel - 1) * ((1 << levels) - 1)


class TCN(nnx.Module):
    """Bai, Kolter & Koltun 2018 (arXiv 1803.01271), as their code has it: levels of dilation 2^i, and a linear readout.

    A level, of two causal convolutions with weight normalisation (Salimans & Kingma 2016), is

        x = relu(r(x) + f(f(x)))        f(x) = drop(relu(b + sum_j w[j] x[t - (K - 1 - j) d]))
        w[j, :, o] = g[o] v[j, :, o] / |v[:, :, o]|        g starts at |v|

    where x is zero before the first step, and r is a linear map where the widths differ, else x itself.

    Differs from their code in biases, which start at zero, and in the readout, which starts as that of our other
    models. Their code asks for convolutions that start at N(0, 0.01), but that has no effect: PyTorch's `weight_norm`
    makes the weight anew from v, which keeps PyTorch's uniform numbers. So ours start uniform, and r alone at
    N(0, 0.01), as theirs do. Dropout is that of single numbers, as in the code, where the paper has whole channels.
    """

    def __init__(self, config: TCNConfig, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> None:
        self.config = config
        self.deterministic = False  # what flax's `eval` sets
        if config.num_tokens is not None:
            self.embedding = embedding(config.num_tokens, config.input_dim, rngs=rngs, dtype=dtype)
        self.levels = nnx.List(
            [
                _Level(config, config.hidden_dim if level else config.input_dim, 2**level, rngs=rngs, dtype=dtype)
                for level in range(config.num_levels)
            ]
        )
        self.readout = linear(config.hidden_dim, config.num_outputs, rngs=rngs, dtype=dtype)

    def __call__(
        self, inputs: Integer[Array, "T B"] | Float[Array, "T B D"], *, dropout_key: Array | None = None
    ) -> Float[Array, "S B C"]:
        """Logits `[T, B, C]`, or `[1, B, C]` for a readout at the last step; without a key nothing is dropped."""
        key = None if self.deterministic else dropout_key
        vectors = inputs if self.config.num_tokens is None else self.embedding(inputs)
        keys = [None] * len(self.levels) if key is None else list(jax.random.split(key, len(self.levels)))
        for level, each in zip(self.levels, keys, strict=True):
            vectors = level(vectors, each)
        return self.readout(vectors if self.config.readout == "every" else vectors[-1:])


class _Level(nnx.Module):
    """Two convolutions and what goes past them: `[T, B, D] -> [T, B, H]`."""

    def __init__(self, config: TCNConfig, input_dim: int, dilation: int, *, rngs: nnx.Rngs, dtype: DTypeLike) -> None:
        dim, self.dropout = config.hidden_dim, config.dropout
        self.convolutions = nnx.List(
            [
                CausalConv(each, dim, config.kernel, dilation, init=config.init, rngs=rngs, dtype=dtype)
                for each in (input_dim, dim)
            ]
        )
        past = None
        if input_dim != dim:
            init = nnx.initializers.normal(0.01)
            past = nnx.Linear(input_dim, dim, kernel_init=init, dtype=dtype, param_dtype=dtype, rngs=rngs)
        self.past = past

    def __call__(self, inputs: Array, key: Array | None) -> Array:
        keys = (None, None) if key is None else jax.random.split(key)
        outputs = inputs
        for convolution, each in zip(self.convolutions, keys, strict=True):
            outputs = drop(jax.nn.relu(convolution(outputs)), self.dropout, each)
        return jax.nn.relu(outputs + (inputs if self.past is None else self.past(inputs)))


class CausalConv(nnx.Module):
    """A convolution over time that sees the `kernel` steps t, t - d, t - 2d, ...: `[T, B, D] -> [T, B, H]`.

    Written out, as `nnx.Conv` has batches first, and `nnx.WeightNorm` holds scales of its own beside the kernel.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        kernel: int,
        dilation: int,
        *,
        init: Init,
        rngs: nnx.Rngs,
        dtype: DTypeLike = jnp.float32,
    ) -> None:
        self.dilation = dilation
        shape = (kernel, input_dim, output_dim)
        draw = nnx.initializers.normal(0.01) if init == "normal" else _uniform
        direction = draw(rngs.params(), shape, dtype)
        self.direction = nnx.Param(direction)
        self.scale = nnx.Param(_norm(direction))
        self.bias = nnx.Param(jnp.zeros(output_dim, dtype))

    def __call__(self, inputs: Float[Array, "T B D"]) -> Float[Array, "T B H"]:
        """Zeros stand before the first step."""
        direction = self.direction.get_value()
        weights = self.scale.get_value() * direction / _norm(direction)
        outputs = jax.lax.conv_general_dilated(
            inputs.astype(weights.dtype),
            weights,
            window_strides=(1,),
            padding=[((len(weights) - 1) * self.dilation, 0)],
            rhs_dilation=(self.dilation,),
            dimension_numbers=("WNC", "WIO", "WNC"),  # time first
        )
        return outputs + self.bias.get_value()


def _norm(direction: Array) -> Array:
    """That of the weights of each output."""
    return jnp.sqrt(jnp.sum(jnp.square(direction), axis=(0, 1)))


def _uniform(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """PyTorch's: between ± 1 over the root of the number of inputs of an output."""
    bound = math.prod(shape[:-1]) ** -0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)
