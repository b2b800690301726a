"""What the numbers were measured on."""

from __future__ import annotations

from pathlib import Path


def processor() -> str:
    """The processor's name, as it gives it itself; "cpu" where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "cpu")


def device_name() -> str:
    """That of the accelerator, or of the processor where there is none."""
    import jax

    return processor() if jax.default_backend() == "cpu" else str(jax.devices()[0].device_kind)
