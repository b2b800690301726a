"""What every test runs under: shapes and types checked at run time, on the CPU, helper modules importable."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator

import checking
import faults
import forking
import jaxtyping
import once
import pytest

os.environ["JAX_PLATFORMS"] = "cpu"  # the numbers that tests assert are a CPU's; before jax is imported
# Tests spend their time compiling: with a lower level, and without fusions by way of MLIR, it is less than half of it.
# A test process a core leaves no core for threads; nor does a program in one part for compiling them at once.
XLA = ["cpu_multi_thread_eigen=false", "backend_optimization_level=0", "cpu_use_fusion_emitters=false"]
XLA += ["cpu_parallel_codegen_split_count=1"]
os.environ["XLA_FLAGS"] = " ".join(f"--xla_{flag}" for flag in XLA)
# What one test has compiled, others need not: all processes of a session share what they compile, commands too.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="lstm_jax-xla-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
# Nor what Python has compiled: hundreds of commands and workers import our modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # programs need not say which lines they come from
os.environ["OMP_NUM_THREADS"] = "1"  # a sweep in this process sets it: commands after it would not be forked
forking.ENVIRONMENT |= os.environ
subprocess.Popen = forking.Popen
once.share_contexts()
once.spare_messages()
once.share_scripts(os.environ["JAX_COMPILATION_CACHE_DIR"])

# jaxtyping's annotations cost nothing in use; here beartype checks each of them. Only modules imported from now on
# are checked, so the hook has to come first.
if any(name.partition(".")[0] == "lstm_jax" for name in sys.modules):
    raise RuntimeError("lstm_jax was imported before tests/conftest.py: its annotations would go unchecked")
jaxtyping.jaxtyped = checking.jaxtyped
jaxtyping.install_import_hook("lstm_jax", "beartype.beartype")


@pytest.fixture
def x64() -> Iterator[None]:
    """float64 for one test."""
    import jax  # not above: tests of analysis and report do without jax

    with jax.enable_x64(True):
        yield


MOST_MAPPINGS = 20_000
"""Of memory, of a process; where it has 65,530 of them, Linux gives no more, and compiling ends in a crash."""


def forget_programs() -> None:
    """Let go of what jax has compiled, once it is so much: a program has several mappings of memory."""
    import jax

    try:
        with open("/proc/self/maps", "rb") as file:
            num_mappings = sum(1 for _ in file)
    except OSError:  # not Linux
        return
    if num_mappings > MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """No silent mixing of dtypes, in fixtures of any scope too, unless a test is marked `standard_promotion`.

    A sweep needs no mark: it pins the option to what users have, as commands do, in processes of their own.
    """
    import jax

    standard = item.get_closest_marker("standard_promotion") is not None
    jax.config.update("jax_numpy_dtype_promotion", "standard" if standard else "strict")
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path:
            forget_programs()


def pytest_collection_finish(session):
    """What is imported stays: garbage need not be looked for in it again and again."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def pytest_collection_modifyitems(config, items):
    """`make test` has a short form of each test; what is marked long is for `make test-faults`."""
    if not faults.LONG:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
