"""Feng et al. 2024: minGRU and minLSTM on selective copying, by number of layers."""

from __future__ import annotations

import dataclasses
from typing import Any

from experiments.reproductions.base import Arm, Claim, Reproduction

_SOURCE = "Feng et al. 2024, table 1 (mean of 5 seeds)"
_PUBLISHED = {
    ("min_lstm", 1): 0.377,
    ("min_lstm", 2): 0.857,
    ("min_lstm", 3): 0.960,
    ("min_gru", 1): 0.370,
    ("min_gru", 2): 0.968,
    ("min_gru", 3): 0.995,
}
_OPTIONS = {
    "task": "selective_copy",
    "gaps": (4096,),
    "hidden_dim": 64,
    "embedding_dim": 64,
    "learning_rates": (0.0003,),
    "batch_size": 64,
    "chunk_steps": 200,
    "seeds": (0, 1),
    "max_steps": 400_000,
    "backward": "parallel",
}


def _arms(**options: Any) -> tuple[Arm, ...]:
    return tuple(
        Arm(f"{cell}_{layers}", {**_OPTIONS, "cells": (cell,), "num_layers": layers, **options})
        for cell, layers in _PUBLISHED
    )


REPRODUCTION = Reproduction(
    name="min_rnn",
    paper="Feng, Tung, Ahmed, Bengio & Hajimirsadeghi 2024, Were RNNs all we needed?",
    arms=_arms(),
    claims=tuple(
        Claim(f"{cell} with {layers} layers: accuracy within 0.1 of the published one", f"{cell}_{layers}",
              "best_score", f"{share:.3f}", _SOURCE, share - 0.1, share + 0.1)
        for (cell, layers), share in _PUBLISHED.items()
    ),
    left_out="whether accuracy is the last or the best one: the best here",
    differs="bare layers here; the paper has blocks with dropout around its own, and expands their width",
    not_comparable="the paper's blocks around each layer are not here",
)  # fmt: skip
REDUCED = dataclasses.replace(
    REPRODUCTION,
    arms=_arms(task="selective_copy@num_recalled=4", gaps=(32,), max_steps=3000, learning_rates=(0.003,)),
    claims=(
        *(
            Claim(f"{cell} with 1 layer can't copy selectively: at most 0.9", f"{cell}_1", "best_score",
                  f"{_PUBLISHED[cell, 1]:.3f}", _SOURCE, 0.0, 0.9)
            for cell in ("min_lstm", "min_gru")
        ),
        *(
            Claim(f"{cell} with 3 layers does: at least 0.9", f"{cell}_3", "best_score", f"{_PUBLISHED[cell, 3]:.3f}",
                  _SOURCE, 0.9, 1.0)
            for cell in ("min_lstm", "min_gru")
        ),
    ),
    not_comparable="reduced: 4 symbols among 32 blanks in place of 16 among 4,096, 3,000 updates at a rate of 0.003; "
    "and the paper's blocks around each layer are not here",
    reduced=True,
)  # fmt: skip
