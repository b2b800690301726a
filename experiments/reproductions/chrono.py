"""Tallec & Ollivier 2018: chrono initialisation on the copy and the adding task, with and without."""

from __future__ import annotations

import dataclasses

from experiments.reproductions.base import Arm, Claim, Reproduction

_SHARED = {
    "learning_rates": (0.001,),
    "optimizer": "rmsprop@decay=0.9",
    "clip_norm": float("inf"),
    "batch_size": 32,
    "hidden_dim": 128,
    "embedding_dim": 10,
    "chunk_steps": 100,
    "seeds": (0, 1, 2),
    "max_steps": 30_000,
}
_SOURCE = "Tallec & Ollivier 2018, section 3.1 and figures 4 and 5"


def _arms(task: str, gap: int) -> tuple[Arm, Arm]:
    options = {**_SHARED, "task": task, "gaps": (gap,)}
    return (
        Arm(f"{task}_{gap}_chrono", {**options, "cells": ("lstm@chrono=true",)}),
        Arm(f"{task}_{gap}_plain", {**options, "cells": ("lstm@forget_bias=1",)}),
    )


def _claims(task: str, gap: int) -> tuple[Claim, Claim]:
    return (
        Claim(
            f"{task}, T = {gap}: the LSTM with chrono initialisation solves the task",
            f"{task}_{gap}_chrono", "solved_step", "solved", _SOURCE, high=30_000,
        ),
        Claim(
            f"{task}, T = {gap}: it needs fewer updates than with a forget bias of 1",
            f"{task}_{gap}_chrono", "updates_ratio", "fewer (a plot)", _SOURCE, high=1.0,
            against=f"{task}_{gap}_plain",
        ),
    )  # fmt: skip


REPRODUCTION = Reproduction(
    name="chrono",
    paper="Tallec & Ollivier 2018, Can recurrent neural networks warp time?",
    arms=(*_arms("copy", 500), *_arms("adding", 200), *_arms("adding", 750)),
    claims=(*_claims("copy", 500), *_claims("adding", 200), *_claims("adding", 750)),
    left_out="numbers: results are plots; batch size and budget are from memory of them, as the paper was not at hand",
    differs="tokens pass a trained embedding; chrono is told the steps to be bridged, T - 2 or T + 10, the paper's T",
)
REDUCED = dataclasses.replace(
    REPRODUCTION,
    arms=tuple(
        dataclasses.replace(arm, options={**arm.options, "max_steps": 4000, "seeds": (0, 1)})
        for arm in _arms("adding", 200)
    ),
    claims=tuple(dataclasses.replace(claim, high=min(claim.high, 4000.0)) for claim in _claims("adding", 200)),
    not_comparable="reduced: adding at T = 200 alone, 4,000 updates, two seeds",
    reduced=True,
)
