"""Runs a function on a file that is not trusted in a child process that has limits.

A decoder can crash, fill the memory or never end on a file that is damaged or was made to do so.
In a child process each of the three becomes a refusal of that file. A child serves one call after
another, and ends after IDLE_SECONDS without a call. If a call breaks a child that has served
before, the call is tried again in a fresh child, because the cause may lie in an earlier file. A
child is not a sandbox: it has the rights of its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import IO, Any

from lussweep.errors import InputError
from lussweep.store.child_process import LIMITS, Limits

IDLE_SECONDS = 60.0
MAX_IDLE = 2
"""Most idle children that a process keeps. Threads that call at once have one child each."""
COPY_AGAIN = "copy it again from its source or leave it out"
MAX_ANSWER_BYTES = 2**28
"""Most bytes of an answer: the numbers and times of a million frames take some 30 MB."""
NO_ANSWER = "the process that reads it gave no valid answer"


class _BrokenError(Exception):
    """Says how the child died, or which limit it broke."""


def call(
    path: Path,
    function: Callable[..., Any],
    *args: Any,
    out: IO[bytes] | None = None,
    limits: Limits = LIMITS,
    remedy: str = COPY_AGAIN,
    errors: Collection[type[Exception]] = (),
) -> Any:
    """Returns `function(*args)`, or `function(*args, out)` with `out`, computed in a child process.

    `path` is the file that the function reads. `function` belongs to a module that the child can
    import. Its value comes back as JSON, so a tuple becomes a list: nothing that a child sends may
    run code here, because a file may have taken the child over. The child writes large arrays to
    `out`, an open file (`scratch`), from its beginning. Afterwards the position in the file is the
    end of what was written; bytes of an earlier call may follow.

    Raises an error of the function if it is an InputError, an OSError or one of `errors`, whose
    only argument is a text; other errors become a ValueError. Raises InputError with `path`, the
    finding and `remedy` if the child dies or breaks a limit.
    """
    if (used := _take_idle()) is not None:
        with contextlib.suppress(_BrokenError):
            return _run(used, function, args, out, limits, errors)
    try:
        return _run(_Child(), function, args, out, limits, errors)
    except _BrokenError as finding:
        raise InputError(f"{path}: {finding}: {remedy}") from None


def scratch() -> IO[bytes]:
    """An open file without a name: in memory where the system has such files, else on disk."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("lussweep"), "w+b")
    return tempfile.TemporaryFile()


_idle: list[_Child] = []
_lock = threading.Lock()


class _Child:
    """A child process and the connection to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        # The child finds the same modules. It runs no other code of the parent's main program.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from lussweep.store.child_process import serve; "
            f"serve({theirs.fileno()}, {os.getpid()}, {IDLE_SECONDS})"
        )
        # glibc keeps the memory of one frame for the next: else each is zeroed again by the kernel.
        keeps_memory = {
            "MALLOC_MMAP_THRESHOLD_": str(2**25),
            "MALLOC_TRIM_THRESHOLD_": str(2**26),
            # A Ray worker reserves 64 MiB at a time and for each thread. This counts as memory, so
            # the child would be ended after each call.
            "MALLOC_TOP_PAD_": str(2**17),
        }
        # Arrow's own pool reserves a gigabyte of addresses at once, which counts as memory.
        plain_pool = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                pass_fds=[theirs.fileno()],
                env={**os.environ, **one_thread, **keeps_memory, **plain_pool},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders write to it
            )
        self.connection = Connection(ours.detach())

    def end(self) -> int:
        """Ends the process at once. Returns its exit status."""
        self.connection.close()
        self.process.kill()
        return self.process.wait()


def _take_idle() -> _Child | None:
    with _lock:
        return _idle.pop() if _idle else None


def _run(
    child: _Child,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    out: IO[bytes] | None,
    limits: Limits,
    errors: Collection[type[Exception]],
) -> Any:
    """Runs one call in `child`, and keeps the child if it can serve again."""
    keep = False
    try:
        if out is not None:
            os.lseek(out.fileno(), 0, os.SEEK_SET)
        kind, value, is_sound = _exchange(child, (function, args, out is not None, limits), out)
        if kind == "broken":
            raise _BrokenError(value)
        try:
            error = _error_from(value, errors) if kind == "raised" else None
        except (KeyError, TypeError):
            raise _BrokenError(NO_ANSWER) from None
        keep = is_sound
    finally:
        if not keep:
            child.end()
        else:
            _give_back(child)
    if error:
        raise error
    return value


def _error_from(described: Mapping[str, Any], errors: Collection[type[Exception]]) -> Exception:
    """The error that a child describes (`_described`), if its type is one that is expected."""
    text = str(described["text"])
    if described["type"] == "InputError":
        return InputError(map(str, described["problems"]))
    if described["type"] == "OSError":
        return OSError(described["errno"], text, described["filename"])
    expected = {error.__name__: error for error in errors}
    error = expected.get(described["type"], ValueError)(text)
    error.add_note(str(described["traceback"]))
    return error


def _exchange(child: _Child, task: tuple[Any, ...], out: IO[bytes] | None) -> tuple[str, Any, bool]:
    """Sends a task and waits for the answer. A child that takes too long is killed.

    The timer also frees this process from a child that stops in the middle of its answer, or that
    closes the connection and lives on.
    """
    limits: Limits = task[-1]
    deadline = time.monotonic() + limits.wall_seconds
    timer = threading.Timer(limits.wall_seconds, child.process.kill)
    timer.daemon = True
    timer.start()
    try:
        child.connection.send(task)  # the child may trust its parent, and pickle is for that
        if out is not None:
            send_handle(child.connection, out.fileno(), child.process.pid)
        match json.loads(child.connection.recv_bytes(MAX_ANSWER_BYTES)):
            case ["value" | "raised" | "broken" as kind, value, bool(keep)]:
                return kind, value, keep
        raise ValueError("not an answer")
    except (EOFError, ConnectionError):
        status = child.process.wait()
        if status == -signal.SIGKILL and time.monotonic() >= deadline:
            raise _BrokenError(f"reading it takes over {limits.wall_seconds} seconds") from None
        raise _BrokenError(_death(status, limits)) from None
    except (OSError, ValueError, RecursionError):
        raise _BrokenError(NO_ANSWER) from None
    finally:
        timer.cancel()


def _death(status: int, limits: Limits) -> str:
    """How a child died, by its exit status."""
    if status >= 0:
        return f"the process that reads it ended with status {status}"
    if -status == signal.SIGXCPU:
        return f"reading it takes over {limits.cpu_seconds} seconds of CPU time"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"the process that reads it died of {name}"


def _give_back(child: _Child) -> None:
    with _lock:
        if len(_idle) < MAX_IDLE:
            _idle.append(child)
            return
    child.end()


@atexit.register
def end_children() -> None:
    """Ends the idle children of this process."""
    while (child := _take_idle()) is not None:
        child.end()


def _forget() -> None:
    """Lets a forked process start children of its own. The others belong to its parent."""
    global _lock
    _lock = threading.Lock()
    for child in _idle:
        child.connection.close()
        child.process.returncode = 0  # nothing to wait for
    _idle.clear()


os.register_at_fork(after_in_child=_forget)
