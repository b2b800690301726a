"""The figures of a page in the grammar of Vega-Lite. A cell looks as in the figures on paper; its legend hides it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from lstm_jax.figures.page.content import Chart, Table, Value
from lstm_jax.figures.style import beside_gap, cell_styles

INK = "currentColor"
"""The colour of the page's text, light or dark."""
_HEIGHT, _ROW_HEIGHT = 260, 34
_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
_DASHES: tuple[list[int], ...] = ([1, 0], [8, 3], [2, 2], [8, 3, 2, 3], [5, 2])
CONFIG: dict[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",  # by name: Vega measures with it how much room labels need
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "domainColor": INK,
        "tickColor": INK,
        "gridColor": INK,
        "gridOpacity": 0.12,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelOverlap": True,
    },
}
"""Of all figures."""


class Look(NamedTuple):
    """How a cell is drawn: colour, dashes of its lines, shape of its points."""

    colour: str
    dash: list[int]
    shape: str


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """The look of each label, by its place; in colour as `cell_styles`, whose black is the colour of the text here."""
    return {
        label: Look(
            INK if style.colour == "#000000" else style.colour,
            _DASHES[index % len(_DASHES)],
            _SHAPES[index % len(_SHAPES)],
        )
        for index, (label, style) in enumerate(cell_styles(labels).items())
    }


class Axis(NamedTuple):
    """A quantity on an axis: the column that has it, its name with its unit, its ticks, its ends."""

    column: str
    title: str
    scale: Literal["linear", "log", "symlog"] = "linear"
    ticks: Sequence[float] = ()
    ends: tuple[float, float] | None = None

    def encode(self, **more: Any) -> dict[str, Any]:
        """The axis as an encoding channel."""
        scales: dict[str, dict[str, Any]] = {
            "linear": {"zero": False},
            "log": {"type": "log", "base": 2 if self.ticks else 10, "nice": False},
            "symlog": {"type": "symlog", "constant": 20, "nice": False},
        }
        scale = scales[self.scale]
        if self.ends is not None:
            scale |= {"domain": list(self.ends), "clamp": True}
        elif self.scale != "linear":
            scale |= {"padding": 12}
        axis: dict[str, Any] = {"title": self.title, "format": ".6~g"}
        if self.ticks:
            axis |= {"values": list(self.ticks)}
        return {"field": self.column, "type": "quantitative", "scale": scale, "axis": axis, **more}


