"""What is damaged on disk is found, named and set aside; the numbers are those of the undisturbed sweep, always."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import signal

import commands
import faults
import pytest
from test_signals import wait_for_updates

QUIET = faults.SERIAL


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A sweep that was stopped in the middle: it has records, last states, and runs in the middle."""
    out = tmp_path_factory.mktemp("interrupted") / "out"
    process = faults.start(out, *QUIET, "--checkpoint-seconds", "0.05")
    wait_for_updates(process, out)
    while not list(out.glob("checkpoints/*/ended-*")) or not list(out.glob("checkpoints/*/running-[1-9]*")):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    status, output = faults.finish(process)
    assert status == 143, output
    return out


def files_of(out):
    """What a sweep can't do without. (jobs/ is news; tables and figures are made anew from the rest.)"""
    return sorted(
        path for path in [*out.glob("records/*/*"), *out.glob("checkpoints/**/*"), out / "sweep.yaml"] if path.is_file()
    )


def truncate(path, randomness):
    path.write_bytes(path.read_bytes()[: randomness.randrange(1, max(2, path.stat().st_size))])


def empty(path, randomness):
    path.write_bytes(b"")


def flip(path, randomness):
    data = bytearray(path.read_bytes())
    data[randomness.randrange(len(data))] ^= 1 << randomness.randrange(8)
    path.write_bytes(data)


def delete(path, randomness):
    path.unlink()


def goes_on(out, undisturbed, *damaged, is_named=True):
    """The command goes on to the undisturbed table, and has named what was damaged and where it is now."""
    status, output = faults.run(out, *QUIET)
    assert status == 0, output
    assert "Traceback" not in output
    assert faults.table(out) == faults.table(undisturbed), damaged
    flat = re.sub(r"\s+", "", output)
    if is_named:
        assert "damaged:" in output and all(re.sub(r"\s+", "", str(each)) in flat for each in damaged), output
        assert (out / "quarantine").is_dir()
    return output


PLACES = {
    "record": "records/*/*.json",
    "last state": "checkpoints/*/ended-*/**/*",
    "running": "checkpoints/*/running-*/**/*",
    "manifest": "checkpoints/*/running-*/manifest.json",
    "configuration": "sweep.yaml",
}
EVERY = list(itertools.product(PLACES, [truncate, empty, delete, flip]))
SOME = [("record", truncate), ("running", flip)]


@pytest.mark.parametrize("damage", faults.times([SOME], [[each] for each in EVERY]))
def test_each_kind_of_damage(tmp_path, interrupted, undisturbed, damage):
    out = tmp_path / "out"
    shutil.copytree(interrupted, out)
    named = []
    for what, how in damage:
        randomness = random.Random(f"{what}{how.__name__}")
        files = [path for path in sorted(out.glob(PLACES[what])) if path.is_file() and path.stat().st_size]
        file = randomness.choice(files)
        how(file, randomness)
        # A record or a configuration that is deleted is not there: its run is trained again, with nothing to name.
        if not (how is delete and what in ("record", "configuration")):
            named.append(file)
    goes_on(out, undisturbed, *named, is_named=bool(named))
    status, output = faults.run(out, *QUIET)
    assert status == 0 and "damaged" not in output


@pytest.mark.long
def test_both_checkpoints_are_damaged(tmp_path, interrupted, undisturbed):
    """Then its runs start anew."""
    out = tmp_path / "out"
    shutil.copytree(interrupted, out)
    for manifest in out.glob("checkpoints/*/running-*/manifest.json"):
        empty(manifest, None)
    goes_on(out, undisturbed, manifest)


@pytest.mark.long
def test_random_bits(tmp_path, interrupted, undisturbed, capsys):
    """One bit of one file, anywhere: in a sweep that is over half of the time, in one that goes on else."""
    num_flips = faults.times(1, 100)
    randomness = random.Random()
    for number in range(num_flips):
        out = tmp_path / str(number)
        shutil.copytree((interrupted, undisturbed)[number % 2], out)
        file = randomness.choice(files_of(out))
        while file.stat().st_size == 0:
            file = randomness.choice(files_of(out))
        flip(file, randomness)
        goes_on(out, undisturbed, file)
        shutil.rmtree(out)
    faults.say(capsys, f"{num_flips} flipped bits: each found and named, each table the undisturbed one")


def test_deleting_checkpoints_makes_room_and_costs_nothing(tmp_path, undisturbed):
    """Then and later, when the grid has grown and there are other checkpoints of the same names."""
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    shutil.rmtree(out / "checkpoints")
    num_runs = len(faults.table(out))
    for arguments in ((), ("--seeds", "0", "1", "2"), ("--seeds", "0", "1", "2")):
        status, output = faults.run(out, *QUIET, *arguments)
        assert status == 0 and "damaged" not in output and "the last states of" in output, output
        assert not (out / "quarantine").exists()
    kept = [row for row in faults.table(out) if row["seed"] != "2"]
    assert kept == faults.table(undisturbed) and len(kept) == num_runs


def test_a_stray_file_is_left_alone(tmp_path, undisturbed):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    (out / "checkpoints" / "rnn-gap3" / "notes.txt").write_text("mine")
    output = goes_on(out, undisturbed, is_named=False)
    assert "damaged" not in output and (out / "checkpoints" / "rnn-gap3" / "notes.txt").exists()


def test_status_checks_without_touching(tmp_path, undisturbed):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    file = sorted(out.glob("records/*/*.json"))[0]
    flip(file, random.Random(1))
    status, output, _ = commands.run("status", out, "--check", cwd=faults.ROOT)
    assert status == 1 and f"damaged: {file}" in output and output.rstrip().endswith("1 damaged")
    assert file.exists() and not (out / "quarantine").exists()
