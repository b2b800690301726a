"""What a finished run leaves: a record on disk, a row of runs.csv, points of curves.csv. No jax."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lstm_jax.errors import DamagedError
from lstm_jax.files import write_atomically
from lstm_jax.sweeps.environment import environment
from lstm_jax.sweeps.job import AS_BEFORE, Job, RunKey
from lstm_jax.sweeps.machine import versions
from lstm_jax.sweeps.store.files import read_sealed, write_sealed
from lstm_jax.tasks.solved import SOLVED_ACCURACY

if TYPE_CHECKING:
    from lstm_jax.training import Training

Status = Literal["solved", "unsolved", "diverged", "failed"]
Tables = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Run:
    """The outcome of one training: one row of runs.csv, with its columns in their order.

    `gap` counts time steps between a fact and its answer, or what the task's axis says, `solved_step` and `steps` count
    updates. `loss` and `score` are those at recall positions: for one answer of several the cross-entropy in nats and
    the accuracy, a fraction. `measure` is the name of the score, which `chance` is for guessing; a run has solved that
    has passed `solved_at`, above chance or below it, also where it overflowed later. None is an empty cell: no forget
    bias, not solved, not evaluated. The last six say under what the numbers repeat bit for bit: what the backward pass
    stores, runs side by side in one program on a device, the kind of device, a hash of the job's settings, versions of
    the libraries, variables of the environment that may change numbers.
    """

    job: str
    cell: str
    task: str
    gap: int
    seed: int
    learning_rate: float
    hidden_dim: int
    num_params: int
    forget_bias: float | None
    status: Status
    solved_step: int | None
    steps: int
    score: float | None
    loss: float | None
    chance: float
    duration_seconds: float
    measure: str = "accuracy"
    solved_at: float = SOLVED_ACCURACY
    backward: str = ""
    lanes: int = 1
    device: str = ""
    settings: str = ""
    versions: str = ""
    environment: str = ""

    @property
    def higher_is_better(self) -> bool:
        """The direction of the score."""
        return self.solved_at > self.chance


RENAMED = {"accuracy": "score"}
"""Columns of earlier versions, of whose tasks accuracy was the only score."""
LATER = ("measure", "solved_at")
"""Columns that they did not have."""


@dataclasses.dataclass(frozen=True, slots=True)  # a large sweep has millions of them
class CurvePoint:
    """One evaluation of a run: a row of curves.csv, and a step of its wandb run.

    `train_loss` is the mean over the updates since the evaluation before; `sequence_loss` is the held-out loss over
    all trained positions, `memoryless_loss` what a solver without memory reaches there. All are means over positions.
    `grad_norm` is the global norm of the gradient before clipping, a mean as `train_loss` is.
    """

    step: int
    train_loss: float
    loss: float
    score: float
    sequence_loss: float
    memoryless_loss: float
    grad_norm: float | None = None


@dataclasses.dataclass(frozen=True)
class Record:
    """A run with its learning curve, where it failed the reason, and else the checkpoint that has its last state.

    `tables` are what the trained model answered, by the name of the file that has them for all runs: rows of plain
    values by column. `settings` are those of the job, whose hash the run has; records of early versions have none.
    An option that a record's version did not have is there as that version had it.
    """

    run: Run
    curve: tuple[CurvePoint, ...] = ()
    error: str = ""
    checkpoint: str = ""
    tables: Tables = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def run_row(job: Job, training: Training, run: RunKey, status: Status, **outcome: Any) -> Run:
    """The row of one run of `job`; without an outcome, that of a run which was never trained."""
    never: dict[str, Any] = {"solved_step": None, "steps": 0, "score": None, "loss": None, "duration_seconds": 0.0}
    settings = job.settings
    return Run(
        job=job.name,
        cell=settings.cell,
        task=settings.task,
        gap=settings.gap,
        seed=run.seed,
        learning_rate=run.learning_rate,
        hidden_dim=settings.hidden_dim,
        num_params=settings.num_params,
        forget_bias=training.model.initial_forget_bias,
        status=status,
        chance=training.task.chance,
        measure=training.task.outputs.score_name,
        solved_at=training.task.solved_at,
        settings=settings.hash,
        versions=versions(),
        environment=environment(),
        **never | outcome,
    )


def of_settings(records: Iterable[Record], jobs: Iterable[Job]) -> list[Record]:
    """The records that were made with the settings of their jobs; a directory may hold others, of earlier commands."""
    hashes = {job.name: job.settings.hash for job in jobs}
    return [record for record in records if record.run.settings == hashes[record.run.job]]


def plain_tables(tables: Any) -> Tables:
    """Make the tables of any task plain, as a record holds them: text and numbers by column. Nothing raises or is lost.

    What is no table of rows becomes one of a column `value`. All rows of a table have its columns, as None at least.
    """
    plain: dict[str, list[dict[str, Any]]] = {}
    for name, given in (tables if isinstance(tables, Mapping) else {"answers": tables}).items():
        is_table = isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping)
        rows = [_plain_row(row) for row in (given if is_table else [given])]
        columns = dict.fromkeys(column for row in rows for column in row)
        plain[unused(_text(name), plain)] = [{column: row.get(column) for column in columns} for row in rows]
    return plain


def _plain_row(row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        return {"value": _plain(row)}
    plain: dict[str, Any] = {}
    for column, value in row.items():
        plain[unused(_text(column), plain)] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a number of NumPy's or jax's
        value = value.item()
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    return _text(value)


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def unused(name: str, taken: Collection[str]) -> str:
    """The name, or with a number behind it where it is taken."""
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def write_record(path: Path, record: Record) -> None:
    """Write one run's record as JSON with a checksum, whole or not at all."""
    write_sealed(path, dataclasses.asdict(record))


