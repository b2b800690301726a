"""The commands on text: from a file to a model that translates or writes, and what is said of input that is bad."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import matplotlib.font_manager  # noqa: F401  # before the cache is another: fonts need not be found again
import pytest
from commands import rows, run
from corpora import PAIRS, drawn_text

from experiments import language_model, report, translation
from lstm_jax.analysis.text.ngram_scores import bleu_statistics
from lstm_jax.api import load
from lstm_jax.errors import ConfigError
from lstm_jax.evaluation.translation import Translated
from lstm_jax.text import store

# In steps of their own so that the suite stays fast: the smallest models, a few updates.
TINY = shlex.split(
    "--preset smoke --hidden-dim 8 --embedding-dim 4 --max-steps 20 --chunk-steps 10 --eval-size 16 --executor serial"
)


# Sentences that all have one shape, and so take one program.
SHORT = ["--pairs", PAIRS, "--max-tokens", 7]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    place = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place))
        yield place


def once(tmp_path_factory, module, make):
    """A sweep that the first process of the tests that asks for it makes: its directory, and what the command said.

    Each process has a copy: a test that writes into it, as a repeated command does, is seen by no test beside it.
    """
    where = tmp_path_factory.getbasetemp()
    where = (where.parent if "PYTEST_XDIST_WORKER" in os.environ else where) / f"once-{module}"
    where.mkdir(exist_ok=True)
    with (where / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (where / "output").exists():
            status, output, errors = run(module, *TINY, *make(where), cwd=where, timeout=240)
            assert status == 0, errors
            (where / "output").write_text(output)
    own = tmp_path_factory.mktemp(module) / "copy"
    shutil.copytree(where, own, symlinks=True)
    return own / "results" / module, (own / "output").read_text()


@pytest.fixture(scope="module")
def translated(tmp_path_factory):
    """A sweep on the fixture's pairs, as the command leaves it."""
    return once(tmp_path_factory, "translation", lambda _: [*SHORT, "--cells", "rnn", "lstm@attention=dot"])


@pytest.fixture(scope="module")
def modelled(tmp_path_factory):
    """A sweep of language models, one of each form."""

    def make(where):
        (where / "text.txt").write_text(drawn_text(num_words=1400))
        cells = ["gru", "transformer@form=encoder", "lstm@form=encoder_decoder"]
        return ["--text", "text.txt", "--cells", *cells, "--min-count", "1"]

    return once(tmp_path_factory, "language_model", make)


def fails(command, capsys, *argv):
    """The one line that a command leaves on the standard error."""
    assert command.main([str(each) for each in argv]) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().split("\n")
    assert len(lines) == 1 and lines[0].startswith("error: "), captured.err
    return lines[0]


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


def echo(model, corpus, sentences, **options):
    """In the place of a model, which writes nothing yet after so few updates: the words as it would read them."""
    return [Translated(list(sentence), [], None) for sentence in sentences]


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


def tuned_by_loss(out):
    """The report seeds were trained at the rate of the least loss alone, and all tables are of these."""
    found = load(out)
    tuning = {run.learning_rate: run.loss for run in found.rows if run.seed == 100}
    best = min(tuning, key=tuning.get)
    shown = [run for run in found.rows if run.seed != 100]
    assert [(run.seed, run.learning_rate) for run in shown] == [(0, best), (1, best)] and len(tuning) > 2
    assert found.num_missing == 0 and not found.failures and found.answer == ""
    (row,) = found.summary.itertuples()
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


# Language models


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
