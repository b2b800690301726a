"""Numbers as figures and tables show them."""

from __future__ import annotations

from lstm_jax.analysis.horizon import Horizon


def format_gap(gap: float) -> str:
    """Return a gap that need not be whole, such as a horizon, with three digits or all before the point."""
    return f"{gap:.0f}" if gap >= 100 else f"{gap:.1f}".removesuffix(".0")


def format_horizon(found: Horizon) -> str:
    """Return a horizon as text, a bound with its sign: `28.3`, `> 160`."""
    return f"{found.bound} {format_gap(found.horizon)}".strip()
