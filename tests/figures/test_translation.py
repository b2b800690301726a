import io
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from figure_checks import CAPTION, CELLS, check_layout, summary
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from rich.console import Console

from lstm_jax.analysis.text.translation import LengthScore, TranslationScore, sentence_scores
from lstm_jax.figures import fonts, style
from lstm_jax.figures.gaps.gap_length import gap_length_figure
from lstm_jax.figures.text.alignment import Alignment, alignments_figure
from lstm_jax.figures.text.translation import (
    as_markdown,
    by_length_figure,
    print_scores,
    samples_markdown,
)

BINS = ((1, 2), (3, 4), (5, 8), (9, 16), (17, None))
BASELINES = ("most frequent", "copy", "nearest neighbour")
SYSTEMS = ("mine:Cell@cost=$5,name=[red]", *CELLS)
MARATHI = ("फाइल", "उघडता", "आली", "नाही", "दस्तऐवजातील", "पृष्ठे", "।", "<unk>", "क्षत्रिय", "₹", "ळ")


def lengths(
    num_systems: int, baselines: Sequence[str] = BASELINES, bins: Sequence[tuple[int, int | None]] = BINS
) -> list[LengthScore]:
    rows = []
    for index, name in enumerate((*SYSTEMS[:num_systems], *baselines)):
        for place, (low, high) in enumerate(bins):
            bleu, chrf = 50.0 / (1 + place) + index, 80.0 / (1 + place) ** 0.5 + index
            ends = (max(0.0, bleu - 5), bleu + 4, chrf, chrf - 3, min(100.0, chrf + 6))
            kind = "baseline" if name in baselines else "model"
            rows.append(LengthScore(name, kind, low, high, 2000 - 400 * place, bleu, *ends))
    return rows


def score(system: str, **changes: object) -> TranslationScore:
    row = TranslationScore(
        system, "model", None, 3, 21.34, 19.9, 23.0, 41.5, 20.1, 0.123, 0.456, 3.21, 900, 1, "BLEU|x"
    )
    return type(row)(**{**vars(row), **changes})


def alignment(num_source: int, num_output: int, seed: int = 0) -> Alignment:
    rng = np.random.default_rng(seed)
    words = ("The", "file", "could", "internationalisation-of-everything", "a", "$5", "[red]", ".")
    source = [words[index] for index in rng.integers(len(words), size=num_source)]
    output = [MARATHI[index] for index in rng.integers(len(MARATHI), size=num_output)]
    return Alignment(source, output, rng.dirichlet(np.full(num_source, 0.2), size=num_output))


def check_alignments(figure: Figure) -> None:
    figure.legend(handles=[], loc="lower right", borderpad=0.0, borderaxespad=0.0)  # there is none, and one is expected
    check_layout(figure, [])


@pytest.mark.parametrize("num_systems", [1, 11])
@pytest.mark.parametrize(("baselines", "bins"), [((), BINS[:1]), (BASELINES, ((1, None),)), (BASELINES, BINS)])
def test_everything_is_legible(
    num_systems: int, baselines: tuple[str, ...], bins: tuple[tuple[int, int | None], ...]
) -> None:
    rows = lengths(num_systems, baselines, bins)
    figure = by_length_figure(rows, caption=CAPTION + "फाइल उघडता आली नाही", title="A long title, शीर्षक " * 9)
    names = [*SYSTEMS[:num_systems], *baselines]
    check_layout(figure, [fonts.as_written(name) for name in names])
    ticks = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    expected = {1: ["1–2"], 5: ["1–2", "3–4", "5–8", "9–16", "17+"]}[len(bins)] if bins[0][1] else ["1+"]
    assert ticks == [f"{name}\nn = {2000 - 400 * place}" for place, name in enumerate(expected)]


def test_only_baselines_are_a_figure_too() -> None:
    check_layout(by_length_figure(lengths(0), caption="", title="Title"), BASELINES)


