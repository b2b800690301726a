"""Sweeps on text that several files of tests look at."""

from __future__ import annotations

import pytest
from corpora import drawn_text
from text_commands import SHORT, once


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A user's cache directory that is empty."""
    place = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place))
        yield place


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
