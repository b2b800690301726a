"""Models by name. To add one: a new file beside this one, and a line in `MODELS`.

A cell's name is a recurrent model of it, `transformer` is one of attention alone, `tcn` one of
convolutions. A model of your own needs no
registration: `package.module:Name` is its name wherever a cell is named. The settings of a model stand beside those of
its cell: `lstm@attention=dot`, `gru@form=encoder,init=orthogonal`, `transformer@heads=2`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from lstm_jax import registry
from lstm_jax.cells import CELLS
from lstm_jax.choices import Form, Readout
from lstm_jax.models.base import Config, Data, Pair, Sizes, Step, Writer, count_params
from lstm_jax.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from lstm_jax.models.sequence import ModelConfig, SequenceModel
from lstm_jax.models.tcn import TCN, TCNConfig
from lstm_jax.models.transformer import Transformer, TransformerConfig

__all__ = [
    "MODELS",
    "TCN",
    "Config",
    "Data",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "Form",
    "ModelConfig",
    "Pair",
    "SequenceModel",
    "Sizes",
    "Step",
    "TCNConfig",
    "Transformer",
    "TransformerConfig",
    "Writer",
    "count_params",
    "form_of",
    "make_model",
    "unit_of",
]

MODELS: Mapping[str, str] = {
    "recurrent": "lstm_jax.models.recurrent:RecurrentConfig",
    "transformer": "lstm_jax.models.transformer:TransformerConfig",
    "tcn": "lstm_jax.models.tcn:TCNConfig",
}
DEFAULT = "recurrent"
"""The model that the name of a cell stands for."""


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
    return _class_of(spec).hidden_dim_unit(spec)


def make_model(
    text: str,
    sizes: Sizes,
    *,
    form: Form,
    num_tokens: int | None,
    num_outputs: int,
    readout: Readout = "every",
    gap: int | None = None,
    num_steps: int | None = None,
) -> Config:
    """The model that `text` names, in the form that a task asks for.

    Raises ValueError that names the setting, what was given and what is allowed.
    """
    spec = registry.parse(text)
    spec = spec.with_settings(tuple(item for item in spec.settings if item[0] != "form"))
    model = _class_of(spec)
    if form not in model.forms:
        raise ValueError(
            f"model {text!r}: expected a task whose models are of the form {' or '.join(model.forms)}, got {form}"
        )
    if num_tokens is None and not model.takes_vectors:
        raise ValueError(f"model {text!r}: expected a task whose inputs are tokens, got one of vectors")
    return model.from_spec(spec, sizes, Data(form, num_tokens, num_outputs, readout, gap, num_steps))


def _class_of(spec: registry.Spec) -> type[Config]:
    """The class that a name stands for: a registered model, one of the user's own, or a recurrent one of a cell."""
    name = spec.name
    if name not in MODELS:
        found = registry.load("cell", name, CELLS)
        if isinstance(found, type) and issubclass(found, Config):
            return found
        name = DEFAULT
    model: type[Config] = registry.load("model", name, MODELS)
    return model
