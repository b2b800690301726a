"""Recurrent models: a cell's name is a model of its layers, in the form that the task asks for.

Settings of the model stand beside those of the cell: `lstm@attention=dot,forget_bias=5`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from lstm_jax import registry
from lstm_jax.cells import make_cell
from lstm_jax.cells.base import Cell
from lstm_jax.choices import Form
from lstm_jax.models.base import Config, Data, Sizes

_SEQUENCE = "lstm_jax.models.sequence:ModelConfig"
FORMS: Mapping[Form, tuple[str, tuple[str, ...]]] = {
    "sequence": (_SEQUENCE, ()),
    "decoder": (_SEQUENCE, ("tied",)),
    "encoder": (_SEQUENCE, ("tied",)),
    "encoder_decoder": (
        "lstm_jax.models.encoder_decoder:EncoderDecoderConfig",
        (
            *("attention", "bidirectional", "reverse", "teacher_forcing", "forcing_steps", "tied"),
            *("label_smoothing", "average"),
        ),
    ),
}
"""The config of each form, and those of its fields that a name may set."""


@dataclasses.dataclass(frozen=True)
class RecurrentConfig(Config):
    """The static description of a model of recurrent layers, one cell per layer."""

    takes_vectors: ClassVar[bool] = True
    cells: tuple[Cell, ...]
    input_dim: int
    num_outputs: int

    @property
    def initial_forget_bias(self) -> float | None:
        return self.cells[0].initial_forget_bias

    @classmethod
    def from_spec(cls, spec: registry.Spec, sizes: Sizes, data: Data) -> Config:
        """The recurrent model of the cell that `spec` names."""
        target, settings = FORMS[data.form]
        config_class: type[RecurrentConfig] = registry.load("model", data.form, {data.form: target})
        own, spec = registry.split("model", spec, config_class, settings)
        values: dict[str, Any] = {
            "cells": (make_cell(spec, sizes.hidden_dim, data.gap),) * sizes.num_layers,
            "bidirectional": data.form == "encoder",
            **vars(sizes),
            **vars(data),
            **own,
        }
        return config_class(
            **{name: value for name, value in values.items() if name in registry.fields_of(config_class)}
        )
