"""The commands on pairs: from a file to a model that translates, and what is said of input that is bad."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

import matplotlib.font_manager  # noqa: F401  # before the cache is another: fonts need not be found again
import pytest
from commands import rows, run
from corpora import PAIRS, drawn_text
from text_commands import SHORT, TINY, echo, fails

from experiments import language_model, report, translation
from lstm_jax.analysis.text.ngram_scores import bleu_statistics
from lstm_jax.errors import ConfigError
from lstm_jax.text import store

pytestmark = pytest.mark.usefixtures("cache")


def test_without_sacrebleu_nothing_is_trained_that_it_would_score(tmp_path, monkeypatch, capsys):
    """One line says what to install, before the pairs are read; tasks without data do without it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    line = fails(translation, capsys, "--preset", "smoke", "--pairs", "none.txt")
    assert line.endswith("sacrebleu, which is not installed: pip install 'lstm_jax[text]'")
    assert list(tmp_path.iterdir()) == []
    assert translation.main(["--preset", "smoke", "--task", "reverse", "--show"]) == 0
    with pytest.raises(ConfigError, match="lstm_jax\\[text\\]"):
        bleu_statistics(["a"], ["a"])


def test_a_translation_sweep_leaves_scores_samples_and_pictures(translated):
    directory, output = translated
    num_test = int(re.search(r"(\d+) test pairs", output)[1])
    assert num_test > 20 and re.search(r"dropped: .*\d+ more than 7 tokens", output)
    scores = rows(directory / "scores.csv")
    systems = [row["system"] for row in scores if row["seed"] == ""]
    assert systems == ["rnn", "lstm@attention=dot", "most frequent", "copy", "nearest neighbour"]
    assert all(float(row["bleu"]) >= 0 and row["num_sentences"] == str(num_test) for row in scores)
    shares = [(row["unk_share"], row["source_unk_share"]) for row in scores if row["kind"] == "model"]
    assert len(set(shares)) == 1 and all(0 < float(share) < 1 for share in shares[0])
    assert f"<unk>: {float(shares[0][0]):.1%} of the references' tokens" in output
    assert "&lt;unk&gt;" in (directory / "translation.svg").read_text(), "in the caption too"
    assert rows(directory / "lengths.csv")[0]["unk_share"]
    assert "of the test references' tokens are" in (directory / "samples.md").read_text()
    assert len(rows(directory / "translations.csv")) == 2 * num_test
    assert {row["cell"] for row in rows(directory / "alignments.csv")} == {"lstm@attention=dot"}
    assert (directory / "samples.md").read_text().count("\n|") >= 20
    for name in ("translation.png", "translation.svg", "learning_curves.png", "alignments.png", "lengths.csv"):
        assert (directory / name).stat().st_size > 0
    assert {row["status"] for row in rows(directory / "runs.csv")} == {"unsolved"}


def test_repeating_the_command_trains_nothing_and_gives_the_same(translated):
    directory, _ = translated
    before = (directory / "scores.csv").read_bytes()
    argv = [*TINY, *SHORT, "--cells", "rnn", "lstm@attention=dot"]
    status, output, errors = run("translation", *argv, cwd=directory.parents[1])
    assert status == 0 and "2 of 2 runs are there already" in output, errors
    assert (directory / "scores.csv").read_bytes() == before


