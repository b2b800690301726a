"""Compiled programs are kept: a process that needs the same ones compiles nothing, and its numbers are the same."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import pytest

from lstm_jax.sweeps.worker import program_cache

ROOT = Path(__file__).parents[2]
# Trains a job as a worker does, in two goes, and counts what jax asks of its cache (a miss is an entry written).
PROGRAM = """
    import collections, hashlib, itertools, json, sys
    from pathlib import Path
    import jax
    from lstm_jax.sweeps.worker import states as checkpoints
    from lstm_jax.sweeps.config.options import SweepConfig
    from lstm_jax.sweeps.store.directory import Directory
    from lstm_jax.sweeps.worker.setup import prepare_process
    from lstm_jax.sweeps.plan import make_jobs
    from lstm_jax.sweeps.worker.job import run_job

    events = collections.Counter()
    jax.monitoring.register_event_listener(lambda event, **_: events.update([event.rpartition("/")[2]]))
    prepare_process()
    config = SweepConfig.of(
        cells=("rnn",), gaps=(2,), hidden_dim=4, seeds=(0, 1), learning_rates=(0.003,), max_steps=12, chunk_steps=4
    )
    (job,), _ = make_jobs(config)
    directory = Directory(Path(sys.argv[1]))
    calls = itertools.count()
    assert run_job(job, directory, lambda: next(calls) == 1).status == "stopped"
    assert run_job(job, directory).status == "done"
    states = [checkpoints.restore(directory.checkpoints(job), job, run) for run in job.runs]
    leaves = jax.tree.leaves([checkpoints.to_host(state) for state in states])
    curves = [record.curve for record in directory.records([job])]
    print(curves, hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest())
    print(json.dumps(events))
"""


def run(program, cache, *arguments, **environment):
    """What it prints, a line each; it has nothing to say beside."""
    inherited = {name: value for name, value in os.environ.items() if "_CACHE_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        cwd=ROOT,
        env=inherited | {"XDG_CACHE_HOME": str(cache)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def train(out, cache, **environment):
    """What jax asked of its cache, and the numbers, bit for bit."""
    out.mkdir()
    numbers, events = run(PROGRAM, cache, out, **environment)
    assert numbers.count("CurvePoint") == 2 * 3
    return collections.Counter(json.loads(events)), numbers


def entries_of(cache):
    return sorted(cache.glob("lstm_jax/xla/*/*-cache"))


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A cache that one process has filled, what that one did, and its numbers."""
    path = tmp_path_factory.mktemp("first")
    return path / "cache", *train(path / "out", path / "cache")


def test_a_second_process_compiles_nothing(first, tmp_path):
    cache, events, numbers = first
    assert events["cache_misses"] == len(entries_of(cache)) > 3
    again, same = train(tmp_path / "out", cache)
    assert again["cache_misses"] == 0 and again["cache_hits"] == again["compile_requests_use_cache"] > 0
    assert again["compile_requests_use_cache"] == events["compile_requests_use_cache"]
    assert same == numbers


def test_the_numbers_are_those_without_a_cache(first, tmp_path):
    events, numbers = train(tmp_path / "out", tmp_path / "cache", JAX_ENABLE_COMPILATION_CACHE="false")
    assert events["compile_requests_use_cache"] == 0 and not (tmp_path / "cache").exists()
    assert numbers == first[2]


def test_damaged_entries_are_replaced(first, tmp_path):
    """Each in a way of its own: cut off, empty, other bytes, a flipped bit."""
    cache, events, numbers = first
    ways = [lambda text: text[: len(text) // 2], lambda _: b"", lambda _: b"garbage", lambda text: text[:-1] + b"\0"]
    entries = entries_of(cache)
    for number, entry in enumerate(entries):
        entry.write_bytes(ways[number % len(ways)](entry.read_bytes()))
    again, same = train(tmp_path / "out", cache)
    assert again["cache_misses"] == events["cache_misses"] == len(entries) and entries_of(cache) == entries
    assert same == numbers
    for entry in entries:
        zlib.decompress(entry.read_bytes())


def test_a_cache_that_cannot_be_written_costs_time_alone(first, tmp_path):
    (tmp_path / "cache").write_text("a file")
    _, numbers = train(tmp_path / "out", tmp_path / "cache")
    assert numbers == first[2]


def test_what_the_user_has_set_counts(tmp_path):
    program = """
        from lstm_jax.sweeps.worker.setup import prepare_process

        prepare_process()
        import jax

        print(jax.config.jax_compilation_cache_dir)
        print(jax.config.jax_persistent_cache_min_compile_time_secs)
    """
    place, seconds = run(program, tmp_path)
    assert Path(place).parent == tmp_path / "lstm_jax" / "xla" and float(seconds) == 0
    own = {"JAX_COMPILATION_CACHE_DIR": "/own", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "7"}
    assert run(program, tmp_path, **own) == ["/own", "7.0"]


def test_a_machine_has_a_directory_of_its_own(monkeypatch):
    """By what its CPU is and can do, not by what changes from second to second; and by the cores there are."""

    def directory(flags, frequency, cores=2):
        text = f"model name\t: Xeon\ncpu MHz\t\t: {frequency}\nflags\t\t: {flags}\n\nprocessor\t: 1\n"
        monkeypatch.setattr(Path, "read_text", lambda _: text)
        monkeypatch.setattr(program_cache, "num_cores", lambda: cores)
        return program_cache.cache_directory()

    assert directory("avx", 1) == directory("avx", 2)
    assert len({directory("avx", 1), directory("avx avx2", 1), directory("avx", 1, cores=1)}) == 3
