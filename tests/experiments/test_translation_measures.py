"""What is measured of trained translators: gains, ways to search, what the encoder keeps; and tuning in two stages."""

from __future__ import annotations

import sys

import matplotlib.font_manager  # noqa: F401  # before the cache is another: fonts need not be found again
import pytest
from commands import rows
from corpora import PAIRS
from text_commands import TINY, echo, fails

from experiments import translation
from lstm_jax.api import load

pytestmark = pytest.mark.usefixtures("cache")


def test_thoughts_and_gains_are_made_of_a_finished_sweep(translated, capsys, tmp_path, monkeypatch):
    directory, _ = translated
    argv = [
        "thoughts",
        "--checkpoint",
        str(directory),
        "--out",
        str(tmp_path),
        "--num-neighbours",
        "2",
        "Save the file",
    ]
    assert translation.main(argv) == 0
    found = rows(tmp_path / "thoughts.csv")
    assert [row["model"] for row in found] == ["rnn"] * 3 + ["bag of words"] * 3, "with attention there is more to see"
    assert [row["seed"] for row in found] == ["0"] * 3 + [""] * 3
    assert all(float(row["low"]) <= float(row["score"]) <= float(row["high"]) for row in found)
    assert (tmp_path / "thoughts.png").stat().st_size > 10_000
    assert len(rows(tmp_path / "points.csv")) >= int(found[0]["num_sentences"])
    page = (tmp_path / "neighbours.md").read_text()
    assert "## rnn, seed 0: save the file\n" in page and page.count("\n- ") == 2
    both = f"{directory}:rnn", f"{directory}:lstm@attention=dot"
    assert translation.main(["gains", *both, "--out", str(tmp_path / "gains.csv")]) == 0
    first, second = rows(tmp_path / "gains.csv")
    bleu = {row["system"]: float(row["bleu"]) for row in rows(directory / "scores.csv") if row["seed"] == ""}
    assert (float(first["bleu"]), float(second["bleu"])) == (bleu["rnn"], bleu["lstm@attention=dot"])
    assert float(second["gain"]) == pytest.approx(bleu["lstm@attention=dot"] - bleu["rnn"]) and first["gain"] == ""
    assert second["against"] == first["step"] and first["against"] == ""
    capsys.readouterr()
    assert "expected DIR:MODEL with one of rnn, lstm@attention=dot" in fails(translation, capsys, "gains", directory)
    assert "expected the directory of a finished sweep" in fails(translation, capsys, "gains", tmp_path)
    assert "more than once" in fails(translation, capsys, "gains", both[0], both[0])
    few = fails(translation, capsys, *argv[:-1], "--num-sentences", "5")
    assert "num_sentences: got" in few and "expected 20 to probe" in few
    other = fails(translation, capsys, *argv[:3], "--cells", "gru")
    assert "cell: got 'gru'" in other
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert fails(translation, capsys, *argv).endswith("not installed: pip install 'lstm_jax[text]'")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    sweep = ["--preset", "smoke", "--pairs", PAIRS, "--out", tmp_path / "none"]
    assert fails(translation, capsys, *sweep, "--tokens", "bpe").endswith("pip install 'lstm_jax[text]'")
    assert "expected none without --tokens bpe" in fails(translation, capsys, *sweep, "--vocab-size", 100)


def test_search_scores_each_way_to_search_as_the_sweep_scored_its_own(translated, capsys, tmp_path):
    directory, _ = translated
    argv = ["search", "--checkpoint", directory, "--out", tmp_path / "search.csv"]
    assert translation.main([*map(str, argv), "--cell", "rnn", "--length-penalties", "0.6"]) == 0
    greedy, beam = rows(tmp_path / "search.csv")
    scored = next(row for row in rows(directory / "scores.csv") if (row["system"], row["seed"]) == ("rnn", ""))
    assert (greedy["step"], float(greedy["bleu"])) == ("greedy", float(scored["greedy_bleu"]))
    assert (beam["step"], float(beam["bleu"])) == ("beam 4, length penalty 0.6", float(scored["bleu"]))
    assert beam["against"] == "greedy" and float(beam["gain"]) == float(beam["bleu"]) - float(greedy["bleu"])
    capsys.readouterr()
    assert "cell: got none; expected one of rnn, lstm@attention=dot" in fails(translation, capsys, *argv)
    assert "expected the directory of a sweep" in fails(translation, capsys, "search", "--checkpoint", tmp_path)
    assert "length_penalties" in fails(translation, capsys, *argv, "--cell", "rnn", "--length-penalties", "-1")
    (directory / "runs.csv").rename(tmp_path / "runs.csv")
    for command in ([*argv, "--cell", "rnn"], ["thoughts", "--checkpoint", directory, "--cells", "rnn"]):
        assert "runs.csv; expected the directory of a finished sweep" in fails(translation, capsys, *command)
    (tmp_path / "runs.csv").rename(directory / "runs.csv")
    assert "beam_sizes: got none" in fails(translation, capsys, *argv, "--cell", "rnn", "--beam-sizes")


