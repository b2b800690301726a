"""Published results to run again: one file each, and one line here. No jax.

A file holds a `REPRODUCTION`: the settings as published, what was published with its source, and the rule of the
verdict. `REDUCED` beside it, where there is one, is a form that two cores reach.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from experiments.reproductions.base import Reproduction
from lstm_jax.errors import ConfigError
from lstm_jax.registry import nearest

REPRODUCTIONS = {
    "lem": "experiments.reproductions.lem",
    "chrono": "experiments.reproductions.chrono",
    "tcn": "experiments.reproductions.tcn",
    "hochreiter": "experiments.reproductions.hochreiter",
    "indrnn": "experiments.reproductions.indrnn",
    "jozefowicz": "experiments.reproductions.jozefowicz",
    "mnist": "experiments.reproductions.mnist",
    "mqar": "experiments.reproductions.mqar",
    "min_rnn": "experiments.reproductions.min_rnn",
}


def load(name: str, reduced: bool = False) -> Reproduction:
    """The reproduction of that name; raises ConfigError for another name, or one without a reduced form."""
    if name not in REPRODUCTIONS:
        raise ConfigError(f"unknown reproduction {name!r}: {nearest(name, list(REPRODUCTIONS))}")
    found = getattr(importlib.import_module(REPRODUCTIONS[name]), "REDUCED" if reduced else "REPRODUCTION", None)
    if found is None:
        raise ConfigError(f"reduced: {name} has no reduced form; expected its own settings, without --reduced")
    assert isinstance(found, Reproduction)
    return found


def forms(name: str) -> Iterator[Reproduction]:
    """The comparison of that name as published, then reduced, if it has such a form."""
    yield load(name)
    if hasattr(importlib.import_module(REPRODUCTIONS[name]), "REDUCED"):
        yield load(name, reduced=True)
