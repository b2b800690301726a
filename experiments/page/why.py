"""Why one cell stops, as a page: what was measured along training and by distance, budgets, rescues, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.page.findings import Findings
from experiments.page.sections import budgets_chart
from lstm_jax.figures.gaps.why import LEAST
from lstm_jax.figures.page.charts import Axis, curves, intervals
from lstm_jax.figures.page.content import Chart, Page, Section, Table, Value

if TYPE_CHECKING:
    from lstm_jax.analysis.causes import AtDistance, Moment
    from lstm_jax.analysis.rescued import Rescue

_SHARE = (0.0, 1.0)
_ALONG = {
    "score": ("Accuracy", "accuracy on the held-out set"),
    "signal": ("Signal", "the fact's share of a gradient's second moment; below the dashed line it is noise"),
    "memory": ("Memory", "how often a linear probe reads the fact from the state before the answer"),
    "quiet_memory": ("Memory without distractors", "the same from sequences whose fillers are all alike"),
    "transport": ("Transport", "the gradient that reaches the fact's state over that at the last one"),
    "time_constant_90": ("Gates", "time constant of the state in steps, the 90th percentile of its values"),
    "sharpness": ("Sharpness", "sharpness times the learning rate; Adam is unstable above the dashed line"),
}
"""The heading of each quantity, and what it is."""
_SHARES = ("score", "memory", "quiet_memory")


def of_cell(
    cell: str,
    moments: Sequence[Moment],
    by_distance: Sequence[AtDistance],
    rescued: Sequence[Rescue],
    findings: Findings,
    *,
    said: Sequence[str],
    protocol: str,
    levels: dict[str, float],
) -> Page:
    """Return the page of a cell; `said` are the verdicts, `levels` the dashed lines of what has one."""
    labels = [f"gap {gap}" for gap in sorted({row.gap for row in moments})]
    sections = [
        Section(heading, chart=_along(labels, moments, name, what, levels.get(name)))
        for name, (heading, what) in _ALONG.items()
    ]
    sections += [
        Section(f"{heading} by distance, at the end", chart=_far(labels, by_distance, name, heading, levels.get(name)))
        for name, heading in (("transport", "Transport"), ("memory", "Memory"))
    ]
    budgets = [row for row in findings.budgets if row.cell == cell]
    if budgets:
        gaps = sorted({row.gap for row in findings.summaries})
        sections.append(Section("Budgets", chart=budgets_chart([cell], budgets, gaps, findings.words)))
    sections += _rescues(rescued)
    tables = [Table.of("diagnostics", moments), Table.of("by_distance", by_distance)]
    sections.append(Section("All that was measured", tables=tables))
    return Page(f"Why does {cell} stop?", said, [protocol], labels, sections)


def _along(labels: Sequence[str], rows: Sequence[Moment], name: str, what: str, level: float | None) -> Chart:
    values = [[f"gap {row.gap}", row.seed, row.step, _shown(name, getattr(row, name))] for row in rows]
    table = Table(name, ["gap", "seed", "step", name], [row for row in values if row[-1] is not None])
    steps = sorted({row.step for row in rows})
    x = Axis("step", "updates", "symlog", ticks=steps)
    alt = f"{what[0].upper()}{what[1:]}, against updates: a line for each run, a colour for each gap."
    return curves(labels, table, x, _axis(name), alt=alt, of="gap", each="seed", level=level)


def _far(labels: Sequence[str], rows: Sequence[AtDistance], name: str, heading: str, level: float | None) -> Chart:
    last = {(row.gap, row.seed): row.step for row in sorted(rows, key=lambda row: row.step)}
    values: list[list[Value]] = [
        [f"gap {row.gap}", row.seed, row.distance, _shown(name, getattr(row, name))]
        for row in sorted(rows, key=lambda row: row.distance)
        if last[row.gap, row.seed] == row.step
    ]
    table = Table(f"{name}_by_distance", ["gap", "seed", "distance", name], values)
    x = Axis("distance", "distance from the fact (time steps)")
    alt = f"{heading} at the last moment of each run, against the distance from the fact."
    return curves(labels, table, x, _axis(name), alt=alt, of="gap", each="seed", level=level)


def _axis(name: str) -> Axis:
    shape: dict[str, Any] = {"ends": _SHARE} if name in _SHARES else {"scale": "log"}
    return Axis(name, name.replace("_", " "), **shape)


def _shown(name: str, value: Any) -> Value:
    """Return a value as it is drawn: on a logarithmic axis, what is too small for it at its foot."""
    if value is None or value != value:
        return None
    return float(value) if name in _SHARES else max(float(value), LEAST[name])


_OF_RESCUES = (
    "rescue", "change", "ci_low", "ci_high", "num_solved", "num_solved_before", "num_runs", "p_value", "helps",
)  # fmt: skip


def _rescues(rescued: Sequence[Rescue]) -> list[Section]:
    sections = []
    for gap in sorted({row.gap for row in rescued}):
        own = [row for row in rescued if row.gap == gap]
        x = Axis("change", "change of the solve rate", ends=(-1.0, 1.0))
        helped = [row.rescue for row in own if row.helps]
        alt = (
            f"What each change alone does to the solve rate at gap {gap}, of the same seeds, with its 95% interval; "
            f"hollow: no help that is significant. It helps: {', '.join(helped) or 'none'}."
        )
        table = Table.of(f"rescues at {gap}", own, _OF_RESCUES)
        names = [row.rescue for row in own]
        chart = intervals(names, table, x, ("ci_low", "ci_high"), "!datum.helps", alt=alt, of="rescue")
        sections.append(Section(f"Rescues at gap {gap}", chart=chart))
    return sections
