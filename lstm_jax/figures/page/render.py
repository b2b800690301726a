"""A page as one file of HTML that needs no other: style, script, figures' library and numbers are in it."""

from __future__ import annotations

import functools
import json
import math
import re
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from lstm_jax.figures.page.charts import CONFIG, looks
from lstm_jax.figures.page.content import Page, Value
from lstm_jax.files import write_atomically

_HERE = Path(__file__).parent
_DIGITS = 4


def write_page(page: Page, file: Path) -> None:
    """Write the page, whole or not at all. All text of it is escaped: what a user has named stays text."""
    write_atomically(file, render(page))


def render(page: Page) -> str:
    """Return the page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"short": _short, "exact": _exact, "slug": _slug}
    charts: dict[int, int] = {}
    specs: list[dict[str, Any]] = []
    for index, section in enumerate(page.sections):
        if section.chart is not None:
            charts[index] = len(specs)
            data = {"values": [_finite(row) for row in section.chart.table.records]}
            specs.append({**section.chart.spec, "data": data})
    return environment.get_template("page.html").render(
        page=page,
        looks=looks(page.labels),
        charts=charts,
        specs=_json({"config": CONFIG, "specs": specs}),
        css=_raw((_HERE / "page.css").read_text(encoding="utf-8")),
        script=_raw((_HERE / "page.js").read_text(encoding="utf-8")),
        vega=_raw(_vega()),
    )


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed in one script, which an element of HTML can hold."""
    import vl_convert  # tens of megabytes: only where a page is written

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub asks for what may be left out
    return re.sub(r"</(script)|<!--", lambda found: found.group().replace("<", r"\x3c"), bundle, flags=re.IGNORECASE)


def _raw(text: str) -> markupsafe.Markup:
    return markupsafe.Markup(text)  # of our own files, not of a user


def _json(value: object) -> markupsafe.Markup:
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return _raw(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _finite(row: dict[str, Value]) -> dict[str, Value]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def _short(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.{_DIGITS}g}" if abs(value) < 10**_DIGITS else f"{value:.0f}"
    return "" if value is None else str(value)


def _exact(value: Value) -> markupsafe.Markup:
    """The attribute with the number itself, where what is shown is not all of it: sorted by, and downloaded."""
    if not isinstance(value, float) or repr(value) == _short(value):
        return _raw("")
    return _raw(f' data-exact="{value!r}"')


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
