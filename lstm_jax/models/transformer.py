"""Small Transformers in the three shapes of a language model, to be compared with recurrent ones on one text."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int32, Integer

from lstm_jax import registry
from lstm_jax.choices import Form, Readout
from lstm_jax.layers import drop
from lstm_jax.models.attention import KeysValues
from lstm_jax.models.base import Config, Data, Pair, Sizes, Step, is_token
from lstm_jax.models.common import TiedReadout, entry, linear
from lstm_jax.models.multi_head import MultiHeadAttention, positions

DEFAULT_HEADS = 4


@dataclasses.dataclass(frozen=True)
class TransformerConfig(Config):
    """The static description of a `Transformer`: hashable, so it can key a compiled program.

    `num_tokens` is the size of the vocabulary that is read; None, in the form `sequence`, for real-valued inputs, whose
    width is then `input_dim`. `num_outputs` is that of the readout; an encoder-decoder reads the prefix in the latter.
    `num_layers` is that of the encoder and of the decoder, each. `dropout` is the rate at embeddings and at what each
    part of a layer adds (Vaswani et al. 2017, section 5.4). A `tied` readout shares the embedding of the text that it
    writes.
    """

    forms: ClassVar[tuple[Form, ...]] = ("decoder", "encoder", "encoder_decoder", "sequence")
    takes_vectors: ClassVar[bool] = True
    form: Form
    num_layers: int
    model_dim: int = dataclasses.field(metadata={"setting": "hidden_dim"})
    num_heads: int = dataclasses.field(metadata={"setting": "heads"})
    num_tokens: int | None
    num_outputs: int
    dropout: float = 0.0
    tied: bool = False
    readout: Readout = dataclasses.field(default="every", metadata={"before": "every"})
    input_dim: int | None = dataclasses.field(default=None, metadata={"before": None})

    def __post_init__(self) -> None:
        if self.num_tokens is None and (self.form != "sequence" or self.input_dim is None):
            raise ValueError(f"num_tokens: expected a number for the form {self.form}, got None")
        if self.num_layers < 1:
            raise ValueError(f"num_layers: expected at least one, got {self.num_layers}")
        if self.num_heads < 1 or self.model_dim % self.num_heads:
            raise ValueError(f"num_heads: expected a divisor of {self.model_dim} (model_dim), got {self.num_heads}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout: expected a rate in [0, 1), got {self.dropout}")
        if self.tied and self.form != "encoder_decoder" and self.num_tokens != self.num_outputs:
            raise ValueError(f"tied: expected as many outputs as tokens, got {self.num_outputs}, {self.num_tokens}")

    @classmethod
    def from_spec(cls, spec: registry.Spec, sizes: Sizes, data: Data) -> Config:
        """The Transformer that `spec` names, of 4 heads where it names no number."""
        heads = cls._heads(spec)
        if heads < 1:
            raise ValueError(f"model {spec!r}: heads: expected at least 1, got {heads}")
        if sizes.hidden_dim % heads:
            raise ValueError(
                f"model {spec!r}: expected a hidden_dim that is a multiple of {heads} heads, got {sizes.hidden_dim}"
            )
        if "heads" not in dict(spec.settings):
            spec = spec.with_settings((*spec.settings, ("heads", str(heads))))
        config = super().from_spec(spec, sizes, data)
        # Tokens are embedded in the width of the model: the other options' width is not theirs.
        assert isinstance(config, TransformerConfig)
        return config if data.num_tokens is None else dataclasses.replace(config, input_dim=None)

    @classmethod
    def hidden_dim_unit(cls, spec: registry.Spec) -> int:
        """The number of heads, which share it."""
        return max(1, cls._heads(spec))

    @classmethod
    def _heads(cls, spec: registry.Spec) -> int:
        heads: int = registry.split("model", spec, cls, ("heads",))[0].get("num_heads", DEFAULT_HEADS)
        return heads

    def attention_floats(self, num_steps: int) -> int:
        """Scores and weights of every head."""
        return 3 * self.num_layers * self.num_heads * num_steps**2

    def build(self, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> Transformer:
        return Transformer(self, rngs=rngs, dtype=dtype)


class Prefixes(NamedTuple):
    """What each layer reads of the tokens so far, with room for `max_steps`, and the index of the next."""

    prefixes: tuple[KeysValues, ...]
    position: Int32[Array, " B"]


class Transformer(nnx.Module):
    """Vaswani et al. 2017, with layer norm before each part of a layer and after the last (Xiong et al. 2020).

    - decoder: tokens [T, B] -> logits of the next token [T, B, C], each from the tokens up to its own;
    - encoder: tokens [T, B] -> logits at every token [T, B, C], each from all tokens;
    - encoder_decoder: Pair -> logits of the target's tokens [S, B, C], each from the prefix and the source;
    - sequence: the decoder, as a reference beside recurrent models; its `readout` may be at the last step alone, its
      inputs vectors [T, B, D], of which a linear map takes the place of the embedding.

    Padding of a source, or of what an encoder reads, is never attended to. Differs from the paper in its GELU, too
    (Hendrycks & Gimpel 2016).
    """

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32) -> None:
        self.config, self.dtype = config, dtype
        self.deterministic = False  # what flax's `eval` sets
        make: dict[str, Any] = {"rngs": rngs, "dtype": dtype}
        reads_source = config.form == "encoder_decoder"
        encoder = decoder = None
        if config.form in ("encoder", "encoder_decoder"):
            encoder = last = _Layers(config, config.num_tokens, tied=config.tied and not reads_source, **make)
        if config.form != "encoder":
            num_tokens = config.num_outputs if reads_source else config.num_tokens
            decoder = last = _Layers(config, num_tokens, tied=config.tied, reads_source=reads_source, **make)
        self.encoder, self.decoder = encoder, decoder
        self.readout: nnx.Linear | TiedReadout
        if config.tied:
            assert isinstance(last.embedding, nnx.Embed)
            self.readout = TiedReadout(config.model_dim, last.embedding, **make)
        else:
            self.readout = linear(config.model_dim, config.num_outputs, **make)

    def __call__(
        self, inputs: Integer[Array, "T B"] | Float[Array, "T B D"] | Pair, *, dropout_key: Array | None = None
    ) -> Float[Array, "S B C"]:
        """Logits at every position, those of padding included; without a key nothing is dropped."""
        outputs = self._outputs(inputs, dropout_key)
        return self.readout(outputs if self.config.readout == "every" else outputs[-1:])

    def at(self, inputs: Integer[Array, "T B"] | Pair, index: int) -> Float[Array, "B C"]:
        """The logits of one position alone, which may be -1 for the last."""
        return self.readout(self._outputs(inputs, None)[index])

    def begin(
        self, source: Integer[Array, "T B"] | None, batch_size: int, max_steps: int
    ) -> tuple[tuple[KeysValues, ...], Prefixes]:
        """Read the source, if there is one: see `models.base.Writer`; ValueError of an encoder, which can't write."""
        if self.decoder is None:
            raise ValueError("form: expected one that writes (decoder, encoder_decoder), got encoder")
        room = jnp.zeros((batch_size, max_steps, self.config.model_dim), self.dtype)
        state = Prefixes((KeysValues(room, room),) * self.config.num_layers, jnp.zeros(batch_size, jnp.int32))
        if self.encoder is None:
            return (), state
        assert source is not None, "encoder_decoder: expected a source"
        return self._project_source(source, None), state

    def step(self, memory: tuple[KeysValues, ...], state: Prefixes, tokens: Integer[Array, " B"]) -> Step:
        """One token more, `max_steps` at most; the alignment is the mean over the heads of the last layer."""
        assert self.decoder is not None
        outputs, prefixes, weights = self.decoder(tokens[None], memory=memory or None, state=state)
        alignment = None if weights is None else weights.mean(axis=1)[:, 0]
        return Step(Prefixes(prefixes, state.position + 1), self.readout(outputs[0]), alignment)

    def _project_source(self, source: Array, key: Array | None) -> tuple[KeysValues, ...]:
        assert self.encoder is not None and self.decoder is not None
        is_word = is_token(source).T
        outputs = self.encoder(source, is_word=is_word, key=key)[0]
        return self.decoder.project_memory(outputs, is_word)

    def _outputs(self, inputs: Array | Pair, key: Array | None) -> Array:
        key = None if self.deterministic else key
        if isinstance(inputs, Pair):
            assert self.decoder is not None
            keys = (None, None) if key is None else jax.random.split(key)
            return self.decoder(inputs.prefix, memory=self._project_source(inputs.source, keys[0]), key=keys[1])[0]
        if self.decoder is not None:
            return self.decoder(inputs, key=key)[0]
        assert self.encoder is not None
        return self.encoder(inputs, is_word=is_token(inputs).T, key=key)[0]


