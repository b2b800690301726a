"""The commands on running text: from a file to a model that writes, and what is said of input that is bad."""

from __future__ import annotations

import re

import matplotlib.font_manager  # noqa: F401  # before the cache is another: fonts need not be found again
import pytest
from commands import rows, run
from corpora import drawn_text
from text_commands import TINY, fails

from experiments import language_model

pytestmark = pytest.mark.usefixtures("cache")


def test_a_language_sweep_leaves_perplexity_by_context(modelled):
    directory, output = modelled
    cells = {row["cell"] for row in rows(directory / "context.csv")}
    assert cells == {"gru", "transformer@form=encoder", "lstm@form=encoder_decoder"}
    scores = {row["cell"]: row for row in rows(directory / "scores.csv")}
    assert scores["gru"]["of"] == "the test split" and float(scores["gru"]["perplexity"]) > 1
    assert all(0 <= float(row["unk_share"]) < 0.1 for row in scores.values())
    assert len(re.findall(r"perplexity .* of them <unk>\)", output)) == 3
    assert len({row["unk_share"] for row in rows(directory / "context.csv")}) == 1
    assert "&lt;unk&gt;" in (directory / "language_model.svg").read_text(), "in the caption too"
    assert "effective context (words)" in output
    for name in ("language_model.png", "language_model.svg", "learning_curves.png", "effective_context.csv"):
        assert (directory / name).stat().st_size > 0
    assert "the model:" in (directory / "samples.md").read_text()


def test_a_model_goes_on_from_a_prompt(modelled, capsys):
    directory, _ = modelled
    argv = ["sample", "--checkpoint", str(directory), "--cell", "gru", "--prompt", "w1 w2 blorp", "--num-tokens", "9"]

    def sample(*more):
        assert language_model.main([*argv, *more]) == 0
        return capsys.readouterr()

    once, again, other = sample(), sample(), sample("--sampling-seed", "1")
    assert once.out == again.out != other.out
    assert once.out.startswith("w1 w2 <unk>") and once.err == "not in the vocabulary, read as <unk>: blorp\n"
    assert len(once.out.split()) <= 3 + 9
    cold = sample("--temperature", "0")
    assert cold.out == sample("--top-k", "1").out == sample("--temperature", "0", "--sampling-seed", "5").out
    assert sample("--num-samples", "3").out.count("w1 w2") >= 3
    assert language_model.main([*argv[:-4], "--num-tokens", "5"]) == 0, "no prompt"
    capsys.readouterr()
    assert sample("--prompt", "w1 w2\n").out.startswith("w1 w2\n"), "the line's end is read, and shown"


def test_what_a_language_model_refuses(modelled, capsys, tmp_path):
    directory, _ = modelled
    at = ["sample", "--checkpoint", directory]
    form = "transformer@form=encoder: expected a model of the form decoder"
    assert form in fails(language_model, capsys, *at, "--cell", "transformer@form=encoder")
    assert "temperature: got -1" in fails(language_model, capsys, *at, "--temperature", "-1")
    assert "top_k: got 0" in fails(language_model, capsys, *at, "--top-k", "0")
    (tmp_path / "few.txt").write_text("a few words\n")
    out = ["--preset", "smoke", "--out", tmp_path / "out"]
    assert "expected 1000 words or more, got 4" in fails(language_model, capsys, *out, "--text", tmp_path / "few.txt")
    (tmp_path / "latin.txt").write_bytes(b"line\ncaf\xe9\n")
    assert "latin.txt, line 2" in fails(language_model, capsys, *out, "--text", tmp_path / "latin.txt")
    assert "min_count: got 0" in fails(language_model, capsys, *out, "--min-count", "0")
    assert "unknown option '--txet': did you mean '--text'" in fails(language_model, capsys, *out, "--txet", "a")
    assert "level: got 'words'; expected word or character, or None; did you mean 'word'?" in fails(
        language_model, capsys, *out, "--level", "words"
    )


def test_characters_have_bits(tmp_path):
    (tmp_path / "text.txt").write_text(drawn_text(num_words=1500))
    argv = [*TINY, "--text", "text.txt", "--level", "character", "--cells", "rnn", "--wandb", "disabled"]
    status, output, errors = run("language_model", *argv, cwd=tmp_path)
    assert status == 0 and "bits per character" in output, errors
    (row,) = rows(tmp_path / "results" / "language_model" / "scores.csv")
    assert 0 < float(row["bits_per_character"]) == pytest.approx(float(row["loss"]) / 0.6931471805599453)