def test_heights_are_exact_and_lines_look_as_in_the_legend() -> None:
    rows = lengths(6)
    figure = by_length_figure(rows, caption="", title="")
    entries = figure.legends[0].get_lines()
    for axes, name in zip(figure.axes, ("bleu", "chrf"), strict=True):
        curves = axes.get_lines()
        assert len(curves) == len(entries) == 9
        for system, entry in zip([*SYSTEMS[:6], *BASELINES], entries, strict=True):
            heights = [getattr(row, name) for row in rows if row.system == system]
            (curve,) = (line for line in curves if np.array_equal(np.asarray(line.get_ydata()), heights))
            assert to_hex(curve.get_color()) == to_hex(entry.get_color())
            assert curve._dash_pattern == entry._dash_pattern  # type: ignore[attr-defined]
            assert np.abs(np.asarray(curve.get_xdata()) - np.arange(5)).max() <= (0.1 if system in SYSTEMS else 0.0)
            assert system in SYSTEMS or to_hex(curve.get_color()) == to_hex("0.5")
        assert len({(line.get_color(), str(line._dash_pattern)) for line in curves}) == 9  # type: ignore[attr-defined]


def test_a_system_has_the_colour_that_it_has_in_other_figures() -> None:
    by_length = by_length_figure(lengths(6), caption="", title="")
    rows = [summary(cell, gap, 3) for cell in SYSTEMS[:6] for gap in (5, 10)]
    by_gap = gap_length_figure(rows, [], caption="", title="")
    looks = [
        [(line.get_color(), line.get_marker(), line.get_linewidth()) for line in figure.legends[0].get_lines()[:6]]
        for figure in (by_length, by_gap)
    ]
    assert looks[0] == looks[1]


def test_the_same_numbers_give_the_same_files(tmp_path: Path) -> None:
    def draw(folder: str) -> list[bytes]:
        stems = [tmp_path / folder / name for name in ("by_length", "alignments")]
        paths = style.save(by_length_figure(lengths(2), caption="फाइल", title="Title"), stems[0])
        paths += style.save(alignments_figure([alignment(4, 5)], caption="", title="Title"), stems[1])
        assert paths == [stem.with_suffix(ending) for stem in stems for ending in (".png", ".svg")]
        assert sorted(stems[0].parent.iterdir()) == sorted(paths)
        return [path.read_bytes() for path in paths]

    assert draw("a") == draw("b")


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="got none: no run has been reported yet"):
        by_length_figure([], caption="", title="")
    with pytest.raises(ValueError, match="at least one alignment, got none"):
        alignments_figure([], caption="", title="")
    for source, output, shape in ((["a"], ["b", "c"], (1, 2)), ([], ["b"], (1, 0)), (["a"], [], (0, 1))):
        with pytest.raises(ValueError, match="expected weights"):
            alignments_figure([Alignment(source, output, np.zeros(shape))], caption="", title="")


