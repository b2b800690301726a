"""Put faults into a copy of the code, one at a time, and see that the test of each fails.

    python tests/mutants.py                                 all of tests/helpers/mutants_list.py
    python tests/mutants.py cells scan/padding-has-outputs  those of an area, or one
    python tests/mutants.py --baseline                      first see that the tests pass without a fault

Exit status 1 where a mutant survives: no test sees that fault.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))
if TYPE_CHECKING:
    from mutants_list import Mutant

STRANGER = "imported from elsewhere: "
COPIED = ("lstm_jax", "experiments", "benchmarks", "tests", "pyproject.toml")
T = TypeVar("T")
FEW = 20
"""Of so many mutants it is said what failed, too."""
MOST_SECONDS = 300.0
"""For one test; a mutant that takes longer is not called killed."""

# In the copy, for pytest: no code of ours may come from elsewhere, as it would where an installed package is found.
PLUGIN = """
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def pytest_sessionfinish(session):
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] in ("lstm_jax", "experiments") and file and HERE not in pathlib.Path(file).parents:
            print(f"imported from elsewhere: {name}, {file}")
            session.exitstatus = 99
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to try."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME ...]")] = ()
    """Mutants or areas; all if none is given."""
    jobs: int = 2
    """How many at once."""
    list: bool = False
    """Only list them."""
    baseline: bool = False
    """First run all the tests without a fault."""


class Copy:
    """A copy of the code in a directory of its own, in which one file at a time is wrong."""

    def __init__(self, root: Path) -> None:
        self.root, self._num_writes = root, 0
        # As workers of one pytest session they share what they compile (tests/conftest.py), which halves the time.
        compiled = {"PYTEST_XDIST_WORKER": "mutants", "JAX_COMPILATION_CACHE_DIR": str(root.parent / "compiled")}
        self._variables = {"PYTHONPATH": str(root), **compiled}
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
            else:
                shutil.copy2(ROOT / name, root / name)
        (root / "only_this_copy.py").write_text(PLUGIN)
        found = self._run("-c", "import experiments, lstm_jax; print(lstm_jax.__file__, experiments.__file__)")
        if found.stdout.split() != [str(root / name / "__init__.py") for name in ("lstm_jax", "experiments")]:
            raise SystemExit(f"error: expected the code in {root}, got {found.stdout}{found.stderr}")

    def test(self, *ids: str) -> tuple[int, list[str]]:
        """Run tests of the copy; returns pytest's exit status and what it says of those that failed, a line each."""
        options = ("--tb=line", "-rfE", "-p", "only_this_copy", "--hypothesis-seed=0")
        try:
            done = self._run("-m", "pytest", *options, *ids, seconds=MOST_SECONDS * len(ids))
        except subprocess.TimeoutExpired:
            return -1, [f"not over within {MOST_SECONDS * len(ids):.0f} s"]
        lines = (done.stdout + done.stderr).splitlines()
        failed = [line for line in lines if line.startswith(("FAILED ", "ERROR ", STRANGER))]
        return done.returncode, failed or lines[-1:]

    def kill(self, mutant: Mutant) -> tuple[int, list[str]]:
        """Run the test of a mutant with it in place."""
        text = (ROOT / mutant.file).read_text()
        try:
            self._write(mutant.file, text.replace(mutant.old, mutant.new))
            return self.test("-x", mutant.test)
        finally:
            self._write(mutant.file, text)

    def _write(self, name: str, text: str) -> None:
        """Write a file at a time of its own: Python takes compiled code for that of a file by its second and size."""
        self._num_writes += 1
        (self.root / name).write_text(text)
        seconds = (ROOT / name).stat().st_mtime + 10 * self._num_writes
        os.utime(self.root / name, (seconds, seconds))

    def _run(self, *arguments: str, seconds: float = MOST_SECONDS) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=variables | self._variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )


Copies = queue.SimpleQueue[Copy]


