import dataclasses
import io

import pytest
from figure_checks import CELLS, horizon, summary, sweep
from rich.console import Console

from lstm_jax.analysis.gaps.horizon import Horizon
from lstm_jax.figures.formats import format_gap, format_horizon
from lstm_jax.figures.gaps.table import print_summary
from lstm_jax.figures.words import Words


def printed(*arguments: object, width: int = 80) -> str:
    stream = io.StringIO()
    print_summary(Console(file=stream, width=width), *arguments)  # type: ignore[arg-type]
    return stream.getvalue()


def test_every_number_is_there_in_80_columns() -> None:
    summaries, horizons = sweep(10, (5, 20, 2000))
    text = printed(summaries, horizons)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    for cell in CELLS:
        assert text.count(f"{cell}\n") == 1 or f"{cell} " in text
    row = next(line for line in lines if line.split()[:1] == ["2000"])
    assert row.split() == ["2000", "0.003", "0/5", "0", "0.00", "(0.00,", "0.30)", "0.125", "-"]
    header = next(line for line in lines if "learning rate" in line)
    assert len(header.rstrip()) <= 80


@pytest.mark.parametrize("axis", ["length (symbols)", "longest source (tokens)", "dependencies (levels)"])
def test_the_axis_has_the_name_that_its_task_gives_it(axis: str) -> None:
    summaries, horizons = sweep(3, (5, 20, 2000))
    text = printed(summaries, horizons, Words(axis, "model"))
    assert max(map(len, text.splitlines())) <= 80 and "…" not in text
    header = text[: text.index(CELLS[0])]
    assert all(word in header for word in axis.partition(" (")[0].split()) and "gap" not in text
    assert any(line.split()[:1] == ["model"] for line in text.splitlines()) and "cell" not in text


def test_the_widest_numbers_fit() -> None:
    wide = summary("lstm", 1000000, 1000, of=1000)
    wide = type(wide)(
        **{**vars(wide), "learning_rate": 0.000316227, "num_diverged": 1000, "median_solved_step": 1e6, "at_edge": True}
    )
    text = printed([wide], [])
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "0.000316*" in text


def test_a_rate_at_the_edge_is_flagged_and_explained() -> None:
    row = summary("lstm", 5, 5)
    text = printed([dataclasses.replace(row, at_edge=True)], [])
    assert "0.003*" in text and "* at the edge" in text
    assert "*" not in printed([row], [])


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (horizon("a", 28.284, 20.0, 40.0), ["28.3", "20", "to", "40"]),
        (horizon("a", 160.0, 160.0, None, ">"), [">", "160", "from", "160"]),
        (horizon("a", 5.0, None, 5.0, "<"), ["<", "5", "up", "to", "5"]),
        (horizon("a", 7.0, None, None), ["7", "open"]),
        (horizon("a", None, None, None), ["not", "known", "open"]),
    ],
)
def test_horizons_and_their_bounds(found: Horizon, shown: list[str]) -> None:
    line = next(line for line in printed([], [found]).splitlines() if line.strip().startswith("a "))
    assert line.split() == ["a", *shown]
    assert format_horizon(found) == " ".join(shown[: 1 + bool(found.bound or found.horizon is None)])


def test_rates_that_rise_with_the_gap_are_named() -> None:
    found = dataclasses.replace(horizon("mine", 28.0, 20.0, 40.0), monotone_p=0.001)
    text = printed([summary("mine", 5, 5)], [found])
    assert "mine: solve rates rise with the gap (p = 0.001)" in text and max(map(len, text.splitlines())) <= 80
    assert "rise" not in printed([summary("mine", 5, 5)], [dataclasses.replace(found, monotone_p=0.05)])


def test_a_label_with_brackets_is_no_markup() -> None:
    assert "mine:Cell@name=[red]" in printed([summary("mine:Cell@name=[red]", 5, 5)], [])


def test_gaps_have_three_digits_or_all_before_the_point() -> None:
    assert [format_gap(gap) for gap in (5.0, 28.284, 99.94, 159.96, 1763.4)] == ["5", "28.3", "99.9", "160", "1763"]