class _Layers(nnx.Module):
    """Embedding and positions, layers, a last norm: `tokens [T, B] -> outputs [T, B, D]`."""

    def __init__(
        self,
        config: TransformerConfig,
        num_tokens: int | None,
        *,
        tied: bool,
        reads_source: bool = False,
        rngs: nnx.Rngs,
        dtype: DTypeLike,
    ) -> None:
        self.dropout, dim = config.dropout, config.model_dim
        # Tied tables start at N(0, 1/D), of which the square root of D makes N(0, 1) (Vaswani et al. 2017, 3.4).
        self.scale = dim**0.5 if tied else 1.0
        self.embedding = entry(num_tokens, config.input_dim, dim, tied=tied, rngs=rngs, dtype=dtype)
        self.layers = nnx.List(
            [
                _Layer(dim, config.num_heads, config.dropout, reads_source=reads_source, rngs=rngs, dtype=dtype)
                for _ in range(config.num_layers)
            ]
        )
        self.norm = nnx.LayerNorm(dim, dtype=dtype, param_dtype=dtype, rngs=rngs)

    def project_memory(self, source: Array, is_word: Array) -> tuple[KeysValues, ...]:
        """Keys and values of each layer, of a source's vectors [T, B, D]."""
        attentions = (layer.source_attention for layer in self.layers)
        return tuple(attention.project_memory(source, is_word) for attention in attentions if attention is not None)

    def __call__(
        self,
        tokens: Array,
        *,
        is_word: Array | None = None,
        memory: tuple[KeysValues, ...] | None = None,
        state: Prefixes | None = None,
        key: Array | None = None,
    ) -> tuple[Array, tuple[KeysValues, ...], Array | None]:
        """Every token sees all words where `is_word` tells them, else itself and those before.

        With a `state` there is one token, and those before are in the state. Returns outputs [T, B, D], what each layer
        read of the tokens, and how the last one looked at the source, [B, heads, T, source's T], if there is one.
        """
        if state is None:
            index = jnp.arange(len(tokens))[:, None]
            visible = index >= index.T if is_word is None else is_word[:, None, None]
        else:
            index = state.position[None]
            room = jnp.arange(state.prefixes[0].keys.shape[1], dtype=index.dtype)
            visible = (room <= index.T)[:, None, None]
        keys = [None] * (1 + len(self.layers)) if key is None else list(jax.random.split(key, 1 + len(self.layers)))
        vectors = self.embedding(tokens) * self.scale
        vectors = drop(vectors + positions(index, vectors.shape[-1], vectors.dtype), self.dropout, keys[0])
        reads, weights = [], None
        for number, layer in enumerate(self.layers):
            source = None if memory is None else memory[number]
            before = None if state is None else (state.prefixes[number], state.position)
            vectors, read, weights = layer(vectors, visible, source=source, before=before, key=keys[1 + number])
            reads.append(read)
        return self.norm(vectors), tuple(reads), weights


