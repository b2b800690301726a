"""Work that is recorded as it ends."""

from __future__ import annotations

import dataclasses
import json

import pytest

from experiments import recorded
from experiments.recorded import all_of, identified, record_name
from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.plan import sized
from lstm_jax.terminal import make_console


@dataclasses.dataclass(frozen=True)
class Doubling:
    """A piece whose result is known."""

    number: int
    weight: float = 1.0

    @property
    def name(self):
        return f"piece{self.number}"


def double(piece):
    if piece.number < 0:
        raise ZeroDivisionError("less than nothing")
    return {"doubled": 2 * piece.number}


def test_what_is_recorded_is_not_done_again_and_what_was_cut_short_is(tmp_path):
    (tmp_path / "piece1.json").write_text(json.dumps({"doubled": "by hand"}))
    (tmp_path / "piece2.json").write_text('{"doubl')
    pieces = [Doubling(1), Doubling(2), Doubling(3)]
    found = all_of(pieces, double, tmp_path, 1, make_console(), "numbers doubled")
    assert found == [{"doubled": "by hand"}, {"doubled": 4}, {"doubled": 6}]


def test_a_piece_that_fails_is_named_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match="piece-1: ZeroDivisionError: less than nothing"):
        all_of([Doubling(-1)], double, tmp_path, 1, make_console(), "numbers doubled")


def test_a_record_belongs_to_the_code_that_made_it(monkeypatch):
    config = SweepConfig.of(cells=("own_cells:Leaky",), gaps=(2,), hidden_dim=4)
    settings = sized(config, "own_cells:Leaky", 2)
    assert settings.code == "" and identified(settings).code
    before = record_name("a", [1])
    assert before == record_name("a", [1]) != record_name("a", [2])
    monkeypatch.setattr(recorded, "folder_digest", lambda name: "edited")
    assert record_name("a", [1]) != before
