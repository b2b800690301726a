"""Errors that a command answers with one line and status 2. What each says is complete: no traceback is needed."""

from __future__ import annotations

from pathlib import Path


class ConfigError(ValueError):
    """Bad input, in one line: which field, what was given, what is allowed."""


class TextError(ValueError):
    """Bad text, in one line: the file, the line number, what was expected, what came."""


class DamagedError(ValueError):
    """What lies on disk is not what was written: truncated, emptied, changed, or a part of it missing."""


class UnwritableError(Exception):
    """The directory of the sweep can't be written any more: the disk is full, read-only or broken."""

    @classmethod
    def of(cls, root: Path, error: OSError) -> UnwritableError:
        """The error that says what to do about one of the system's."""
        return cls(
            f"can't write to {root} ({error.strerror or error}); what was written before is good: make room, or see to "
            "the disk, and repeat the command to go on"
        )
