"""What a page holds, as values: text, tables, and charts with the numbers that they draw."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Value = str | float | int | bool | None
Spec = Mapping[str, Any]
"""A figure in the grammar of Vega-Lite, without its data."""


@dataclass(frozen=True)
class Table:
    """Rows of one length under the names of their columns; `name` is that of its CSV file."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]

    @classmethod
    def of(cls, name: str, rows: Sequence[Any], columns: Sequence[str] = ()) -> Table:
        """Make one of dataclass instances of one type: of the fields that `columns` names, or all."""
        names = list(columns) or ([field.name for field in dataclasses.fields(rows[0])] if rows else [])
        return cls(name, names, [[getattr(row, column) for column in names] for row in rows])

    @property
    def texts(self) -> list[bool]:
        """Which columns hold text, and not numbers."""
        return [any(isinstance(row[place], str) for row in self.rows) for place in range(len(self.columns))]

    @property
    def records(self) -> list[dict[str, Value]]:
        """The rows by the names of their columns, as a chart reads them."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Chart:
    """A figure over the rows of a table; `alt` says in words what it shows."""

    alt: str
    spec: Spec
    table: Table


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading: sentences, then a figure, tables, and what is to be typed."""

    title: str
    text: Sequence[str] = ()
    chart: Chart | None = None
    tables: Sequence[Table] = ()
    commands: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """A report. On its first screen are the question, the answer, what limits it, and the first section's figure.

    `labels` are the cells, or models, that the legend of all figures names. With `refresh_seconds` the page reads its
    file again after that time, as one of a sweep at work does.
    """

    question: str
    answer: Sequence[str]
    limits: Sequence[str]
    labels: Sequence[str]
    sections: Sequence[Section]
    refresh_seconds: int | None = None
