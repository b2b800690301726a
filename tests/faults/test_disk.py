"""A disk that is full, read-only or broken: a named error in time, nothing that was written is damaged."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import textwrap
import time

import faults
import pytest

QUIET = faults.SERIAL


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB in memory; needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def assert_named(status, output, seconds):
    assert status == 2, output
    assert seconds < 30
    assert "Traceback" not in output
    assert output.splitlines()[-1].startswith("error: ") and "can't write to" in output.splitlines()[-1]


@pytest.mark.long  # in short the limit on a file's size below
def test_a_full_disk(small_disk, undisturbed, capsys):
    out = small_disk / "out"
    started = time.monotonic()
    status, output = faults.run(out, *QUIET, "--executor", "process", draws=True)
    assert_named(status, output, time.monotonic() - started)
    assert "No space left on device" in output
    kept = {path: path.read_bytes() for path in out.glob("records/*/*.json")}
    again, output = faults.run(out, *QUIET, draws=True)
    assert again == 2 and "No space left" in output, "before anything is trained, or as before"
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    status, output = faults.run(out, *QUIET)
    assert status == 0 and "damaged" not in output, output
    assert faults.table(out) == faults.table(undisturbed)
    assert all(path.read_bytes() == text for path, text in kept.items())
    faults.say(capsys, f"full disk: named, {len(kept)} records were kept, and the sweep went on with room")


@pytest.mark.long
def test_a_directory_that_turns_read_only(small_disk, undisturbed):
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    out = small_disk / "out"
    process = faults.start(out, *QUIET)
    while not list(out.glob("checkpoints/*/running-*")):
        assert process.poll() is None
        time.sleep(0.05)
    while subprocess.run(["mount", "-o", "remount,ro", small_disk], capture_output=True, check=False).returncode:
        assert process.poll() is None  # busy while a file is open for writing
    started = time.monotonic()
    status, output = faults.finish(process)
    assert_named(status, output, time.monotonic() - started)
    status, output = faults.run(out, *QUIET)  # refused before training
    assert status == 2 and "Read-only file system" in output and output.count("\n") == 1, output
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    status, output = faults.run(out, *QUIET)
    assert status == 0, output
    assert faults.table(out) == faults.table(undisturbed)


def test_files_may_not_grow(tmp_path, undisturbed):
    """What needs no root: the system's limit on the size of a file."""
    out = tmp_path / "out"
    with faults.limited(resource.RLIMIT_FSIZE, 4100):
        process = faults.start(out, *QUIET)
    started = time.monotonic()
    status, output = faults.finish(process)
    assert_named(status, output, time.monotonic() - started)
    assert "File too large" in output
    status, output = faults.run(out, *QUIET)
    assert status == 0, output
    assert faults.table(out) == faults.table(undisturbed)


def test_a_save_that_fails_prints_nothing():
    """Its other parts, in threads of tensorstore and tasks of orbax, fail too, and would say so: not at every try."""
    program = """
        import resource, tempfile
        from pathlib import Path
        import numpy as np
        from lstm_jax.sweeps.worker import states as checkpoints

        states = [{str(number): np.random.rand(64, 32) for number in range(15)}]
        with tempfile.TemporaryDirectory() as folder:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4100, resource.RLIM_INFINITY))
            for _ in range(20):
                try:
                    checkpoints.save(Path(folder), "running", states, {})
                except OSError as error:
                    assert error.strerror == "File too large", error
                else:
                    raise AssertionError("saved")
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=faults.ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.long
@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_input_output_errors(tmp_path, undisturbed, capsys, call):
    """strace has some of the command's own calls fail: on records, checkpoints, news and tables alike."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    probe = subprocess.run(["strace", "-e", "trace=none", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("strace may not trace here")
    out = tmp_path / "out"
    which = {"fsync": "fsync", "rename": "rename,renameat,renameat2"}[call]
    when = {"fsync": "40", "rename": "25"}[call]
    fault = f"inject={which}:error=EIO:when={when}+"
    before = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={which}", "-e", fault]
    started = time.monotonic()
    status, output = faults.run(out, *QUIET, before=before)
    assert_named(status, output, min(time.monotonic() - started, 29.0))
    assert "Input/output error" in output
    status, output = faults.run(out, *QUIET)
    assert status == 0, output
    assert faults.table(out) == faults.table(undisturbed)
    faults.say(capsys, f"{call} fails with EIO: named, and the repeated command has the undisturbed table")
