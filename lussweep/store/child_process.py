"""Answers calls in a child process that has limits: the other half of `child.py`."""

from __future__ import annotations

import errno
import gc
import json
import math
import os
import resource
import signal
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, recv_handle
from pathlib import Path
from typing import Any

from lussweep.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What one call of `child.call` may use."""

    memory_bytes: int = 2**31
    """Private memory of the child (RLIMIT_DATA), including some 100 MB of libraries."""
    cpu_seconds: int = 600
    wall_seconds: int = 3600
    output_bytes: int = 2**32
    """Most bytes of a file that the child writes."""


LIMITS = Limits()


def serve(fd: int, parent: int, idle_seconds: float) -> None:
    """Answers calls until the parent is gone or silent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    connection = Connection(fd)
    keep = True
    while keep and connection.poll(idle_seconds):
        try:
            task = connection.recv_bytes()
        except EOFError:
            return
        kind, value = _answer(connection, task)
        gc.collect()  # decoders lie in cycles of references, with their frames
        if kind == "value":  # an error may hold frames, but here only modules are left
            gc.freeze()  # the next collection need not look at them
        keep = kind != "broken" and not _is_swollen()
        connection.send_bytes(_encoded(kind, value, keep))


def _watch(parent: int) -> None:
    """Ends this process when its parent has died, even in the middle of a file."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def _answer(connection: Connection, task: bytes) -> tuple[str, Any]:
    limits = LIMITS
    try:
        function, args, has_out, limits = ForkingPickler.loads(task)
        _set_limits(limits)
        if not has_out:
            return "value", function(*args)
        with open(recv_handle(connection), "w+b") as out:
            return "value", function(*args, out)
    except MemoryError:
        return "broken", f"reading it takes over {_size(limits.memory_bytes)} of memory"
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            return "broken", f"it unpacks to over {_size(limits.output_bytes)}"
        return "raised", _described(error)


def _set_limits(limits: Limits) -> None:
    used = time.process_time()
    for kind, value in (
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_CPU, math.ceil(used) + limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.output_bytes),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard < 0 else min(value, hard), hard))


def _is_swollen() -> bool:
    """Whether so much memory is taken that the next file might wrongly be found too large."""
    try:
        n_pages = int(Path("/proc/self/statm").read_text().split()[5])
    except OSError:
        return False
    return n_pages * resource.getpagesize() > resource.getrlimit(resource.RLIMIT_DATA)[0] / 2


def _described(error: Exception) -> dict[str, Any]:
    """An error in plain values."""
    described: dict[str, Any] = {
        "type": type(error).__name__,
        "text": str(error),
        "traceback": traceback.format_exc(),
    }
    if isinstance(error, InputError):
        return {**described, "type": "InputError", "problems": error.problems}
    if isinstance(error, OSError):
        if error.errno is None:  # pyarrow raises such errors for damaged files
            return {**described, "type": "ValueError"}
        name = None if error.filename is None else os.fsdecode(error.filename)
        described |= {"type": "OSError", "errno": error.errno, "filename": name}
        return {**described, "text": error.strerror or str(error)}
    return described


def _encoded(kind: str, value: Any, keep: bool) -> bytes:
    try:
        return json.dumps([kind, value, keep]).encode()
    except (TypeError, ValueError) as error:
        return json.dumps(["raised", _described(error), keep]).encode()


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.3g} GiB"