def read_record(path: Path) -> Record:
    """Read what `write_record` wrote; raises DamagedError for a file that is not as it was."""
    tree = read_sealed(path)
    try:
        curve = tuple(CurvePoint(**renamed(point)) for point in tree["curve"])
        return Record(
            Run(**renamed(tree["run"])),
            curve,
            tree["error"],
            tree["checkpoint"],
            tree.get("tables", {}),
            AS_BEFORE | tree["settings"] if tree.get("settings") else {},
        )
    except (TypeError, KeyError) as error:
        raise DamagedError(f"{path}: expected the record of a run ({error})") from None


def renamed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of an earlier version by their names now."""
    return {RENAMED.get(name, name): value for name, value in tree.items()}


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV, whole or not at all.

    What is None, or not there, is an empty cell, a float the shortest text that reads back.
    """
    lines: list[str] = []
    buffer = csv.writer(_Lines(lines), lineterminator="\n")
    buffer.writerow(columns)
    for row in rows:
        buffer.writerow(["" if row.get(column) is None else row[column] for column in columns])
    write_atomically(path, "".join(lines))


class _Lines:
    """The least that csv.writer needs of a file."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def columns_of(row_type: type) -> list[str]:
    """The columns of a file whose rows are `row_type`."""
    return [field.name for field in dataclasses.fields(row_type)]


def write_rows(path: Path, row_type: type, rows: Iterable[Any]) -> None:
    """Write dataclass instances of `row_type` as CSV."""
    write_csv(path, columns_of(row_type), (dataclasses.asdict(row) for row in rows))


def read_runs(path: Path) -> list[Run]:
    """Read runs.csv; raises ValueError that names the line and the column where a value is not what Run says."""
    hints = typing.get_type_hints(Run)
    runs = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        found = [RENAMED.get(name, name) for name in reader.fieldnames or ()]
        if found not in (columns_of(Run), [name for name in columns_of(Run) if name not in LATER]):
            raise ValueError(f"{path}: expected the columns {', '.join(columns_of(Run))}, got {reader.fieldnames}")
        for row in map(renamed, reader):
            try:
                runs.append(Run(**{name: parse_value(row[name], hints[name]) for name in found}))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
    return runs


def parse_value(text: str, hint: Any) -> Any:
    """The value of a cell of a table; raises ValueError where it is not of that type."""
    if type(None) in typing.get_args(hint):
        if text == "":
            return None
        hint = typing.get_args(hint)[0]
    if hint is bool:
        if text not in ("True", "False"):
            raise ValueError(f"expected True or False, got {text!r}")
        return text == "True"
    if hint in (int, float):
        return hint(text)
    return text
