"""kill -9 of any process at any moment, any number of times: the repeated command ends with the undisturbed table."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import signal
import time
from pathlib import Path

import faults
import forking


def kind_of(pid, command):
    """Which process of a command that is."""
    if pid == command:
        return "command"
    with contextlib.suppress(OSError):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        for word, kind in (("executors import process", "worker"), ("wandb-core", "wandb-core")):
            if word in line:
                return kind
    return "other"


def test_random_kills(tmp_path, undisturbed, capsys):
    num_kills = faults.times(2, 300)
    seed = int.from_bytes(os.urandom(2), "big")
    randomness = random.Random(seed)
    killed: collections.Counter[str] = collections.Counter()
    num_sweeps = num_commands = 0
    mode = faults.times("disabled", "offline")
    while killed.total() < num_kills:
        out = tmp_path / f"out{num_sweeps}"
        num_sweeps += 1
        status = -1
        while status != 0:
            process = faults.start(
                out, "--wandb", mode, draws=True, **{forking.FRESH: "1"}
            )  # so that workers can be told
            num_commands += 1
            while process.poll() is None and killed.total() < num_kills:
                # Half of the kills fall into the first seconds, where processes start and compile.
                time.sleep(randomness.choice([randomness.uniform(0, 3), randomness.uniform(3, 9)]))
                there = faults.processes_of(process.pid)
                if process.poll() is None and there:
                    victim = randomness.choice(there)
                    killed[kind_of(victim, process.pid)] += 1
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(victim, signal.SIGKILL)
            status, output = faults.finish(process)
            assert status in (0, 1, -signal.SIGKILL), (seed, output)  # 1: its worker was killed too often
            assert "Traceback" not in output, (seed, output)
        assert faults.table(out) == faults.table(undisturbed), seed
        assert not (out / "quarantine").exists(), (seed, output)
        records = list((out / "records").glob("*/*.json"))
        assert len(records) == len(faults.table(out))
        if mode == "offline":
            logged = {file.name for file in (out / "wandb").glob("offline-run-*/run-*.wandb")}
            assert len(logged) == len(records), seed
    faults.say(
        capsys,
        f"{killed.total()} kills ({', '.join(f'{count} {kind}' for kind, count in killed.items())}), {num_commands} "
        f"commands, {num_sweeps} sweeps: each table is the undisturbed one",
    )
