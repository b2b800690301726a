"""How far back can a recurrent network learn to look, and why does it stop?

The names in `__all__` are public, and described in docs/api.md; everything else may change. Each is imported when it is
first used: `import lstm_jax` itself loads nothing, so that `--help`, analysis and plots work without jax.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "Stack", "Sweep", "load", "scan"]

if TYPE_CHECKING:
    from lstm_jax.api import Sweep, load
    from lstm_jax.cells.gru import GRU
    from lstm_jax.cells.lstm import LSTM
    from lstm_jax.cells.rnn import RNN
    from lstm_jax.layers import Recurrent, Stack
    from lstm_jax.scan import scan
else:  # type checkers would take any name for one of ours if they saw `__getattr__`
    _HOMES = {
        "GRU": "lstm_jax.cells.gru",
        "LSTM": "lstm_jax.cells.lstm",
        "RNN": "lstm_jax.cells.rnn",
        "Recurrent": "lstm_jax.layers",
        "Stack": "lstm_jax.layers",
        "Sweep": "lstm_jax.api",
        "load": "lstm_jax.api",
        "scan": "lstm_jax.scan",
    }

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(_HOMES[name])
        value = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)  # see the end of scan.py
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
