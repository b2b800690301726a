"""Arora et al. 2023 (Zoology): which models fall with the number of pairs in multi-query associative recall."""

from __future__ import annotations

import dataclasses
from typing import Any

from experiments.reproductions.base import Arm, Claim, Reproduction

_SOURCE = "Arora et al. 2023, figure 2 (a plot)"
_MODELS = {"attention": "transformer", "rglru": "rglru", "min_gru": "min_gru", "gru": "gru"}


def _arms(pairs: tuple[int, ...], options: dict[str, Any]) -> tuple[Arm, ...]:
    return tuple(
        Arm(f"{name}_{number}", {**options, "cells": (cell,), "gaps": (number,)})
        for name, cell in _MODELS.items()
        for number in pairs
    )


def _claims(least: int, most: int) -> tuple[Claim, ...]:
    recurrent = [name for name in _MODELS if name != "attention"]
    return (
        Claim(f"attention recalls {most} pairs", f"attention_{most}", "best_score", "about 1", _SOURCE, 0.95, 1.0),
        *(
            Claim(f"{name} of the same width recalls fewer of {most} pairs than attention: below 0.95",
                  f"{name}_{most}", "best_score", "falls with the pairs", _SOURCE, 0.0, 0.95)
            for name in recurrent
        ),
        *(
            Claim(f"{name} recalls {least} pairs", f"{name}_{least}", "best_score",
                  "near 1 at few pairs and enough width", _SOURCE, 0.9, 1.0)
            for name in recurrent
        ),
    )  # fmt: skip


_PAPER = {
    "task": "associative_recall",
    "hidden_dim": 64,
    "embedding_dim": 64,
    "num_layers": 2,
    "learning_rates": (0.001,),
    "batch_size": 64,
    "chunk_steps": 200,
    "seeds": (0, 1),
    "max_steps": 100_000,  # 64 epochs of 100,000 sequences
}

REPRODUCTION = Reproduction(
    name="mqar",
    paper="Arora et al. 2023, Zoology: measuring and improving recall in efficient language models",
    arms=_arms((4, 16), _PAPER),
    claims=_claims(4, 16),
    left_out="a table: results are a plot over widths 64 to 512, each at the best of four learning rates",
    differs="one learning rate, 0.001, in place of the best of four; the recurrences are ours (GRU, minGRU, RG-LRU), "
    "the paper's are RWKV, H3, Hyena and RetNet, between a convolution and an MLP",
    not_comparable="its recurrences are not here",
)
REDUCED = dataclasses.replace(
    REPRODUCTION,
    arms=_arms(
        (2, 8), {**_PAPER, "task": "associative_recall@num_symbols=64,length=64", "max_steps": 3000, "batch_size": 32}
    ),
    claims=_claims(2, 8),
    not_comparable="reduced: 2 and 8 pairs of 64 tokens in 64 steps, 3,000 updates; and its recurrences are not here",
    reduced=True,
)
