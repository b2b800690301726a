"""Jozefowicz et al. 2015: an LSTM with a forget bias of 1 against one of 0."""

from __future__ import annotations

from experiments.reproductions.base import Arm, Claim, Reproduction

_BUDGET = 3000
_SHARED = {
    "task": "gap",
    "gaps": (10,),
    "num_params": 3500,
    "embedding_dim": 8,
    "learning_rates": (0.01,),
    "seeds": (0, 1, 2, 3, 4),
    "max_steps": _BUDGET,
}

REPRODUCTION = Reproduction(
    name="jozefowicz",
    paper="Jozefowicz, Zaremba & Sutskever 2015, An empirical exploration of recurrent network architectures",
    arms=(
        Arm("bias_0", {**_SHARED, "cells": ("lstm@forget_bias=0",)}),
        Arm("bias_1", {**_SHARED, "cells": ("lstm@forget_bias=1",)}),
    ),
    claims=(
        Claim("with a forget bias of 1 the LSTM needs fewer updates than with 0", "bias_1", "updates_ratio",
              "better on arithmetic, XML and Penn Treebank", "Jozefowicz et al. 2015, tables 1 to 3 (LSTM-b)",
              high=1.0, against="bias_0"),
    ),
    left_out="nothing that matters here: its settings were searched for each task and architecture",
    differs="the task: a fact over 10 distractors, in place of arithmetic, XML and Penn Treebank",
    not_comparable="its tasks are not here: ours is the gap task, at 10",
)  # fmt: skip
