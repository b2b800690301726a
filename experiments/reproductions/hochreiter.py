"""Hochreiter & Schmidhuber 1997: the adding problem and temporal order, an update a sequence."""

from __future__ import annotations

from experiments.reproductions.base import Arm, Claim, Reproduction

_ORIGINAL = "experiments.reproductions.original_lstm"
_SHARED = {
    "learning_rates": (0.5,),
    "optimizer": "sgd",
    "clip_norm": float("inf"),
    "batch_size": 1,
    "chunk_steps": 1000,
    "eval_size": 2000,
    "hidden_dim": 4,
    "gaps": (100,),
    "seeds": (0, 1, 2, 3, 4),
    "max_steps": 150_000,
}
_SOURCE = "Hochreiter & Schmidhuber 1997, "

REPRODUCTION = Reproduction(
    name="hochreiter",
    paper="Hochreiter & Schmidhuber 1997, Long short-term memory, experiments 4 and 6a",
    arms=(
        Arm(
            "adding",
            {
                **_SHARED,
                "task": f"{_ORIGINAL}:SigmoidAdding@markers=hochreiter",
                "cells": (f"{_ORIGINAL}:MemoryBlocks@first_bias=-3",),
            },
        ),
        Arm(
            "order",
            {**_SHARED, "task": f"{_ORIGINAL}:SigmoidOrder", "cells": (f"{_ORIGINAL}:MemoryBlocks@first_bias=-2",)},
        ),
    ),
    claims=(
        Claim(
            "the adding problem, T = 100, is solved within twice the published number of sequences",
            "adding", "solved_step", "74,000 sequences", _SOURCE + "table 7, mean of 10 trials", 0.0, 148_000,
        ),
        Claim(
            "temporal order, two symbols, T = 100, is solved within twice the published number of sequences",
            "order", "solved_step", "31,390 sequences", _SOURCE + "table 9, mean of 20 trials", 0.0, 62_780,
        ),
    ),
    left_out="how long a trial that fails was given: 150,000 sequences here",
    differs="gradients are whole, the paper's are cut at the gates; solved is an error of 1% of chance (adding) or 99% "
    "of sequences right (order) in three evaluations of 2,000 held-out sequences, in the paper all of the last 2,000 "
    "training sequences right",
)  # fmt: skip