def main(options: Options) -> int:
    """Try them; the exit status."""
    from mutants_list import MUTANTS

    chosen = [mutant for mutant in MUTANTS if not options.names or {mutant.name, mutant.area} & set(options.names)]
    unknown = set(options.names) - {name for mutant in MUTANTS for name in (mutant.name, mutant.area)}
    if unknown:
        print(f"error: unknown mutant {sorted(unknown)[0]!r}: see --list", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(f"{mutant.name:70}{mutant.test}" for mutant in chosen))
        return 0
    misplaced = [mutant for mutant in chosen if (ROOT / mutant.file).read_text().count(mutant.old) != 1]
    for mutant in misplaced:
        print(f"not there once: {mutant.name}: expected this in {mutant.file} exactly once:\n{mutant.old}")
    chosen = [mutant for mutant in chosen if mutant not in misplaced]
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        roots = [Path(directory).resolve() / str(number) for number in range(min(options.jobs, max(1, len(chosen))))]
        for root in roots:
            root.mkdir()
        copies: Copies = queue.SimpleQueue()
        with concurrent.futures.ThreadPoolExecutor(len(roots)) as pool:
            for copy in pool.map(Copy, roots):
                copies.put(copy)
            try:
                passed = not options.baseline or _baseline(chosen, copies, pool)
                survived = _all_killed(chosen, copies, pool) if passed else chosen
            except BaseException:  # Ctrl-C: those that wait are not begun
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return 1 if survived or misplaced else 0


def _baseline(chosen: list[Mutant], copies: Copies, pool: concurrent.futures.Executor) -> bool:
    """Whether all the tests pass without a fault."""
    tests, number = sorted({mutant.test for mutant in chosen}), copies.qsize()
    found = list(pool.map(lambda first: _with(copies, lambda copy: copy.test(*tests[first::number])), range(number)))
    for line in [line for status, lines in found if status for line in lines]:
        print(f"without a mutant: {line}", flush=True)
    passed = not any(status for status, _ in found)
    print(f"{len(tests)} tests {'pass' if passed else 'do not all pass'} without a mutant", flush=True)
    return passed


def _all_killed(chosen: list[Mutant], copies: Copies, pool: concurrent.futures.Executor) -> list[Mutant]:
    """Try all mutants and print how each ended; returns those that were not killed."""
    started, survived = time.monotonic(), []

    def timed(mutant: Mutant) -> tuple[int, list[str], float]:
        began = time.monotonic()
        status, lines = _with(copies, lambda copy: copy.kill(mutant))
        return status, lines, time.monotonic() - began

    running = {pool.submit(timed, mutant): mutant for mutant in chosen}
    for number, future in enumerate(concurrent.futures.as_completed(running), 1):
        mutant, (status, lines, seconds) = running[future], future.result()
        # Of pytest's exit statuses 0 is that all have passed; others than 1, that none could be run.
        what = {0: "SURVIVED", 1: "killed"}.get(status, f"NOT RUN ({status})")
        survived += [mutant] if status != 1 else []
        left = (time.monotonic() - started) / number * (len(chosen) - number) / 60
        print(f"{number}/{len(chosen)}  {left:.1f} min left  {seconds:.0f} s  {what}  {mutant.name}", flush=True)
        if status != 1 or len(chosen) <= FEW:
            print("\n".join(f"    {line}" for line in lines), flush=True)
    print(f"{len(chosen) - len(survived)} of {len(chosen)} killed in {time.monotonic() - started:.0f} s")
    for mutant in survived:
        print(f"not killed: {mutant.name}, by {mutant.test}")
    return survived


def _with(copies: Copies, act: Callable[[Copy], T]) -> T:
    """What `act` makes of a copy that is free."""
    copy = copies.get()
    try:
        return act(copy)
    finally:
        copies.put(copy)


if __name__ == "__main__":
    without_pairs = (tyro.conf.FlagCreatePairsOff,)
    sys.exit(main(tyro.cli(Options, prog="python tests/mutants.py", description=__doc__, config=without_pairs)))
