"""What this machine has, and which versions the numbers come from. No jax."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import itertools
import os
import platform
import re
from pathlib import Path

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.execution import ExecutionOptions
from lstm_jax.sweeps.sources import PACKAGES, own_digest


@functools.cache
def versions() -> str:
    """The versions that numbers come from, as text: `lstm_jax 0.1.0+3a5f..., jax 0.10.2, ...`; ours with its source."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    found["lstm_jax"] += f"+{own_digest()}"
    return ", ".join(f"{name} {version}" for name, version in found.items())


def versions_of(text: str) -> dict[str, str]:
    """The versions in such a text, by package."""
    return dict(entry.split(" ", 1) for entry in text.split(", ") if " " in entry)


def available_bytes() -> int:
    """Memory that this machine, or the container it is in, has in all."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        return min(total, int(limit)) if limit.isdigit() else total
    except OSError:
        return total


def has_accelerator() -> bool:
    """Whether jax will find a GPU; does not import it."""
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return False
    return bool(accelerators()) and _has_cuda_plugin()


def check_platforms() -> None:
    """Raise ConfigError where JAX_PLATFORMS asks for a GPU alone and there is none: jax itself gives no reason."""
    asked = os.environ.get("JAX_PLATFORMS", "")
    wanted = [name.strip().lower() for name in asked.split(",") if name.strip()]
    if wanted and set(wanted) <= {"cuda", "gpu"} and not (_has_cuda_plugin() and may_have_gpu()):
        raise ConfigError(
            f"JAX_PLATFORMS={asked} asks for a GPU, and jax finds none here; expected a GPU and an installation with "
            "the extra cuda13, or no such variable"
        )


def may_have_gpu() -> bool:
    """Whether a GPU may be there: False alone is certain, since some are no /dev/nvidia0 (of WSL, of Jetson)."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        return bool(accelerators())
    return any(any(Path("/dev").glob(pattern)) for pattern in ("nvidia*", "nvhost*", "nvmap", "dxg"))


def _has_cuda_plugin() -> bool:
    return any(importlib.util.find_spec(name) is not None for name in ("jax_cuda13_plugin", "jax_cuda12_plugin"))


def accelerators() -> list[str]:
    """The GPUs that this process may use, by what CUDA_VISIBLE_DEVICES calls them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:  # CUDA reads it up to the first name that is none: -1, NoDevFiles
        names = (name.strip() for name in visible.split(","))
        return list(itertools.takewhile(re.compile(r"\d+|(GPU|MIG)-.+").fullmatch, names))
    names = (path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
    return sorted((name for name in names if name.isdecimal()), key=int)


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> str:
    """This machine in a line: processor, cores that may be used, memory, system, Python, GPUs."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        names = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        processor = names[0] if names else processor
    gpus = f", {len(accelerators())} GPUs" if has_accelerator() else ""
    return (
        f"{processor}, {num_cores()} cores, {available_bytes() / 2**30:.0f} GiB{gpus}, {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}"
    )


def num_workers(options: ExecutionOptions) -> int:
    """Jobs at once on this machine: as many as the options say, or one per core or GPU."""
    if options.executor == "serial":
        return 1
    return options.workers or (len(accelerators()) if has_accelerator() else num_cores())