def curves(
    labels: Sequence[str],
    table: Table,
    x: Axis,
    y: Axis,
    *,
    alt: str,
    of: str = "cell",
    each: str | None = None,
    band: tuple[str, str] | None = None,
    level: float | None = None,
    choose: tuple[str, Sequence[Value], Value] | None = None,
) -> Chart:
    """A curve for each label over the rows of the table, whose column `of` names it; further columns show on hover.

    On a logarithmic axis the points of labels stand side by side, by at most a tenth of the distance between two ticks.

    `band` names the columns of the lower and upper ends of intervals: an open one, None, reaches the end of the axis.
    With `each`, the name of a column, there is a curve for each value of it. `level` draws a line. `choose` is a
    column, its values and the first to show: a list under the figure picks one.
    """
    look = looks(labels)
    domain = list(look)
    shared = {
        "x": x.encode(),
        "color": _scale(of, domain, [one.colour for one in look.values()]),
    }
    if each is not None:
        shared["detail"] = {"field": each}
    tooltip = [{"field": column} for column in table.columns]
    layers: list[dict[str, Any]] = []
    transform: list[dict[str, Any]] = [{"filter": f"indexof(hidden, datum['{of}']) < 0"}]
    if x.scale == "log" and len(domain) > 1:  # as on paper, side by side, so that none hides another
        factors = [beside_gap(x.ticks, index, len(domain)) for index in range(len(domain))]
        names, numbers = (json.dumps(each, allow_nan=False) for each in (domain, factors))
        place = f"{numbers}[indexof({names}, datum['{of}'])]"
        transform.append({"calculate": f"datum['{x.column}'] * {place}", "as": "beside"})
        shared["x"] = x.encode(field="beside")
    if band is not None:
        low, high = y.ends or (None, None)
        for name, column, end in (("band_low", band[0], low), ("band_high", band[1], high)):
            value = f"datum['{column}']"
            transform.append({"calculate": f"{value} === null ? {_number(end)} : {value}", "as": name})
        ends = {"y": y.encode(field="band_low"), "y2": {"field": "band_high"}}
        layers.append({"mark": {"type": "area", "opacity": 0.13}, "encoding": ends})
        layers.append({"mark": {"type": "rule", "opacity": 0.45}, "encoding": ends})
    dashes = _scale(of, domain, [one.dash for one in look.values()])
    shapes = _scale(of, domain, [one.shape for one in look.values()])
    layers.append(
        {"mark": {"type": "line", "strokeWidth": 2, "clip": True}, "encoding": {"y": y.encode(), "strokeDash": dashes}}
    )
    layers.append(
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "clip": False},
            "encoding": {"y": y.encode(), "shape": shapes, "tooltip": tooltip},
        }
    )
    if level is not None:
        rule = {"mark": {"type": "rule", "color": INK, "strokeDash": [4, 3], "opacity": 0.6}, "data": {"values": [{}]}}
        layers.append({**rule, "encoding": {"y": {"datum": level, "axis": y.encode()["axis"]}}})
    params: list[dict[str, Any]] = [{"name": "hidden", "value": []}]
    if choose is not None:
        column, values, first = choose
        picked = {"input": "select", "options": list(values), "name": f"{column} "}
        params.append({"name": "chosen", "value": first, "bind": picked})
        transform.append({"filter": f"datum['{column}'] == chosen"})
    spec = {"width": "container", "height": _HEIGHT, "params": params}
    # The curves' own transforms and channels: a line at a level has rows of its own.
    inner = {"transform": transform, "encoding": shared, "layer": [layer for layer in layers if "data" not in layer]}
    return Chart(alt, {**spec, "layer": [inner, *(layer for layer in layers if "data" in layer)]}, table)


def intervals(
    labels: Sequence[str], table: Table, x: Axis, ends: tuple[str, str], hollow: str, *, alt: str, of: str = "cell"
) -> Chart:
    """A row for each label: a point in its interval, hollow where the expression `hollow` says so.

    `ends` are the columns of the interval: an open end, None, reaches the end of the axis, which has ends.
    """
    low, high = ends
    look = looks(labels)
    least, most = x.ends or (0.0, 1.0)
    transform = [
        {"filter": f"indexof(hidden, datum['{of}']) < 0"},
        {"calculate": f"datum['{low}'] === null ? {_number(least)} : datum['{low}']", "as": "from"},
        {"calculate": f"datum['{high}'] === null ? {_number(most)} : datum['{high}']", "as": "to"},
    ]
    colour = _scale(of, list(look), [one.colour for one in look.values()])
    shape = _scale(of, list(look), [one.shape for one in look.values()])
    y = {"field": of, "type": "nominal", "sort": list(look), "axis": {"title": None, "labelLimit": 140}}
    spec = {
        "width": "container",
        "height": _ROW_HEIGHT * (1 + len(look)),
        "params": [{"name": "hidden", "value": []}],
        "transform": transform,
        "encoding": {"y": y, "color": colour},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.5},
                "encoding": {"x": x.encode(field="from"), "x2": {"field": "to"}},
            },
            {
                "mark": {"type": "point", "size": 90, "opacity": 1, "strokeWidth": 2},
                "encoding": {
                    "x": x.encode(),
                    "shape": shape,
                    "fill": {
                        "condition": {
                            "test": f"!({hollow})",
                            **_scale(of, list(look), [one.colour for one in look.values()]),
                        },
                        "value": "transparent",
                    },
                    "tooltip": [{"field": column} for column in table.columns],
                },
            },
        ],
    }
    return Chart(alt, spec, table)


def _scale(column: str, domain: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    scale = {"domain": list(domain), "range": list(values)}
    return {"field": column, "type": "nominal", "scale": scale, "legend": None}


def _number(value: float | None) -> str:
    return "null" if value is None else repr(float(value))
