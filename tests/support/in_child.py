"""Functions that tests run in a child process of lussweep/store/child.py."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import struct
import sys
import time
from multiprocessing.connection import Connection
from typing import IO, Any


def echo(*values: Any) -> tuple[Any, ...]:
    return values


def pid() -> int:
    return os.getpid()


def modules() -> list[str]:
    return sorted(sys.modules)


def die(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def exit_with(status: int) -> None:
    os._exit(status)


def fill_memory(n_bytes: int) -> int:
    return len(bytearray(n_bytes))


def spin() -> None:
    while True:
        pass


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def write(content: bytes, times: int, out: IO[bytes]) -> int:
    for _ in range(times):
        out.write(content)
    return times


def fail(error: Exception) -> None:
    raise error


class OwnError(Exception):
    """An error that a caller may expect."""


def answer_with(content: bytes) -> None:
    """Sends an answer of its own."""
    Connection(_socket()).send_bytes(content)
    time.sleep(60)


def stop_in_the_answer() -> None:
    """Announces 100 bytes, and sends none."""
    os.write(_socket(), struct.pack("!i", 100))
    time.sleep(60)


def hang_up() -> None:
    """Closes the connection, and lives on."""
    os.close(_socket())
    time.sleep(60)


def _socket() -> int:
    """The connection to the parent, which is the only socket of a child."""
    for number in range(3, 64):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                return number
    raise AssertionError("no socket")


class HalfPickledError(Exception):
    """Its pickle cannot be read."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def fail_with_an_error_that_cannot_be_made_again() -> None:
    raise HalfPickledError(1, 2)


def die_unless_fresh(first: int) -> int:
    """Dies in the process that has the id `first`, and returns the id of any other."""
    if os.getpid() == first:
        os.kill(first, signal.SIGSEGV)
    return os.getpid()
