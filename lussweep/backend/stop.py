"""Handles Ctrl-C, SIGTERM and SIGHUP: the first ends a run in order, the second at once."""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

INTERRUPTED = 130
"""The exit code of a command that a signal ended: 128 plus the number of SIGINT."""
GRACE_S = 15.0
"""Seconds in which running steps may end, or leave a checkpoint."""


class Stop:
    """A request to end the run. Steps in other processes see it through their `Link`."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.grace_s = grace_s
        self.requested_at: float | None = None
        self.breaks_off = False
        """Whether a signal interrupts the running step at once. Set if the step runs in this
        process and leaves no checkpoint."""

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self.requested_at is not None

    @property
    def is_over(self) -> bool:
        """Whether a stop was requested and the grace has passed."""
        if self.requested_at is None:
            return False
        return time.monotonic() - self.requested_at > self.grace_s

    def request(self) -> None:
        """Request a stop now."""
        self.requested_at = time.monotonic()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn signals into stop requests inside this block.

        Call `listen` again after Ray has started, because Ray sets its own handler.
        """
        before = {number: signal.getsignal(number) for number in _heard()}
        self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Set the handlers of the signals."""
        for number in _heard():
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _leave_terminal()
        if self.requested:
            show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
            _say(f"{show_cursor}\nended at once\n")
            os._exit(INTERRUPTED)
        self.request()
        _say("\nstopping: no new steps; GANs leave a checkpoint. Once more ends at once\n")
        if self.breaks_off:
            raise KeyboardInterrupt


def _say(text: str) -> None:
    with suppress(OSError):  # the output may be gone
        os.write(2, text.encode())


def _leave_terminal() -> None:
    """Send standard output and error to nowhere, if they were a terminal. It has closed.

    A write there would be an error, and end the run before it has stopped in order.
    """
    with open(os.devnull, "w") as nowhere:
        for stream in (1, 2):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(nowhere.fileno(), stream)


def _heard() -> tuple[signal.Signals, ...]:
    """The signals that end a run. A terminal that closes sends SIGHUP, which nohup ignores."""
    closes = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if closes else []))
