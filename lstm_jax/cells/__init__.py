"""Recurrent cells by name. To add one: a new file beside this one, and a line in `CELLS`.

A cell of your own needs no registration: `package.module:Name` is its name wherever a cell is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lstm_jax import registry

if TYPE_CHECKING:
    from lstm_jax.cells.base import Cell

CELLS: Mapping[str, str] = {
    "rnn": "lstm_jax.cells.rnn:RNN",
    "gru": "lstm_jax.cells.gru:GRU",
    "lstm": "lstm_jax.cells.lstm:LSTM",
    "coupled_lstm": "lstm_jax.cells.coupled_lstm:CoupledLSTM",
    "peephole_lstm": "lstm_jax.cells.peephole_lstm:PeepholeLSTM",
    "layer_norm_lstm": "lstm_jax.cells.layer_norm_lstm:LayerNormLSTM",
    "janet": "lstm_jax.cells.janet:Janet",
    "ugrnn": "lstm_jax.cells.ugrnn:UGRNN",
    "indrnn": "lstm_jax.cells.indrnn:IndRNN",
    "clockwork": "lstm_jax.cells.clockwork:Clockwork",
    "lem": "lstm_jax.cells.lem:LEM",
    "cornn": "lstm_jax.cells.cornn:CoRNN",
    "slstm": "lstm_jax.cells.slstm:SLSTM",
    "min_gru": "lstm_jax.cells.min_gru:MinGRU",
    "min_lstm": "lstm_jax.cells.min_lstm:MinLSTM",
    "lru": "lstm_jax.cells.lru:LRU",
    "rglru": "lstm_jax.cells.rglru:RGLRU",
}


def make_cell(text: str, hidden_dim: int, gap: int | None = None) -> Cell:
    """The cell that `text` names, `lstm@forget_bias=5` say, with `hidden_dim` units.

    `gap`, the time steps to be bridged, is passed on to a cell that has such a field, as chrono initialisation needs.
    A Flax cell (`flax.nnx:GRUCell`) is wrapped. Raises ValueError that names the field, what was given and what is
    allowed.
    """
    from lstm_jax.cells import base, flax_cell  # jax is imported where a cell is made, not where it is named

    spec = registry.parse(text)
    cls = registry.load("cell", spec.name, CELLS)
    if flax_cell.is_flax_cell(cls):
        if spec.settings:
            raise ValueError(f"cell {text!r}: a Flax cell takes no settings here; wrap it in a Cell of your own")
        return flax_cell.FlaxCell(hidden_dim=hidden_dim, cell_class=cls)
    cell: Cell = registry.construct("cell", spec, cls, base.Cell, {"hidden_dim": hidden_dim, "gap": gap})
    return cell
