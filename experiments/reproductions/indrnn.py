"""Li et al. 2018: independently recurrent networks on the adding problem."""

from __future__ import annotations

from experiments.reproductions.base import Arm, Claim, Reproduction

_BUDGET = 10_000
_SHARED = {
    "task": "adding",
    "gaps": (100,),
    "hidden_dim": 128,
    "batch_size": 50,
    "chunk_steps": 200,
    "eval_size": 1000,
    "clip_norm": float("inf"),
    "seeds": (0, 1),
    "max_steps": _BUDGET,
}
_SOURCE = "Li et al. 2018, section 5.1 and figure 2 (plots)"

REPRODUCTION = Reproduction(
    name="indrnn",
    paper="Li, Li, Cook, Zhu & Gao 2018, Independently recurrent neural network (IndRNN), T = 100",
    arms=(
        Arm("indrnn", {**_SHARED, "cells": ("indrnn",), "num_layers": 2, "learning_rates": (0.0002,)}),
        Arm("lstm", {**_SHARED, "cells": ("lstm",), "learning_rates": (0.002,)}),
        Arm("rnn", {**_SHARED, "cells": ("rnn",), "learning_rates": (0.002,)}),
    ),
    claims=(
        Claim("two layers of IndRNN solve the task", "indrnn", "solved_step", "solved", _SOURCE, high=_BUDGET),
        Claim("one layer of LSTM solves the task", "lstm", "solved_step", "solved", _SOURCE, high=_BUDGET),
        Claim("a tanh RNN hardly gets below the error of the best constant, 0.167", "rnn", "best_score",
              "about 0.167", _SOURCE, 0.08, 0.2),
    ),
    left_out="numbers: results are plots; the forget bias of the LSTM: 1 here",
    differs="the paper clips recurrent weights to 2^(1/T) after each update, ours only start within; it lowers the "
    "rate tenfold every 20,000 updates, ours trains 10,000",
)  # fmt: skip