def test_what_was_written_is_written_again_without_the_command(translated, modelled, tmp_path, capsys, monkeypatch):
    """Nor the text in the cache: a copy of it lies in the directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    for name, (directory, output) in (("translation", translated), ("language_model", modelled)):
        store.load.cache_clear()
        copy = tmp_path / name
        shutil.copytree(directory, copy)
        tables = ("summary", "scores", "contrasts", "lengths", "context", "effective_context")
        written = [copy / f"{table}.csv" for table in tables] + list(copy.glob("*.png")) + list(copy.glob("*.svg"))
        written = [file for file in [*written, copy / "samples.md"] if file.exists()]
        assert len(written) >= 7
        for file in written:
            file.unlink()
        assert report.main([str(copy)]) == 0
        assert [file.name for file in written if file.read_bytes() != (directory / file.name).read_bytes()] == []
        said = capsys.readouterr().out.replace(str(copy), f"results/{name}")
        assert "".join(said.split()) in "".join(output.split())


def test_samples_are_a_table_in_wandb(translated):
    directory, _ = translated
    tables = [
        json.loads(file.read_text())
        for file in directory.glob("wandb/offline-run-*/files/media/table/**/translations*.table.json")
    ]
    assert len(tables) == 2
    assert all(table["columns"] == ["source", "reference", "output", "greedy"] for table in tables)
    assert all(2 * len(table["data"]) == len(rows(directory / "translations.csv")) for table in tables)


@pytest.mark.parametrize("where", ["", "checkpoints/rnn-gap7", "checkpoints/rnn-gap7/ended-0"])
def test_a_checkpoint_translates(translated, capsys, where):
    directory, _ = translated
    argv = ["translate", "--checkpoint", directory / where, "Yes", "blorp"]
    assert translation.main(list(map(str, argv))) == 0
    captured = capsys.readouterr()
    assert len(captured.out.split("\n")) == 3
    assert captured.err == "not in the vocabulary, read as <unk>: blorp\n"


def test_sentences_are_read_from_the_standard_input(translated, capsys, monkeypatch):
    directory, _ = translated
    argv = ["translate", "--checkpoint", str(directory), "--cell", "rnn"]

    def read(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        status = translation.main(argv)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    sentences = ["Please enter a date.", "Yes"]
    assert translation.main([*argv, *sentences]) == 0
    expected = capsys.readouterr().out
    assert read("\n".join(sentences).encode())[:2] == (0, expected)
    assert read(b"\xef\xbb\xbf" + "\r\n".join(sentences).encode() + b"\r\n")[:2] == (0, expected)
    # One line out for each line in, whatever is in it.
    monkeypatch.setattr("lstm_jax.evaluation.translation.translate", echo)
    long = b"a " * 100_000
    status, output, error = read(b"\n".join([b"Yes", b"", long, b"\xff", "\u200b".encode(), b" \t", b"No", b""]))
    assert (status, output) == (1, "yes\n\n\n\n\n\nno\n")
    warnings = [line for line in error.split("\n") if line.startswith("warning: ")]
    assert warnings == [
        "warning: standard input, line 3: expected at most 256 words and punctuation marks, got 100000; "
        "its translation is left empty",
        "warning: standard input, line 4: expected UTF-8; its translation is left empty",
    ]
    assert read(b"\nYes\n\n")[:2] == (0, "\nyes\n\n") and read(b"\n\n\n")[:2] == (0, "\n\n\n")
    assert read(b"")[:2] == (0, "")


def test_a_sentence_is_read_as_those_of_training_and_shown_as_it_was(translated, capsys, monkeypatch):
    directory, _ = translated
    monkeypatch.setattr("lstm_jax.evaluation.translation.translate", echo)
    sentences = [*(f"It{mark}s 2:30 p.m." for mark in "'’‘ʼ"), 'See "X"s, 24 / 7']
    assert translation.main(["translate", "--checkpoint", str(directory), *sentences]) == 0
    assert capsys.readouterr().out == "it's 2:30 p.m.\n" * 4 + 'see "x"s, 24 / 7\n'


def test_what_translate_refuses(translated, modelled, capsys, tmp_path, cache):
    directory, _ = translated
    assert "sentence 2: expected a sentence" in fails(
        translation, capsys, "translate", "--checkpoint", directory, "Yes", " "
    )
    assert "expected the directory of a sweep" in fails(translation, capsys, "translate", "--checkpoint", tmp_path, "a")
    assert "was trained on 'language'" in fails(translation, capsys, "translate", "--checkpoint", modelled[0], "a")
    assert "cell: got 'lstm'; choose from rnn, lstm@attention=dot" in fails(
        translation, capsys, "translate", "--checkpoint", directory, "--cell", "lstm", "a"
    )
    assert "no run of seed 7" in fails(translation, capsys, "translate", "--checkpoint", directory, "--seed", 7, "a")
    # A copy with the corpus of another, and a cache that has none.
    other = tmp_path / "other"
    shutil.copytree(directory, other)
    shutil.copytree(modelled[0] / "corpus", other / "corpus", dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
        error = fails(translation, capsys, "translate", "--checkpoint", other, "a")
        assert "holds the corpus" in error and "whose words the models know" in error
        assert translation.main(["translate", "--checkpoint", str(directory), "Yes"]) == 0, "its own corpus is there"


def test_what_the_commands_refuse_before_they_train(capsys, tmp_path, translated):
    out = ["--preset", "smoke", "--out", tmp_path / "out"]
    pairs = [*out, "--pairs", PAIRS]
    assert "task: 'translation@x'" in fails(translation, capsys, *pairs, "--task", "translation@x")
    assert "gaps: got 2; expected one on text" in fails(translation, capsys, *pairs, "--gaps", "5", "10")
    assert "cells: 'lstm@x'" in fails(translation, capsys, *pairs, "--cells", "lstm@x")
    assert "heads" in fails(translation, capsys, *pairs, "--cells", "transformer@heads=x")
    assert "no truncation" in fails(translation, capsys, *pairs, "--cells", "transformer", "--truncation", "5")
    assert "min_count: got 0; expected a whole number" in fails(translation, capsys, *pairs, "--min-count", "0")
    assert "task: got 'gap'; expected language" in fails(language_model, capsys, *out, "--task", "gap")
    again = ["--config", translated[0] / "sweep.yaml", "--out", tmp_path / "out"]
    assert "the task names the corpus" in fails(translation, capsys, *again, "--pairs", PAIRS)
    (tmp_path / "text.txt").write_text(drawn_text(num_words=1500))
    few = [*out, "--text", tmp_path / "text.txt", "--batch-size", "500"]
    assert "batch_size: the text has" in fails(language_model, capsys, *few)
    assert not (tmp_path / "out").exists()


def test_pairs_are_of_one_place(capsys, tmp_path):
    out = ["--preset", "smoke", "--out", tmp_path / "out"]
    for corpus in ("libreoffice", "full"):  # the default one too, where it is given
        error = fails(translation, capsys, *out, "--pairs", PAIRS, "--corpus", corpus)
        assert error == f"error: pairs, corpus: got {PAIRS} and {corpus}; expected one of them"
    (tmp_path / "swapped.tsv").write_text("जा.\tGo.\nपळा!\tRun!\n")
    assert "swap the columns" in fails(translation, capsys, *out, "--pairs", tmp_path / "swapped.tsv")
    characters = ["--level", "character", "--tokens", "space", "--text", PAIRS]
    assert "tokens: got 'space'" in fails(language_model, capsys, *out, *characters)


def test_a_sweep_goes_again_on_a_machine_that_has_never_seen_its_text(
    translated, modelled, capsys, tmp_path, monkeypatch
):
    """The file is all that is named, and the text lies beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    for command, (directory, _) in ((translation, translated), (language_model, modelled)):
        store.load.cache_clear()
        argv = ["--config", directory / "sweep.yaml", "--out", tmp_path / "other", "--show"]
        assert command.main(list(map(str, argv))) == 0, capsys.readouterr().err
    (tmp_path / "moved").mkdir()
    shutil.copy(translated[0] / "sweep.yaml", tmp_path / "moved" / "sweep.yaml")
    store.load.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "also empty"))
    assert "there is no prepared corpus" in fails(translation, capsys, "--config", tmp_path / "moved" / "sweep.yaml")