@pytest.mark.parametrize("sizes", [[(1, 1)], [(9, 8), (12, 11), (7, 9), (16, 14)], [(30, 30), (3, 2)], [(90, 4)]])
def test_alignments_are_legible(sizes: list[tuple[int, int]]) -> None:
    found = [alignment(*size, seed=seed) for seed, size in enumerate(sizes)]
    figure = alignments_figure(found, caption=CAPTION + "अनुवाद", title="Where the decoder looks, शीर्षक " * 4)
    check_alignments(figure)
    assert len(figure.axes) == len(sizes)
    for axes, (num_source, num_output) in zip(figure.axes, sizes, strict=True):
        assert len(axes.get_yticklabels()) == num_output
        assert len(axes.get_xticklabels()) == (num_source if num_source <= 30 else num_source // 3)


def test_weights_are_drawn_below_their_source_word_and_beside_the_word_written() -> None:
    weights = np.array([[0.1, 0.7, 0.2], [0.0, 0.0, 1.0]])
    figure = alignments_figure([Alignment(["the", "$", "file"], ["फाइल", "<eos>"], weights)], caption="", title="Title")
    (axes,) = figure.axes
    (mesh,) = axes.collections
    np.testing.assert_array_equal(mesh.get_array(), weights)
    assert mesh.get_clim() == (0.0, 1.0)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["the", r"\$", "file"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["phail", "<eos>"]
    assert axes.get_ylim() == (2.0, 0.0)  # from the top
    caption = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert "in Latin letters" in caption
    latin = alignments_figure([Alignment(["a"], ["b"], np.ones((1, 1)))], caption="", title="")
    assert not any("Latin" in text.get_text() for text in latin.texts)


def printed(rows: Sequence[TranslationScore]) -> str:
    stream = io.StringIO()
    print_scores(Console(file=stream, width=80), rows)
    return stream.getvalue()


def test_scores_are_printed_in_80_columns() -> None:
    rows = [score(name) for name in SYSTEMS]
    rows += [score("lstm", seed=1, bleu=77.7)]  # a run: its system is shown
    rows += [score("worst", bleu=100.0, ci_low=100.0, ci_high=100.0, chrf=100.0, greedy_bleu=100.0, exact_match=1.0)]
    baseline = {"kind": "baseline", "greedy_bleu": None, "token_accuracy": None, "loss": None}
    text = printed([*rows, score("copy", **baseline, num_runs=1)])
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in text
    assert "77.7" not in text
    shown = {line.split()[0]: line.split()[1:] for line in lines if line.split()}
    assert shown["gru"] == ["3", "21.3", "(19.9,", "23.0)", "20.1", "41.5", "12.3%", "0.456", "3.210"]
    assert shown["worst"][:6] == ["3", "100.0", "(100.0,", "100.0)", "100.0", "100.0"]
    assert shown["copy"] == ["-", "21.3", "(19.9,", "23.0)", "-", "41.5", "12.3%", "-", "-"]
    assert "[red]" in text.replace("\n", "").replace(" ", "")
    assert lines[-1] == "900 sentences; BLEU|x"
    assert printed([]).count("\n") <= 2


def test_samples_are_taken_evenly_from_good_to_bad() -> None:
    rng = random.Random(0)
    scores = [rng.choice((0.0, 12.5, *(float(value) for value in range(100)))) for _ in range(101)]
    rows = [{"source": f"s{index}", "reference": f"r{index}", "output": f"o{index}"} for index in range(101)]
    heading, _, columns, _, *lines = samples_markdown(rows, scores, num_samples=11).splitlines()
    assert heading.startswith("11 of 101 held-out sentences")
    assert columns == "| chrF | source | reference | output |"
    order = sorted(range(101), key=lambda index: (-scores[index], index))
    assert lines == [f"| {scores[index]:.1f} | s{index} | r{index} | o{index} |" for index in order[::10]]
    assert len(samples_markdown(rows[:3], scores[:3]).splitlines()) == 4 + 3
    assert samples_markdown([], []).startswith("0 of 0")


def test_a_sample_is_one_line_of_a_table_whatever_is_in_it() -> None:
    rows = [
        {"source": "a | b * c\\ $ d", "reference": "फाइल \n उघडा ।", "output": "<unk> _x_ [y] `z`"},
        {"source": "The file .", "reference": "फाइल ।", "output": ""},
    ]
    text = samples_markdown(rows, sentence_scores(rows))
    assert len(text.splitlines()) == 4 + 2
    assert r"a \| b \* c\\ \$d" in text
    assert "| फाइल उघडा। |" in text
    assert r"\<unk\> \_x\_ \[y\]" in text
    assert "| The file. | फाइल। |  |" in text
    for line in text.splitlines()[2:]:
        assert line.replace(r"\\", "").replace(r"\|", "").count("|") == 5
    assert as_markdown("a\r\n| b\u2028c") == r"a \| b c"


def test_the_share_of_unknown_words_is_printed_below_the_scores() -> None:
    text = printed([score("lstm", unk_share=0.205, source_unk_share=0.081), score("copy", kind="baseline")])
    assert "<unk>: 20.5% of the references' tokens, 8.1% of the sources'" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "<unk>" not in printed([score("lstm")])


def test_samples_are_written_as_the_corpus_writes() -> None:
    rows = [{"source": "a , b", "reference": "क :\u2060 ३", "output": "ख ."}] * 2
    assert "| a, b | क:३ | ख. |" in samples_markdown(rows, [1.0, 2.0])
    assert "| a , b |" in samples_markdown(rows, [1.0, 2.0], " ".join)
