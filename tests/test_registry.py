"""Names and settings as text: what is read, what it makes, and how what is wrong is answered."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Literal

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_jax import registry
from lstm_jax.cells import CELLS, make_cell
from lstm_jax.cells.gru import GRU
from lstm_jax.cells.lstm import LSTM
from lstm_jax.cells.rnn import RNN
from lstm_jax.registry import Spec, nearest


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("lstm", Spec("lstm")),
        ("  lstm ", Spec("lstm")),
        ("lstm@forget_bias=5", Spec("lstm", (("forget_bias", "5"),))),
        ("lstm@ forget_bias = 5 , init=orthogonal", Spec("lstm", (("forget_bias", "5"), ("init", "orthogonal")))),
        ("my.cells:Own@a=b=c", Spec("my.cells:Own", (("a", "b=c"),))),
    ],
)
def test_parse(text, spec):
    assert registry.parse(text) == spec
    assert registry.parse(str(spec)) == spec


_WORD = st.from_regex(r"[A-Za-z_][\w.:+-]{0,8}", fullmatch=True)


@given(_WORD, st.dictionaries(_WORD, _WORD, max_size=4))
def test_label_round_trip(name, settings):
    """A label is read back as what it labels, and labels differ where specs do."""
    spec = Spec(name, tuple(settings.items()))
    assert registry.parse(str(spec)) == spec


@pytest.mark.parametrize(
    "text", ["", "  ", "@a=1", "lstm@", "lstm@forget_bias", "lstm@=5", "lstm@forget_bias=", "lstm@a=1,"]
)
def test_parse_says_what_the_form_is(text):
    with pytest.raises(ValueError, match=r"expected name, name@field=value or package\.module:Name@field=value"):
        registry.parse(text)


def test_a_field_twice():
    with pytest.raises(ValueError, match=r"'lstm@a=1,a=2': a field is set twice"):
        registry.parse("lstm@a=1,a=2")


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("5", int, 5),
        ("-5", int, -5),
        ("5", float, 5.0),
        ("1e-3", float, 0.001),
        ("true", bool, True),
        ("False", bool, False),
        ("5", str, "5"),
        ("before", Literal["after", "before"], "before"),
        ("2", Literal[1, 2], 2),
        ("7", int | None, 7),
        ("None", int | None, None),
        ("none", "Optional", None),
    ],
)
def test_parse_value(text, hint, value):
    from typing import Optional

    hint = Optional[float] if hint == "Optional" else hint  # noqa: UP045 - the older spelling is what is tested
    result = registry.parse_value(text, hint)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "hint", "message"),
    [
        ("5.5", int, "got '5.5'; expected a whole number"),
        ("five", float, "got 'five'; expected a number"),
        ("nan", float, "got 'nan'; expected a finite number"),
        ("-inf", float, "got '-inf'; expected a finite number"),
        ("1", bool, "got '1'; expected true or false"),
        ("befor", Literal["after", "before"], "got 'befor'; did you mean 'before'? choose from after, before"),
        ("1", list, "a field of type <class 'list'> can't be set by text"),
        ("x", int | None, "got 'x'; expected a whole number"),
    ],
)
def test_parse_value_says_what_is_allowed(text, hint, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        registry.parse_value(text, hint)


# Cells by name


@pytest.mark.parametrize("name", CELLS)
def test_registered_names_are_cells_with_defaults(name):
    cls = registry.load("cell", name, CELLS)
    assert f"{cls.__module__}:{cls.__name__}" == CELLS[name]
    assert make_cell(name, 6) == cls(6)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("rnn@init=orthogonal", RNN(6, initialization="orthogonal")),
        ("gru@reset=before,update_bias=-1", GRU(6, reset="before", update_bias=-1.0, gap=40)),
        ("lstm@forget_bias=5", LSTM(6, forget_bias=5.0, gap=40)),
        ("lstm@chrono=true,init=orthogonal", LSTM(6, chrono=True, initialization="orthogonal", gap=40)),
        ("lstm_jax.cells.lstm:LSTM@forget_bias=5", LSTM(6, forget_bias=5.0, gap=40)),
    ],
)
def test_settings(text, cell):
    """The gap goes to the cells that have a field for it."""
    assert make_cell(text, 6, gap=40) == cell


def test_chrono_is_told_the_gap():
    bias = make_cell("lstm@chrono=true", 25, gap=10).init(jax.random.key(0), 40).bias
    assert math.log(8) < float(bias[25:50].max()) <= math.log(9)  # of 25 draws from log U(1, 9)


A_CELL = "expected a dataclass derived from lstm_jax.cells.base.Cell"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "ltsm",
            "unknown cell 'ltsm': did you mean 'lstm'? choose from rnn, gru, lstm, coupled_lstm, ",
        ),
        (
            "transformer",
            f"ugrnn, ... ({len(CELLS)} in all), or package.module:Name of your own",
        ),
        (
            "lstm@forgetbias=5",
            "unknown setting 'forgetbias'; did you mean 'forget_bias'? choose from init, forget_bias",
        ),
        ("rnn@forget_bias=5", "cell 'rnn@forget_bias=5': unknown setting 'forget_bias'; choose from init"),
        ("lstm@initialization=uniform", "unknown setting 'initialization'"),
        ("lstm@init=zeros", "cell 'lstm@init=zeros': init: got 'zeros'; choose from uniform, orthogonal"),
        ("lstm@forget_bias=high", "cell 'lstm@forget_bias=high': forget_bias: got 'high'; expected a number"),
        ("lstm@forget_bias=inf", "forget_bias: got 'inf'; expected a finite number"),
        ("lstm@chrono=yes", "cell 'lstm@chrono=yes': chrono: got 'yes'; expected true or false"),
        ("lstm@chrono=true,forget_bias=5", "chrono=true draws the forget bias: leave out forget_bias"),
        ("lstm@hidden_dim=5", "hidden_dim is set by the experiment's own option, not here"),
        ("lstm@gap=5", "gap is set by the experiment's own option, not here"),
        (
            "no_such_module:Cell",
            "can't import 'no_such_module' (ModuleNotFoundError: No module named 'no_such_module')",
        ),
        ("own_cells:Normalized", "own_cells has no 'Normalized'; did you mean 'Normalised'?"),
        (
            "__main__:Mine",
            "expected it in a module: put it into a file beside this one, own.py say, and name it own:Mine",
        ),
        ("own_cells:", "own_cells has no ''; expected package.module:Name of a cell"),
        ("own_cells:NotACell", f"cell 'own_cells:NotACell': {A_CELL}, got <class 'own_cells.NotACell'>"),
        ("own_cells:NotEvenNearly", f"cell 'own_cells:NotEvenNearly': {A_CELL}, got <class"),
        ("own_cells:Normalised@gain=a", "cell 'own_cells:Normalised@gain=a': gain: got 'a'; expected a number"),
        ("math:pi", f"cell 'math:pi': {A_CELL}, got 3.14"),
    ],
)
def test_what_is_wrong_is_named(text, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        make_cell(text, 6, gap=40)
    assert "\n" not in str(error.value)


def test_hidden_dim_is_checked():
    with pytest.raises(ValueError, match=r"cell 'lstm': hidden_dim: expected at least 1, got 0"):
        make_cell("lstm", 0)


def test_own_module_that_fails(tmp_path, monkeypatch):
    """Whatever an own module raises is part of one line."""
    (tmp_path / "broken_cells.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ValueError, match=r"can't import 'broken_cells' \(RuntimeError: no licence\); is it on PYTHONPATH"
    ):
        make_cell("broken_cells:Cell", 6)


def test_own_module_on_the_path(tmp_path, monkeypatch):
    """A class of a file beside the command is all that a cell needs."""
    (tmp_path / "fresh_cells.py").write_text(
        "import dataclasses\n"
        "from lstm_jax.cells.rnn import RNN\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Own(RNN):\n"
        "    leak: float = 0.5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cell = make_cell("fresh_cells:Own@leak=0.25,init=orthogonal", 6, gap=3)
    own = {"hidden_dim": 6, "initialization": "orthogonal", "activation": "tanh", "leak": 0.25}
    assert dataclasses.asdict(cell) == own


def test_construct_without_settings():
    """A class whose every field is told says so."""

    @dataclasses.dataclass(frozen=True)
    class Fixed:
        gap: int

    assert registry.construct("task", Spec("fixed"), Fixed, Fixed, {"gap": 3, "other": 1}) == Fixed(3)
    with pytest.raises(ValueError, match=r"task 'fixed@size=1': unknown setting 'size'; it has no settings"):
        registry.construct("task", Spec("fixed", (("size", "1"),)), Fixed, Fixed, {"gap": 3})


def test_of_many_choices_only_the_nearest_are_told():
    many = [f"choice{number}" for number in range(30)]
    assert nearest("choice7", many, "--help lists all") == "did you mean 'choice7'? --help lists all"
    assert nearest("x", many[:8]) == f"choose from {', '.join(many[:8])}"
    assert nearest("x", many) == f"choose from {', '.join(many[:8])}, ... (30 in all)"
