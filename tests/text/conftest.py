"""What the tests of text share: a cache of their own, a limit of time."""

from __future__ import annotations

import contextlib
import time

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def time_limit():
    """A block that takes longer, in seconds of this process, fails."""

    @contextlib.contextmanager
    def limit(seconds):
        start = time.process_time()
        yield
        assert time.process_time() - start < seconds

    return limit
