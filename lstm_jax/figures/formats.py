"""Text of gaps, bounds, intervals and spans, for figures and tables."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_jax.analysis.gaps.horizon import Horizon


def format_gap(gap: float) -> str:
    """Return a gap that need not be whole, such as a horizon, with three digits or all before the point."""
    return f"{gap:.0f}" if gap >= 100 else f"{gap:.1f}".removesuffix(".0")


def format_bound(bound: str, gap: float | None) -> str:
    """Return a gap or a bound of it with its sign, None as what it means: `28.3`, `> 160`, `not known`."""
    return "not known" if gap is None else f"{bound} {format_gap(gap)}".strip()


def format_horizon(found: Horizon) -> str:
    """Return a horizon as text: `28.3`, `> 160`, `not known`."""
    return format_bound(found.bound, found.horizon)


def format_span(values: Sequence[float]) -> str:
    """Return one number where all are alike, else the least and the greatest: `0.125`, `0.136 to 0.325`."""
    return " to ".join(dict.fromkeys(f"{value:.3g}" for value in (min(values), max(values))))


def format_ends(low: float | None, high: float | None) -> str:
    """Return an interval of gaps, an end that is open as None: `20 to 40`, `from 20`, `up to 40`, `open`."""
    if low is None:
        return "open" if high is None else f"up to {format_gap(high)}"
    return f"from {format_gap(low)}" if high is None else f"{format_gap(low)} to {format_gap(high)}"
