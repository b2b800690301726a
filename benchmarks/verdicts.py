"""How often the verdicts of experiments.why are right: `python -m benchmarks.verdicts [--draws 100] [--faint]`.

Cells whose reason to stop was put there (lstm_jax/diagnostics/planted.py), with parameters, gaps and seeds drawn
anew, are trained and diagnosed as experiments.why does it, at a small size. Prints a confusion table.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.options import options
from experiments.recorded import all_of, record_name
from lstm_jax.sweeps.config.options import SweepConfig
from lstm_jax.sweeps.sources import folder_digest
from lstm_jax.terminal import make_console

MODULE = "lstm_jax.diagnostics.planted"
MAX_STEPS = 400
RULES = folder_digest("analysis")


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """How often verdicts on planted cells are right."""

    draws: int = 100
    """Planted cells to draw, as many of each kind."""
    seed: int = 0
    """Of the draws."""
    faint: bool = False
    """Draw leaks that leave 1e-6 to 3e-3 of a fact instead: float32 does not lose it, and no run can make up for it."""
    workers: int | None = None
    """Worker processes. None: one a core."""
    out: Path = Path("results/verdicts")
    """Where draws.csv goes, a row a draw; faint.csv of such leaks."""


class Planted(NamedTuple):
    """A cell with a fault, and how it is trained."""

    cell: str
    gap: int
    learning_rate: float
    hidden_dim: int = 8


def draw(cause: str, rng: np.random.Generator) -> Planted:
    """Draw a cell that stops for this cause, and no other."""
    gap = int(rng.integers(12, 25))
    kinds = {
        "solved": [f"Latch@keep={rng.uniform(0.99, 1.0):.4f}"],
        "vanished": [
            f"Latch@keep={1e-9 ** (1.0 / gap) * rng.uniform(0.3, 0.9):.4f}",
            f"Latch@cut={rng.integers(2, gap // 2)}",
            f"Latch@levels={rng.integers(20, 60)}",
        ],
        "forgets by design": [
            f"Register@length={rng.integers(2, gap // 2)}",
            f"Latch@noise={rng.uniform(0.8, 1.2):.2f}",
        ],
        "swamped by distractors": [f"Latch@frozen=true,keep={rng.uniform(0.85, 1.0):.3f}"],
        "step too large": [f"Latch@sensitivity={rng.uniform(100.0, 300.0):.0f}"],
        "too small": ["Latch"],
        "needs more updates": [f"Latch@keep={rng.uniform(0.99, 1.0):.4f}"],
    }
    rate = {"step too large": 0.03, "needs more updates": 10.0 ** rng.uniform(-4.5, -4.0)}.get(cause, 0.01)
    return Planted(f"{MODULE}:{rng.choice(kinds[cause])}", gap, rate, 1 if cause == "too small" else 8)


def draw_faint(rng: np.random.Generator) -> Planted:
    """Draw a leak of which the gap leaves too little to be learned from, and more than float32 loses."""
    gap = int(rng.integers(12, 25))
    left = 10.0 ** rng.uniform(-6.0, -2.5)
    return Planted(f"{MODULE}:Latch@keep={left ** (1.0 / gap):.4f}", gap, 0.01)


CAUSES = (
    "solved", "vanished", "forgets by design", "swamped by distractors", "step too large", "too small",
    "needs more updates",
)  # fmt: skip


def verdict_on(planted: Planted, seed: int) -> tuple[str, Mapping[str, Any]]:
    """Train and diagnose it; the verdict, and the numbers that decided."""
    from lstm_jax.analysis.causes import verdicts
    from lstm_jax.diagnostics.follow import follow
    from lstm_jax.diagnostics.measure import Effort
    from lstm_jax.sweeps.job import Job
    from lstm_jax.sweeps.plan import sized

    config = SweepConfig.of(
        cells=(planted.cell,), gaps=(planted.gap,), hidden_dim=planted.hidden_dim, embedding_dim=8, max_steps=MAX_STEPS
    )
    training = Job(sized(config, planted.cell, planted.gap)).training()
    effort = Effort(num_batches=64, num_probed=1024)
    steps = (0, 50, 100, 200, MAX_STEPS)
    found = follow(planted.cell, training, seed, planted.learning_rate, 1.0, steps, 50, effort)
    solved = {(planted.cell, planted.gap, seed)} if found.solved_step is not None else set()
    (verdict,) = verdicts(found.moments, found.by_distance, solved, 1.0 / effort.num_batches, training.batch_size)
    return verdict.cause, dataclasses.asdict(verdict)


@dataclasses.dataclass(frozen=True)
class Draw:
    """One planted cell and its seed."""

    cause: str
    planted: Planted
    seed: int
    weight: float = 1.0

    @property
    def name(self) -> str:
        """Its file, without the ending."""
        return record_name(f"{self.seed:03}-{self.cause}", [*self.planted, self.seed, MAX_STEPS, RULES])


def judge(draw: Draw) -> dict[str, Any]:
    """Train and diagnose one draw, in a worker process; its row."""
    called, numbers = verdict_on(draw.planted, draw.seed)
    return {"planted": draw.cause, "verdict": called, **draw.planted._asdict(), **numbers}


def main() -> None:
    """Draw, judge, and print how often each cause was called what."""
    arguments = options(Verdicts, "verdicts")
    rng = np.random.default_rng(arguments.seed)
    numbers = range(arguments.draws)
    draws = [Draw(CAUSES[index % len(CAUSES)], draw(CAUSES[index % len(CAUSES)], rng), index) for index in numbers]
    if arguments.faint:
        draws = [Draw("vanished", draw_faint(rng), index) for index in numbers]
    rows = all_of(draws, judge, arguments.out / "draws", arguments.workers, make_console(), "planted cells judged")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / ("faint.csv" if arguments.faint else "draws.csv")).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    found = collections.Counter((row["planted"], row["verdict"]) for row in rows)
    called = [*CAUSES, "not decided"]
    print(f"| planted | {' | '.join(called)} |\n|---|{'---:|' * len(called)}")
    for cause in CAUSES:
        print(f"| {cause} | {' | '.join(str(found[cause, each]) for each in called)} |")
    right = sum(row["planted"] == row["verdict"] for row in rows)
    print(f"{right} of {len(rows)} right")


if __name__ == "__main__":
    main()
