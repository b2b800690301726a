"""Files of the store by themselves: what a seal sees, which checkpoints stay, who holds a lock. No sweep is run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from lstm_jax.errors import DamagedError
from lstm_jax.sweeps.store import checkpoints, locks
from lstm_jax.sweeps.store.files import check_directory, read_sealed, seal_directory, set_aside, write_sealed

TREE = {"run": {"seed": 3, "loss": 0.1}, "curve": [1.5, None, "text"]}


def test_every_bit_of_a_sealed_file_counts(tmp_path):
    file = tmp_path / "a.json"
    write_sealed(file, TREE)
    assert read_sealed(file) == TREE
    whole = file.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            file.write_bytes(flipped)
            with pytest.raises(DamagedError):
                read_sealed(file)


def test_nothing_is_added_to_a_sealed_file_or_taken_away(tmp_path):
    file = tmp_path / "a.json"
    write_sealed(file, TREE)
    whole = file.read_bytes()
    for data in (whole + b"\n", whole + whole, *(whole[:end] for end in range(len(whole)))):
        file.write_bytes(data)
        with pytest.raises(DamagedError):
            read_sealed(file)


def test_a_directory_is_as_it_was_sealed(tmp_path):
    def sealed(name):
        directory = tmp_path / name
        (directory / "deep").mkdir(parents=True)
        (directory / "a").write_text("one")
        (directory / "deep" / "b").write_text("two")
        seal_directory(directory, {"runs": [1, 2]})
        assert check_directory(directory) == {"runs": [1, 2]}
        return directory

    (sealed("changed") / "deep" / "b").write_text("tw0")
    (sealed("missing") / "deep" / "b").unlink()
    (sealed("added") / "deep" / "c").write_text("")
    for name, message in (("changed", "does not match"), ("missing", "missing"), ("added", "not expected")):
        with pytest.raises(DamagedError, match=message):
            check_directory(tmp_path / name)
    (sealed("foreign") / "deep" / "._b").write_text("")
    assert check_directory(tmp_path / "foreign") == {"runs": [1, 2]}


def test_what_is_set_aside_twice_is_there_twice(tmp_path):
    file = tmp_path / "records" / "a.json"
    file.parent.mkdir()
    places = []
    for text in ("first", "second", "third"):
        file.write_text(text)
        places.append(set_aside(file, tmp_path))
    assert [place.read_text() for place in places] == ["first", "second", "third"] and not file.exists()


def test_the_latest_two_checkpoints_stay_and_no_name_comes_twice(tmp_path):
    """Past the tenth too, where names no longer sort as text; those of ended runs stay all."""

    def save(kind, number):
        return checkpoints.save(tmp_path, kind, lambda path: (path.mkdir(), (path / "x").write_text(f"{number}")), {})

    for number in range(13):
        assert save("running", number) == f"running-{number}"
        expected = [f"running-{each}" for each in range(number, max(-1, number - 2), -1)]
        assert checkpoints.names(tmp_path, "running") == expected, "the latest first"
        assert [(tmp_path / name / "x").read_text() for name in expected] == [name[8:] for name in expected]
    assert [save("ended", number) for number in range(3)] == ["ended-0", "ended-1", "ended-2"]
    assert checkpoints.names(tmp_path, "ended") == ["ended-2", "ended-1", "ended-0"]
    checkpoints.remove(tmp_path / "ended-1")
    assert save("ended", 3) == "ended-3" and (tmp_path / "ended-2" / "x").read_text() == "2"


def test_a_checkpoint_that_fails_leaves_those_before_and_nothing_else(tmp_path):
    checkpoints.save(tmp_path, "running", lambda path: path.mkdir(), {})

    def fail(path):
        path.mkdir()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(tmp_path, "running", fail, {})
    assert [path.name for path in tmp_path.iterdir()] == ["running-0"]


def test_who_holds_a_lock_where_the_system_has_none():
    """A process of this machine that is there, and no other that has its pid; of other machines all count as there."""
    here = {"host": socket.gethostname(), "pid": os.getpid(), "started": locks._start_of(os.getpid())}
    assert here["started"] and not locks._is_dead(here)
    assert locks._is_dead(here | {"started": "1"}), "its pid came again"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert locks._is_dead(here | {"pid": ended.pid})
    assert not locks._is_dead(here | {"pid": ended.pid, "host": "another"})


def test_a_lock_is_one_holders(tmp_path):
    """In one process too, where another open file is another holder."""
    with locks.hold(tmp_path / "lock"):
        assert locks.is_held(tmp_path / "lock") and str(os.getpid()) in locks.holder(tmp_path / "lock")
        with pytest.raises(locks.HeldError), locks.hold(tmp_path / "lock"):
            pass
    assert not locks.is_held(tmp_path / "lock") and locks.holder(tmp_path / "lock") == ""
