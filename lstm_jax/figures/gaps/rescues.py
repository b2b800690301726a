"""What each change did to cells that had stopped."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from lstm_jax.analysis.rescued import Rescue
from lstm_jax.figures import style
from lstm_jax.figures.stack import label_axes, stack_axes

_ROW_INCHES, _HELPS = 0.14, "#0072B2"


def rescues_figure(rows: Sequence[Rescue], *, caption: str, title: str) -> Figure:
    """Draw the change of the solve rate with its interval: an axes for each cell and gap, a row for each rescue.

    Raises ValueError where there is nothing to draw.
    """
    if not rows:
        raise ValueError("expected a rescue that was tried, got none")
    styles = style.cell_styles(style.in_order(row.rescue for row in rows))
    groups: dict[tuple[str, int], list[Rescue]] = {}
    for row in rows:
        groups.setdefault((row.cell, row.gap), []).append(row)
    heights = [max(0.42, _ROW_INCHES * (len(own) + 0.6)) for own in groups.values()]
    beside = [f"{row.rescue}: {row.num_solved} of {row.num_runs}" for row in rows]
    stack = stack_axes(title, caption, [], beside, heights)
    for axes, own in zip(stack.axes, groups.values(), strict=True):
        axes.set_ylim(len(own) - 0.4, -0.6)
        axes.set_yticks([])
        axes.axvline(0.0, color=style.GREY, linewidth=0.8, zorder=1)
        for place, row in enumerate(own):
            look = styles[row.rescue]
            colour = _HELPS if row.helps else "0.6"
            axes.plot([row.ci_low, row.ci_high], [place, place], color=colour, linewidth=1.6, zorder=2)
            axes.plot(
                [row.change], [place], marker=look.marker, color=colour, markersize=5.0, linestyle="none",
                markeredgecolor="white", markeredgewidth=0.6, zorder=3, clip_on=False,
            )  # fmt: skip
            style.beside_axis(axes, float(place), f"{row.rescue}: {row.num_solved} of {row.num_runs}")
    stack.axes[0].set_xlim(-1.0, 1.0)
    label_axes(stack, "change of the solve rate", [f"{cell}\n{gap}" for cell, gap in groups])
    return stack.figure