class _Layer(nnx.Module):
    """`x + drop(part(norm(x)))` for each part: self-attention, attention to a source where there is one, and an MLP."""

    def __init__(
        self, dim: int, num_heads: int, dropout: float, *, reads_source: bool, rngs: nnx.Rngs, dtype: DTypeLike
    ) -> None:
        self.dropout = dropout
        make: dict[str, Any] = {"rngs": rngs, "dtype": dtype}
        self.norms = nnx.List([nnx.LayerNorm(dim, param_dtype=dtype, **make) for _ in range(2 + reads_source)])
        self.self_attention = MultiHeadAttention(dim, num_heads, **make)
        self.source_attention = MultiHeadAttention(dim, num_heads, **make) if reads_source else None
        self.widen, self.narrow = linear(dim, 4 * dim, **make), linear(4 * dim, dim, **make)

    def __call__(
        self,
        inputs: Array,
        visible: Array,
        source: KeysValues | None,
        before: tuple[KeysValues, Array] | None,
        key: Array | None,
    ) -> tuple[Array, KeysValues, Array | None]:
        keys = [None] * 3 if key is None else list(jax.random.split(key, 3))
        normed, weights = self.norms[0](inputs), None
        read = self.self_attention.project_memory(normed)
        if before is not None:
            rows = jnp.arange(inputs.shape[1])
            read = jax.tree.map(lambda old, new: old.at[rows, before[1]].set(new[:, 0]), before[0], read)
        inputs = inputs + drop(self.self_attention(normed, memory=read, visible=visible)[0], self.dropout, keys[0])
        if self.source_attention is not None:
            assert source is not None and source.mask is not None, "encoder_decoder: expected a Pair"
            found, weights = self.source_attention(self.norms[1](inputs), source, source.mask[:, None, None])
            inputs = inputs + drop(found, self.dropout, keys[1])
        outputs = self.narrow(jax.nn.gelu(self.widen(self.norms[-1](inputs))))
        return inputs + drop(outputs, self.dropout, keys[2]), read, weights
