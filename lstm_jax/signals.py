"""How a process hears SIGTERM, SIGHUP and Ctrl-C: the first time it saves and ends, the second time it ends. No jax."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

HANGUP: tuple[signal.Signals, ...] = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()  # Windows has none
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *HANGUP)
OF_TERMINAL = (signal.SIGINT, *HANGUP)
"""What reaches all processes of a terminal, at Ctrl-C and where it is closed, and is for the command alone."""


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end; `status` is its exit status: 130 after SIGINT, 143 SIGTERM, 129 SIGHUP."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.status = 128 + number


@contextlib.contextmanager
def on_signals(
    on_first: Callable[[int], None],
    on_second: Callable[[int], None] | None = None,
    signals: Sequence[int] = STOP_SIGNALS,
) -> Iterator[None]:
    """Call `on_first` with the first of these signals that comes, `on_second` with each one after it.

    Without `on_second` the process ends at once. SIGHUP is never a second one, since a terminal that is closed sends
    several, and stays ignored where it was (`nohup`). Outside the main thread, where Python handles no signals, nothing
    changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handle = _Handler(on_first, on_second or end_at_once)
    wanted = [number for number in signals if not (number in HANGUP and signal.getsignal(number) == signal.SIG_IGN)]
    before = {number: signal.signal(number, handle) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_stopped(number: int) -> None:
    """As `on_first`: leave by an exception."""
    raise Stopped(number)


def end_at_once(number: int) -> None:
    """As `on_second`: no more waiting."""
    os._exit(128 + number)


class _Handler:
    def __init__(self, on_first: Callable[[int], None], on_second: Callable[[int], None]) -> None:
        self._on_first, self._on_second = on_first, on_second
        self._num_received = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._num_received and number in HANGUP:
            return
        self._num_received += 1
        (self._on_first if self._num_received == 1 else self._on_second)(number)
