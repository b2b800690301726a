"""runs.csv, curves.csv and a file per table of what trained models answered: made from records. No jax."""

from __future__ import annotations

import csv
import dataclasses
import functools
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lstm_jax.files import file_name
from lstm_jax.sweeps.store.records import (
    CurvePoint,
    Record,
    Run,
    columns_of,
    parse_value,
    read_runs,
    renamed,
    unused,
    write_csv,
    write_rows,
)

OWN_TABLES = frozenset(
    (
        *("runs", "curves", "summary", "horizon", "contrasts", "horizon_by_budget", "growth", "rates"),
        *("scores", "search", "lengths", "context", "effective_context", "controls", "guessing"),
        *("arms", "generalization", "diagnostics", "by_distance", "verdicts", "rescues", "rescued_runs", "drift"),
        *("points", "gains", "thoughts"),
    )
)
"""Files of ours: a task's table of that name goes to another, table_NAME.csv."""
_Row = TypeVar("_Row")
_KEY = ("job", "cell", "gap", "seed", "learning_rate")
Rows = Iterable[Mapping[str, Any]]


def write_runs(root: Path, records: Iterable[Record], *, with_curves: bool = True) -> None:
    """Write runs.csv; also curves.csv and one file per table, which takes a while for a large sweep."""
    records = list(records)
    write_rows(root / "runs.csv", Run, (record.run for record in records))
    if not with_curves:
        return
    curves = {column: column for column in columns_of(CurvePoint)}
    _write_table(root, "curves", curves, records, lambda record: map(dataclasses.asdict, record.curve))
    names: dict[str, str] = {}  # of files, by table
    for name in dict.fromkeys(name for record in records for name, rows in record.tables.items() if rows):
        file = file_name(name)
        if file.lower() in OWN_TABLES or not file:
            file = f"table_{file}"
        taken = [each.lower() for each in names.values()]  # as some file systems see it
        names[name] = file + unused(file.lower(), taken)[len(file) :]
    for name, file in names.items():
        columns: dict[str, str] = {}  # of the file, by the table's: of all rows, in order of appearance
        for row in (row for record in records for row in record.tables.get(name, ())):
            for column in row:
                if column not in columns:
                    own = f"table_{column}" if column in _KEY else column
                    columns[column] = unused(own, columns.values())
        _write_table(root, file, columns, records, functools.partial(_rows_of, name))


def read_rows(path: Path, row_type: type[_Row]) -> list[_Row]:
    """Read what `write_rows` wrote; raises ValueError where it is none, and OSError."""
    hints = typing.get_type_hints(row_type)
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != columns_of(row_type):
            raise ValueError(f"{path}: expected the columns {', '.join(columns_of(row_type))}, got {reader.fieldnames}")
        return [row_type(**{name: parse_value(row[name], hint) for name, hint in hints.items()}) for row in reader]


def read_tables(root: Path) -> list[Record]:
    """Read runs.csv, and curves.csv where it is there, as records; raises ValueError or OSError."""
    curves: dict[Any, list[CurvePoint]] = {}
    if (root / "curves.csv").is_file():
        hints = typing.get_type_hints(CurvePoint)
        with (root / "curves.csv").open(encoding="utf-8", newline="") as file:
            for row in map(renamed, csv.DictReader(file)):
                place = (row["job"], int(row["seed"]), float(row["learning_rate"]))
                point = CurvePoint(**{name: parse_value(row[name], hint) for name, hint in hints.items()})
                curves.setdefault(place, []).append(point)
    runs = read_runs(root / "runs.csv")
    return [Record(run, tuple(curves.get((run.job, run.seed, run.learning_rate), ()))) for run in runs]


def _write_table(
    root: Path, name: str, columns: Mapping[str, str], records: Sequence[Record], rows_of: Callable[[Record], Rows]
) -> None:
    """Write rows of all records behind the keys of their runs; `columns` says what those of the rows are called."""
    keyed = (({each: getattr(record.run, each) for each in _KEY}, rows_of(record)) for record in records)
    rows = ({**key, **{columns[column]: value for column, value in row.items()}} for key, rows in keyed for row in rows)
    write_csv(root / f"{name}.csv", [*_KEY, *columns.values()], rows)


def _rows_of(name: str, record: Record) -> Rows:
    return record.tables.get(name, ())
