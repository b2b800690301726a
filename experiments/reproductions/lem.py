"""Rusch et al. 2022: long expressive memory on the adding problem."""

from __future__ import annotations

import dataclasses

from experiments.reproductions.base import Arm, Claim, Reproduction

_OPTIONS = {
    "task": "adding",
    "gaps": (2000,),
    "cells": ("lem@dt=0.0242",),
    "hidden_dim": 128,
    "learning_rates": (0.0026,),
    "clip_norm": float("inf"),
    "batch_size": 50,
    "chunk_steps": 100,
    "eval_size": 1000,
    "seeds": (0, 1),
    "max_steps": 2000,
    "stop_when_solved": False,
}
_CLAIM = Claim(
    "LEM leaves the error of the best constant behind, and its MSE is at most twice the published one at update 1,900",
    "adding", "score", "0.0064",
    "the authors' repository tk-rusch/LEM, src/adding/results/adding_log_seqlength_2000.txt, line 20 (one run)",
    0.0, 2 * 0.0064, at=1900,
)  # fmt: skip

REPRODUCTION = Reproduction(
    name="lem",
    paper="Rusch, Mishra, Erichson & Mahoney 2022, Long expressive memory for sequence modeling, section 5",
    arms=(Arm("adding", _OPTIONS),),
    claims=(_CLAIM,),
    left_out="the spread over seeds: the log is of one run; dt = 0.0242 is the default of the code",
    differs="two biases a gate in the code, which add up, one here; their test set is drawn anew at each evaluation",
)
REDUCED = dataclasses.replace(
    REPRODUCTION,
    arms=(Arm("adding", {**_OPTIONS, "gaps": (250,), "max_steps": 2000}),),
    claims=(
        dataclasses.replace(
            _CLAIM, text="at T = 250, LEM's MSE at update 1,900 is at most twice the published one at T = 2,000"
        ),
    ),
    not_comparable="reduced: T = 250, which the paper has not, in place of 2,000",
    reduced=True,
)
