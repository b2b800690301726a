"""The tables of docs/performance.md, from the files that the benchmarks write.

    python -m benchmarks.tables docs/results/performance                                # prints them
    python -m benchmarks.tables docs/results/performance --into docs/performance.md     # puts each where it belongs

A table's place in a document begins with `<!-- table: NAME -->` and ends with the line before the next empty one.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import tyro

from benchmarks.options import options, refuse

Row = dict[str, str]
PLACE = re.compile(r"(<!-- table: (\w+) -->\n\n)((?:\|.*\n)*)")
MODES = ("autodiff", "activations", "states", "checkpoint")
CONTESTANTS = {
    "ours": "ours",
    "ours_stopping": "ours, with early stopping",
    "flax_loop": "Flax loop",
    "flax_loop_cached": "Flax loop, `nnx.cached_partial`",
    "torch_loop": "PyTorch loop",
}


@dataclasses.dataclass(frozen=True)
class Tables:
    """Print the tables of docs/performance.md, or put them into it."""

    directory: tyro.conf.Positional[Path]
    """Where the benchmarks' CSV files are."""
    into: Path | None = None
    """The document whose tables to replace. None: print them."""


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    first, *lines = [f"| {' | '.join(cells)} |\n" for cells in [head, *rows]]
    return "".join([first, "|---" * len(head) + "|\n", *lines])


def columns(rows: Sequence[Row], *names: str) -> list[tuple[str, ...]]:
    """What differs in these columns, in the order of the file."""
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


