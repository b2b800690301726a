"""A task's score on an axis and in a table: a share that is better the higher, or an error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from lstm_jax.analysis.gaps.generalization import Generalization
from lstm_jax.analysis.gaps.summary import Summary
from lstm_jax.sweeps.store.records import Run

_DECADES = 1e-3  # below what is solved, an error is as good as none


def format_score(score: float, solved_at: float) -> str:
    """Return a score as text: with three decimals where such can be told from solved, else with three digits."""
    return f"{score:.3f}" if solved_at >= 0.1 else f"{score:.3g}"


class ScoreAxis(NamedTuple):
    """The vertical axis of a score, the same for all gaps: what guessing scores, what is solved, the least there is."""

    chance: float
    solved_at: float
    least: float

    @classmethod
    def of(cls, rows: Sequence[Run | Summary | Generalization], scores: Iterable[float]) -> ScoreAxis:
        """The axis for all of these rows, and these scores."""
        hardest = max(rows, key=lambda row: abs(row.chance - row.solved_at))
        return cls(
            hardest.chance, hardest.solved_at, min((each for each in scores if each > 0.0), default=hardest.solved_at)
        )

    def scale(self, axes: Axes, ticks: Sequence[float]) -> None:
        """Scale the axis: of a share from 0 to 1, with these ticks; of an error, in decades."""
        if 0.0 <= self.chance < self.solved_at <= 1.0:
            axes.set_ylim(0.0, 1.06)
            axes.set_yticks(list(ticks), [f"{tick:g}" for tick in ticks])
        elif 0.0 < self.solved_at < self.chance:
            axes.set_yscale("log")
            axes.set_ylim(0.6 * max(min(self.solved_at, self.least), _DECADES * self.solved_at), 2.0 * self.chance)
            axes.minorticks_off()
        else:
            low, high = sorted((self.chance, self.solved_at))
            axes.set_ylim(low - 0.3 * (high - low), high + 0.3 * (high - low))
            axes.locator_params(axis="y", nbins=4)
