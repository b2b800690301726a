"""Models by name: a cell's name is a recurrent model of it, `transformer` is one of attention alone.

What a model may be told beside the cell's own settings depends on its form, and is written as they are:
`lstm@attention=dot`, `gru@form=encoder,init=orthogonal`, `transformer@heads=2`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

from lstm_jax import registry
from lstm_jax.cells import make_cell
from lstm_jax.models.base import Config, Form, Pair, Step, Writer
from lstm_jax.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from lstm_jax.models.sequence import ModelConfig, SequenceModel, count_params
from lstm_jax.models.transformer import Transformer, TransformerConfig
from lstm_jax.scanning import Backward

__all__ = [
    "Config",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "Form",
    "ModelConfig",
    "Pair",
    "SequenceModel",
    "Sizes",
    "Step",
    "Transformer",
    "TransformerConfig",
    "Writer",
    "count_params",
    "form_of",
    "make_model",
    "unit_of",
]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a model is told by the job: widths, layers, dropout, what the backward pass keeps."""

    hidden_dim: int
    input_dim: int
    num_layers: int = 1
    dropout: float = 0.0
    backward: Backward = "autodiff"
    truncation: int | None = None


@dataclasses.dataclass(frozen=True)
class _TransformerSettings:
    heads: int = 4
    tied: bool = False


_SETTINGS: dict[str, tuple[type, tuple[str, ...]]] = {
    "sequence": (ModelConfig, ()),
    "decoder": (ModelConfig, ("tied",)),
    "encoder": (ModelConfig, ("tied",)),
    "encoder_decoder": (
        EncoderDecoderConfig,
        ("attention", "bidirectional", "reverse", "teacher_forcing", "forcing_steps", "tied"),
    ),
}
"""Of each form the config, and which of its fields a name may set."""


def form_of(text: str) -> str | None:
    """The form that a model's name asks for, `lstm@form=encoder` say, where it does; raises ValueError."""
    form = dict(registry.parse(text).settings).get("form")
    forms = get_args(Form)[1:]
    if form is not None and form not in forms:
        raise ValueError(f"model {text!r}: form: got {form!r}; {registry.nearest(form, forms)}")
    return form


def unit_of(text: str) -> int:
    """What a model's hidden_dim must be a multiple of: a Transformer's heads share it; raises ValueError."""
    spec = registry.parse(text)
    if spec.name != "transformer":
        return 1
    heads: int = registry.split(spec, _TransformerSettings, ("heads",))[0].get("heads", _TransformerSettings.heads)
    return max(1, heads)


def make_model(
    text: str,
    sizes: Sizes,
    *,
    form: Form,
    num_tokens: int,
    num_outputs: int,
    readout: Literal["every", "last"] = "every",
    gap: int | None = None,
) -> Config:
    """The model that `text` names, in the form that a task asks for.

    Raises ValueError that names the setting, what was given and what is allowed.
    """
    spec = registry.parse(text)
    spec = dataclasses.replace(spec, settings=tuple(item for item in spec.settings if item[0] != "form"))
    tokens: dict[str, Any] = {"num_tokens": num_tokens, "num_outputs": num_outputs}
    if spec.name == "transformer":
        if form == "sequence":
            raise ValueError("model 'transformer': expected a cell, since this task's models are recurrent")
        settings = registry.construct("model", spec, _TransformerSettings, _TransformerSettings, {})
        if settings.heads < 1:
            raise ValueError(f"model {text!r}: heads: expected at least 1, got {settings.heads}")
        if sizes.truncation is not None:
            raise ValueError(f"model {text!r}: expected no truncation, since there is no recurrence")
        if sizes.hidden_dim % settings.heads:
            raise ValueError(
                f"model {text!r}: expected a hidden_dim that is a multiple of {settings.heads} heads, got "
                f"{sizes.hidden_dim}"
            )
        return TransformerConfig(
            form=form,
            num_layers=sizes.num_layers,
            model_dim=sizes.hidden_dim,
            num_heads=settings.heads,
            tied=settings.tied,
            dropout=sizes.dropout,
            **tokens,
        )
    own, spec = registry.split(spec, *_SETTINGS[form])
    cell = make_cell(str(spec), sizes.hidden_dim, gap)
    shared: dict[str, Any] = {
        "cells": (cell,) * sizes.num_layers,
        "input_dim": sizes.input_dim,
        "dropout": sizes.dropout,
        "backward": sizes.backward,
        "truncation": sizes.truncation,
        **tokens,
    }
    if form == "encoder_decoder":
        return EncoderDecoderConfig(**shared, **own)
    if form == "sequence":
        return ModelConfig(**shared, readout=readout)
    return ModelConfig(**shared, **own, bidirectional=form == "encoder")
