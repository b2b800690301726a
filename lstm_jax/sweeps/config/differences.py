"""What one configuration has otherwise than another, in words. No jax."""

from __future__ import annotations

from lstm_jax.sweeps.config.fields import in_words
from lstm_jax.sweeps.config.options import SweepConfig, flat


def differences(old: SweepConfig, new: SweepConfig) -> list[str]:
    """List what `new` has otherwise than the directory of `old`, one line each; its grid may be larger."""
    lines = []
    for name, was in flat(old.grid).items():
        now = flat(new.grid)[name]
        if was is None or now is None:
            lines += [f"{name}: {was} there, {now} in this command"] if was != now else []
            continue
        missing = [value for value in was if value not in now]
        if missing:
            lines.append(f"{name}: {in_words(missing)} is there but not in this command")
    before, after = ({"task": each.task, **flat(each.model), **flat(each.training)} for each in (old, new))
    lines += [
        f"{name}: {was} there, {after[name]} in this command" for name, was in before.items() if was != after[name]
    ]
    return lines
