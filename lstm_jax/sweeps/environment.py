"""What jax reads from a user's environment: what changes numbers is pinned or recorded. No jax."""

from __future__ import annotations

import os
import re
from typing import Any

from lstm_jax.sweeps.machine import has_accelerator

PINNED: dict[str, Any] = {
    # Keys and what is drawn from them.
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_threefry_gpu_kernel_lowering": False,
    "jax_legacy_prng_key": "allow",
    "jax_debug_key_reuse": False,
    # Types and shapes.
    "jax_enable_x64": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    # How programs are made.
    "jax_default_matmul_precision": "highest",  # on a GPU float32 would mean TF32
    "jax_allow_f16_reductions": True,
    "jax_disable_jit": False,
    "jax_disable_most_optimizations": False,
    "jax_compiler_enable_remat_pass": True,
    "jax_optimization_level": "UNKNOWN",
    "jax_exec_time_optimization_effort": 0.0,
    "jax_memory_fitting_effort": 0.0,
    "jax_memory_fitting_level": "O2",
    "jax_softmax_custom_jvp": False,
    "jax_use_direct_linearize": True,
    "jax_no_tracing": False,
    "jax_no_execution": False,
    # Guards, under which programs that are right can fail: a run whose loss is NaN has diverged, it did not crash.
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_check_tracer_leaks": False,
    "jax_thread_guard": False,
    "jax_transfer_guard": "allow",
    "jax_transfer_guard_host_to_device": "allow",
    "jax_transfer_guard_device_to_device": "allow",
    "jax_transfer_guard_device_to_host": "allow",
}
"""Options of jax that have one value in all training; those that a version of jax does not have are left out."""

_NO_NUMBER = re.compile(
    "CACHE|LOG|TRACEBACK|DUMP|PLATFORM|VISIBLE_DEVICES|COORDINATOR|PROCESS|PROFILE|PGLE|LOCATIONS|PPRINT|PROXY|TIMEOUT"
)
"""In the names of variables that change no number: where programs are stored, what is printed, who talks to whom. The
kind of device, and how many there are, stand in each row as `device`."""
_OTHERS = ("LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE", "TF_CUDNN_DETERMINISTIC")


def own_flags() -> list[str]:
    """The flags of XLA that a worker sets."""
    flags = ["--xla_cpu_multi_thread_eigen=false"]
    if not has_accelerator():
        flags.append("--xla_backend_optimization_level=1")  # compiles faster, runs as fast: docs/decisions/0009
    return flags


def environment() -> str:
    """The variables that may change numbers and can't be pinned, as text; empty where there are none.

    Flags of XLA are sorted, the last of several values counts, and those of `own_flags` are left out.
    """
    flags = dict(flag.partition("=")[::2] for flag in os.environ.get("XLA_FLAGS", "").split())
    own = dict(flag.partition("=")[::2] for flag in own_flags())
    given = {
        name: value for name, value in flags.items() if own.get(name) != value and not name.startswith("--xla_dump")
    }
    entries = [f"{name}={value}" if value else name for name, value in sorted(given.items())]
    for name in sorted(os.environ):
        is_option = name.startswith("JAX_") and name.lower() not in PINNED and not _NO_NUMBER.search(name)
        if is_option or name in _OTHERS:
            entries.append(f"{name}={os.environ[name]}")
    return " ".join(entries)


def overridden() -> list[str]:
    """The variables of the environment that a sweep does not listen to."""
    return sorted(name for name in os.environ if name.lower() in PINNED)