def test_symbol_pairs_get_the_gap_length_plot(tmp_path):
    argv = [*TINY, "--task", "reverse", "--gaps", "2", "--cells", "gru", "--wandb", "disabled"]
    status, output, errors = run("translation", *argv, cwd=tmp_path)
    assert status == 0 and "horizon" in output, errors
    assert (tmp_path / "results" / "translation" / "translation.png").stat().st_size > 0


GOOD = "Hello\tनमस्कार\tme\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (GOOD.encode() * 3 + b"caf\xe9\tx\n", "line 4"),
        (b"no tab here\n" * 5 + GOOD.encode(), "line 1: expected English<TAB>Marathi"),
        (GOOD.encode(), "10 at least, 100 to be safe), got 1"),
        (None, "no such file"),
    ],
)
def test_bad_pairs_are_one_line(capsys, tmp_path, data, message):
    file = tmp_path / "pairs.tsv"
    if data is not None:
        file.write_bytes(data)
    error = fails(translation, capsys, "--preset", "smoke", "--pairs", file, "--out", tmp_path / "out")
    assert message in error and "pairs.tsv" in error
    assert not (tmp_path / "out").exists()


def test_pairs_of_windows_and_of_megabytes_are_accepted(capsys, tmp_path):
    lines = PAIRS.read_text().splitlines()
    (tmp_path / "pairs.tsv").write_bytes(
        b"\xef\xbb\xbf" + "\r\n".join([*lines, "x" * 2_000_000 + "\ty", "without a tab", ""]).encode()
    )
    assert translation.main(["--preset", "smoke", "--pairs", str(tmp_path / "pairs.tsv"), "--show"]) == 0
    output = capsys.readouterr().out
    assert "398 train, 20 dev, 47 test pairs" in output and "1 no tab" in output and "1 more than 1000" in output
    assert "source" in output and "target" in output


def test_without_apt_the_form_that_works_anywhere_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    error = fails(translation, capsys, "--preset", "smoke", "--out", tmp_path / "out")
    assert "apt-get was not found" in error and "--pairs FILE" in error
    assert "--text FILE" in fails(language_model, capsys, "--preset", "smoke", "--out", tmp_path / "out")


def test_help_answers_at_once(capsys):
    for command, word in ((translation, "--pairs"), (language_model, "--text")):
        with pytest.raises(SystemExit) as stop:
            command.main(["--help"])
        assert stop.value.code == 0 and word in capsys.readouterr().out
    for command, name in ((translation, "translate"), (language_model, "sample")):
        with pytest.raises(SystemExit):
            command.main([name, "--help"])
        assert "--checkpoint" in capsys.readouterr().out


def test_fixture_is_there():
    assert PAIRS.is_file() and Path(PAIRS.parent, "README.md").is_file() and os.access(PAIRS, os.R_OK)