def tuned_by_loss(out):
    """The report seeds were trained at the rate of the least loss alone, and all tables are of these."""
    found = load(out)
    tuning = {run.learning_rate: run.loss for run in found.rows if run.seed == 100}
    best = min(tuning, key=tuning.get)
    shown = [run for run in found.rows if run.seed != 100]
    assert [(run.seed, run.learning_rate) for run in shown] == [(0, best), (1, best)] and len(tuning) > 2
    assert found.num_missing == 0 and not found.failures and found.answer == ""
    (row,) = found.summary.itertuples()
    assert len(found.horizon) == 0 and found.plot().figure is not None
    assert (row.learning_rate, row.num_runs, row.at_edge) == (best, 2, best in (min(tuning), max(tuning)))
    (scores,) = (row for row in rows(out / "scores.csv") if (row["system"], row["seed"]) == ("rnn", ""))
    assert scores["num_runs"] == "2"
    assert rows(out / "summary.csv")[0]["learning_rate"] == str(best)


def refused_by_gains(out, capsys):
    """Files that were changed by hand, or that an interrupted command left: a line each, and no traceback."""
    assert translation.main(["gains", str(out)]) == 0
    assert rows(out / "gains.csv")[0]["num_runs"] == "2"
    capsys.readouterr()
    for name, change, message in [
        ("runs.csv", lambda lines: lines[:1], "has no run; expected that of a finished sweep"),
        ("runs.csv", lambda lines: ["a,b", "1,2"], "expected the columns"),
        (
            "runs.csv",
            lambda lines: [line for line in lines if ",100," in line or line == lines[0]],
            "that the sweep reports",
        ),
        ("translations.csv", lambda lines: lines[:1], "has nothing of rnn-gap"),
        ("sweep.yaml", lambda lines: [line.replace("[100]", "[7]") for line in lines], "that the sweep reports"),
    ]:
        before = (out / name).read_text()
        (out / name).write_text("\n".join(change(before.splitlines())) + "\n")
        assert message in fails(translation, capsys, "gains", out), (name, message)
        (out / name).write_text(before)
    assert "out: can't write to" in fails(translation, capsys, "gains", out, "--out", out)


def test_a_text_that_is_tokenised_is_translated_as_such(capsys, tmp_path, monkeypatch):
    lines = [f"w{n % 50}x,y don't-{n % 7}\tशब्द{n % 9}@@ क,ख" for n in range(400)]
    (tmp_path / "pairs.tsv").write_text("\n".join(f"{line}{n}" for n, line in enumerate(lines)) + "\n")
    argv = [
        *TINY,
        "--pairs",
        tmp_path / "pairs.tsv",
        "--tokens",
        "space",
        "--out",
        tmp_path / "out",
        "--wandb",
        "disabled",
    ]
    stages = ["--learning-rates", "None", "--tuning-seeds", "100", "--seeds", "0", "1"]
    assert translation.main([*map(str, argv), "--cells", "rnn", *stages]) == 0
    (corpus,) = (tmp_path / "out" / "corpus").glob("*.json")
    assert '"tokens":"space"' in corpus.read_text()
    assert "by half-decades until the best has a worse one" in " ".join(
        (tmp_path / "out" / "report.html").read_text().split()
    )
    tuned_by_loss(tmp_path / "out")
    monkeypatch.setattr("lstm_jax.evaluation.translation.translate", echo)
    assert translation.main(["search", "--checkpoint", str(tmp_path / "out"), "--beam-sizes", "2"]) == 0
    assert {row["num_runs"] for row in rows(tmp_path / "out" / "search.csv")} == {"2"}
    refused_by_gains(tmp_path / "out", capsys)
    capsys.readouterr()
    assert translation.main(["translate", "--checkpoint", str(tmp_path / "out"), "w1x,y don't-2 w2 x,y"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "w1x,y don't-2 w2 x,y\n" and captured.err.endswith("read as <unk>: w2 x,y\n")
