"""What was measured of a run along training, to tell why it stops. No jax."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """A run after `step` updates: a row of diagnostics.csv; all of the distance from the fact to its answer.

    `score` is the held-out one. `transport` is G, the gradient that reaches the fact's state over that of the last, and
    `vanished` whether float32 loses it. `memory` is how often a linear probe reads the fact from the state before the
    answer, `quiet_memory` the same without distractors (None where the task has no such form), `separation` the
    trace(S_w^-1 S_b) of the classes. `signal` is the fact's share of a gradient's second moment, the largest among the
    recurrent weights, and `embedding_signal` that of the embedding. `sharpness`, times the rate, is unstable above 2
    (None before the first update). `time_constant` and `time_constant_90` are the median and the 90th percentile over
    the values of the state, in steps (None where infinite), `exponent` the largest Lyapunov exponent.
    """

    cell: str
    gap: int
    seed: int
    learning_rate: float
    step: int
    score: float
    transport: float
    vanished: bool
    memory: float
    quiet_memory: float | None
    separation: float
    signal: float
    embedding_signal: float | None
    sharpness: float | None
    time_constant: float | None
    time_constant_90: float | None
    exponent: float


@dataclass(frozen=True)
class AtDistance:
    """A state d steps after the fact, and the gradient that goes d steps back: a row of by_distance.csv."""

    cell: str
    gap: int
    seed: int
    step: int
    distance: int
    transport: float
    vanished: bool
    memory: float
    quiet_memory: float | None
    separation: float
