"""What commands say: text as it is, to a reader that may go away meanwhile. No jax."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import rich.console


def make_console() -> rich.console.Console:
    """The only way to a console here: brackets and colons in what a user has named are neither markup nor emoji.

    In a notebook it writes plain lines: what rich has for one needs a package that may be missing, and says so.
    """
    is_terminal = False if in_notebook() else None  # None: rich finds out
    return rich.console.Console(
        markup=False, emoji=False, highlight=False, soft_wrap=True, force_jupyter=False, force_terminal=is_terminal
    )


def in_notebook() -> bool:
    """Whether what this process shows goes to a notebook: of Jupyter, Colab or Databricks."""
    return rich.console.Console().is_jupyter


def outlive_readers(*, goes_on: bool = True) -> None:
    """From here on this process ends with no error where its output can't be written: what counts are its files.

    Unless it `goes_on`, the BrokenPipeError is raised that says that nobody reads any more, once.
    """
    sys.stdout, sys.stderr = (_lasting(stream, goes_on) for stream in (sys.stdout, sys.stderr))


@contextlib.contextmanager
def lasting_output(*, goes_on: bool = True) -> Iterator[None]:
    """`outlive_readers` for the length of a command, what is written at the end of the process included."""
    before = sys.stdout, sys.stderr
    outlive_readers(goes_on=goes_on)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.flush()  # else Python would, when it ends, and complain
        sys.stdout, sys.stderr = before


def _lasting(stream: Any, goes_on: bool) -> Any:
    return stream if stream is None or isinstance(stream, _Lasting) else _Lasting(stream, goes_on)


class _Lasting:
    """A stream that is /dev/null from the first error on: a reader that died, a terminal or a disk that is gone."""

    def __init__(self, stream: Any, goes_on: bool) -> None:
        self._stream, self._goes_on = stream, goes_on

    def write(self, text: str) -> int:
        with self._anyway():
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._anyway():
            self._stream.flush()

    @contextlib.contextmanager
    def _anyway(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # Of the file itself, since what is left in its buffer is written again and again.
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
            if isinstance(error, BrokenPipeError) and not self._goes_on:
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
