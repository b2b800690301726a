"""Commands on text for tests: sweeps of the smallest models, each made once, and what a command says."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil

from commands import run
from corpora import PAIRS

from lstm_jax.evaluation.translation import Translated

# In steps of their own so that the suite stays fast: the smallest models, a few updates.
TINY = shlex.split(
    "--preset smoke --hidden-dim 8 --embedding-dim 4 --max-steps 20 --chunk-steps 10 --eval-size 16 --executor serial"
)
# Sentences that all have one shape, and so take one program.
SHORT = ["--pairs", PAIRS, "--max-tokens", 7]


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


def fails(command, capsys, *argv):
    """The one line that a command leaves on the standard error."""
    assert command.main([str(each) for each in argv]) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().split("\n")
    assert len(lines) == 1 and lines[0].startswith("error: "), captured.err
    return lines[0]


def echo(model, corpus, sentences, **options):
    """In the place of a model, which writes nothing yet after so few updates: the words as it would read them."""
    return [Translated(list(sentence), [], None) for sentence in sentences]