def short(number: float) -> str:
    """Three digits or more, as in 28.0 and 1,036."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}" if number >= 100 else f"{number:.1f}"


def step_one_thread(rows: Sequence[Row]) -> str:
    """The LSTM at all shapes: median ± half the distance of the quartiles (time over ours; share of the roof)."""

    def entry(row: Row) -> str:
        spread = (float(row["q75"]) - float(row["q25"])) / 2
        ratio, roof = float(row["ratio_to_ours"]), float(row["roof_fraction"])
        return f"{short(float(row['median_us_per_time_step']))} ± {short(spread)} ({ratio:.2f}; {roof:.0%})"

    return of_steps([row for row in rows if row["kind"] == "lstm"], "LSTM: ", entry)


def step_kinds(rows: Sequence[Row]) -> str:
    """GRU, RNN and LSTM at two shapes: median (time over ours)."""

    def entry(row: Row) -> str:
        return f"{float(row['median_us_per_time_step']):.1f} ({float(row['ratio_to_ours']):.2f})"

    return of_steps(rows, "", entry)


def of_steps(rows: Sequence[Row], title: str, entry: Callable[[Row], str]) -> str:
    """A row for each implementation, a column for each kind and shape."""
    steps = [row for row in rows if row["what"] == "step"]
    shape = ("batch", "steps", "hidden")
    places = sorted(columns(steps, *shape, "kind"), key=lambda place: columns(steps, *shape).index(place[:3]))
    heads = [f"{'' if title else place[3].upper() + ' '}{', '.join(place[:3])}" for place in places]
    found = {(row["implementation"], *(row[name] for name in (*shape, "kind"))): entry(row) for row in steps}
    names = [name for (name,) in columns(steps, "implementation")]
    lines = [[name, *(found.get((name, *place), "") for place in places)] for name in names]
    return markdown([f"{title}B, T, H" if title else "B, T, H", *heads], lines)


def memory(rows: Sequence[Row]) -> str:
    """Temporary memory of a step in units of `[T, B, H]`, a row a cell and a column a mode."""
    found = {(row["cell"], row["backward"]): f"{float(row['units']):.1f}" for row in rows}
    lines = [[cell.upper(), *(found[cell, mode] for mode in MODES)] for (cell,) in columns(rows, "cell")]
    return markdown(["", *(f"`{mode}`" for mode in MODES)], lines)


def length(rows: Sequence[Row]) -> str:
    """Microseconds a time step and the largest resident set, a row a mode and a column a length."""
    found = {(row["backward"], row["num_steps"]): row for row in rows}
    steps = [each for (each,) in columns(rows, "num_steps")]

    def entry(row: Row | None) -> str:
        if row is None:
            return "left out"
        micro = 1e6 * float(row["step_seconds"]) / int(row["num_steps"])
        return f"{micro:.1f}; {int(row['resident_bytes']) / 2**20:,.0f} MiB"

    lines = [[f"`{mode}`", *(entry(found.get((mode, each))) for each in steps)] for mode in MODES]
    sizes = f"LSTM, H = {rows[0]['hidden_dim']}, B = {rows[0]['batch_size']}"
    return markdown([sizes, *(f"T = {int(each):,}" for each in steps)], lines)


def parallel(rows: Sequence[Row]) -> str:
    """Milliseconds of a training step in turn; at once; how many times as fast."""
    mine = {(row["cell"], row["num_steps"]): row for row in rows if row["what"] == "step"}
    steps = [each for (each,) in columns(rows, "num_steps")]

    def entry(row: Row) -> str:
        return "; ".join(f"{float(row[name]):.2f}" for name in ("sequential_ms", "parallel_ms", "ratio"))

    lines = [[f"`{cell}`", *(entry(mine[cell, each]) for each in steps)] for (cell,) in columns(rows, "cell")]
    return markdown(["training step", *(f"T = {int(each):,}" for each in steps)], lines)


def sweeps_table(rows: Sequence[Row]) -> str:
    """Seconds of a whole sweep, each over that of the first."""
    lines = []
    for row in rows:
        line = [CONTESTANTS[row["contestant"]]]
        for kind in ("total", "training", "processor"):
            line += [f"{float(row[f'{kind}_seconds']):.0f}", f"{float(row[f'{kind}_over_ours']):.2f}"]
        lines.append([*line, row["solved_runs"]])
    heads = ["seconds", "over ours", "training alone", "over ours", "processor seconds", "over ours", "solved"]
    return markdown([f"{rows[0]['runs']} runs", *heads], lines)


def sweeps_gap(rows: Sequence[Row]) -> str:
    """The cost of an update and time step against the gap."""
    return across(rows, "gap", "gap", {"µs an update and time step": "microseconds_per_update_and_time_step"}, 1)


def sweeps_runs(rows: Sequence[Row]) -> str:
    """Runs an hour against the runs of a sweep."""
    kinds = {"runs an hour, from start to end": "runs_per_hour", "of training alone": "runs_per_hour_of_training"}
    return across(rows, "runs", "runs in the sweep", kinds, 0)


def sweeps_lanes(rows: Sequence[Row]) -> str:
    """The cost of an update and time step against the runs side by side."""
    kinds = {"µs an update and time step of one run": "microseconds_per_update_and_time_step_of_a_run"}
    return across(rows, "lanes_per_device", "runs side by side in one program", kinds, 1)


def across(rows: Sequence[Row], key: str, title: str, kinds: dict[str, str], places: int) -> str:
    """A column for each row of the file, a line for each kind of number."""
    lines = [[name, *(f"{float(row[column]):,.{places}f}" for row in rows)] for name, column in kinds.items()]
    return markdown([title, *(f"{int(row[key]):,}" for row in rows)], lines)


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "step_one_thread": step_one_thread,
    "step_kinds": step_kinds,
    "memory": memory,
    "length": length,
    "parallel": parallel,
    "sweeps_table": sweeps_table,
    "sweeps_table_sixth": sweeps_table,
    "sweeps_gap": sweeps_gap,
    "sweeps_runs": sweeps_runs,
    "sweeps_lanes": sweeps_lanes,
}
"""By the names of their files."""


def read(path: Path) -> list[Row]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def with_tables(text: str, directory: Path) -> str:
    """A document whose tables are those of the files."""
    return PLACE.sub(lambda match: match[1] + TABLES[match[2]](read(directory / f"{match[2]}.csv")), text)


def main() -> None:
    """Print all tables, or put them into a document."""
    args = options(Tables, "tables")
    missing = [f"{name}.csv" for name in TABLES if not (args.directory / f"{name}.csv").is_file()]
    if missing:
        refuse(f"tables: {args.directory}: no {', '.join(missing)}; benchmarks/reference/performance.sh makes them")
    if args.into is None:
        print("\n".join(f"{name}\n\n{make(read(args.directory / f'{name}.csv'))}" for name, make in TABLES.items()))
        return
    args.into.write_text(with_tables(args.into.read_text(encoding="utf-8"), args.directory), encoding="utf-8")
    print(args.into)


if __name__ == "__main__":
    main()
