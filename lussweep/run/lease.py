"""One driver a run folder: who works there says so, and says again every few seconds.

Two drivers would not damage artifacts, which are written whole, but do everything twice and write
each other's report. The lease is one small text; an object store that can write conditionally
(if-none-match, if-match) serves it as a folder does: see `LeaseFile`.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import psutil

from lussweep.errors import InputError
from lussweep.store.conditional import (
    can_replace_conditionally,
    read_with_version,
    replace_if_unchanged,
)
from lussweep.store.files import write_whole
from lussweep.store.locks import locked
from lussweep.store.remote import StorageError, create_if_absent

LEASE_FILE, LOCK_FILE = "lease.json", ".lease.lock"
NOBODY = "{}"
BEAT_S = 15.0
STALE_S = 60.0
"""A heartbeat older than this belongs to a driver that is gone."""


class TakenOver(RuntimeError):
    """Another command has taken the folder; what this one has made stays."""


class LeaseFile(Protocol):
    """One text that several processes write. Each write says which text it found there."""

    def read(self) -> str | None: ...

    def create(self, text: str) -> bool:
        """Write if there is nothing; whether it did."""
        ...

    def replace(self, found: str, text: str | None) -> bool:
        """Write, or with None remove, if `found` is still there; whether it did."""
        ...


class LocalLeaseFile:
    """A file in a folder that all see."""

    def __init__(self, folder: Path) -> None:
        self.path, self.lock = folder / LEASE_FILE, folder / LOCK_FILE

    def read(self) -> str | None:
        try:
            return self.path.read_text()
        except FileNotFoundError:
            return None

    def create(self, text: str) -> bool:
        with locked(self.lock):
            try:
                handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                return False
            with os.fdopen(handle, "w") as file:
                file.write(text)
        return True

    def replace(self, found: str, text: str | None) -> bool:
        with locked(self.lock):  # comparing and writing are one: without locks, nearly so
            if self.read() != found:
                return False
            if text is None:
                self.path.unlink()
                return True
            write_whole(self.path, text, shared=True)
        return True


class RemoteLeaseFile:
    """An object of a bucket that knows conditional writes."""

    def __init__(self, folder: str) -> None:
        self.url = f"{folder.rstrip('/')}/{LEASE_FILE}"

    def read(self) -> str | None:
        found = read_with_version(self.url)
        return None if found is None else found[0].decode()

    def create(self, text: str) -> bool:
        return create_if_absent(self.url, text.encode())

    def replace(self, found: str, text: str | None) -> bool:
        """What is removed stays as an object that names nobody: S3 cannot delete on a condition."""
        now = read_with_version(self.url)
        if now is None or now[0].decode() != found:
            return False
        return replace_if_unchanged(self.url, (text or NOBODY).encode(), now[1])


def lease_file(folder: Path, url: str | None) -> LeaseFile:
    """The lease file of a run folder.

    It lies at the folder's URL if that object store knows conditional writes. Otherwise it lies in
    `folder`, the local side, and keeps out other commands of this machine alone.
    """
    return (
        RemoteLeaseFile(url) if url and can_replace_conditionally(url) else LocalLeaseFile(folder)
    )


@dataclass(frozen=True)
class Owner:
    """Who holds a lease, as its text says."""

    host: str
    processes: str
    """Which machine's process ids `pid` belongs to: containers may share a name."""
    pid: int
    command: str
    started_at: float
    """Of this lease, unix seconds: with the process id, no two owners are equal."""
    beat_at: float

    @classmethod
    def this(cls) -> Owner:
        now = time.time()
        return cls(socket.gethostname(), _process_space(), os.getpid(), own_command(), now, now)

    @classmethod
    def read(cls, text: str) -> Owner | None:
        """None if nobody can be made out: whoever it was died while writing it."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def text(self) -> str:
        return json.dumps(asdict(self))

    def is_gone(self) -> bool:
        if time.time() - self.beat_at > STALE_S:
            return True
        return self.processes == _process_space() and not _is_alive(self.pid)

    def __str__(self) -> str:
        age = max(0, round(time.time() - self.beat_at))
        return f"process {self.pid} on {self.host} (`{self.command}`, seen {age} s ago)"


@contextmanager
def held(file: LeaseFile, place: str, on_lost: Callable[[str], None]) -> Iterator[None]:
    """Hold a lease inside this block; it is given back at its end, whatever happened.

    Raises InputError while another driver holds it. `on_lost` is called, in a thread, if another
    one takes it over: this process was suspended, or its disk away, for more than a minute.
    """
    owner = _take(file, place)
    texts = [owner.text()]
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            text = replace(owner, beat_at=time.time()).text()
            try:
                is_ours = file.replace(texts[0], text)
                if not is_ours:  # an earlier beat may have been written and answered by an error
                    there = file.read() or ""
                    found = Owner.read(there)
                    if found is not None and replace(found, beat_at=owner.beat_at) == owner:
                        texts[0] = there
                        continue
            except (OSError, StorageError):  # disk or network may come back
                continue
            if not is_ours:
                on_lost(f"{place} was taken over by another command")
                return
            texts[0] = text

    beside = threading.Thread(target=beat, name="lease", daemon=True)
    beside.start()
    try:
        yield
    finally:
        ended.set()
        beside.join()
        with suppress(OSError, StorageError):  # it is stale in a minute
            file.replace(texts[0], None)


def _take(file: LeaseFile, place: str) -> Owner:
    while True:
        owner = Owner.this()
        if file.create(owner.text()):
            return owner
        found = file.read()
        if found is None:  # given back in this moment
            continue
        other = Owner.read(found)
        if other is not None and not other.is_gone():
            raise InputError(
                f"{place} is in use by {other}: wait for it, stop it with "
                f"`kill {other.pid}` on {other.host}, or choose another --out"
            )
        if file.replace(found, owner.text()):
            return owner


def own_command() -> str:
    """What was typed, so that it can be typed again."""
    return shlex.join(["lussweep", *sys.argv[1:]])


def _process_space() -> str:
    """Process ids mean the same where this is the same: one boot, one namespace.

    psutil knows neither: its time of boot moves with the clock.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname()


def _is_alive(pid: int) -> bool:
    """Whether a process runs. A zombie is dead: its parent has not asked for it yet."""
    try:
        os.kill(pid, 0)
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
    except (PermissionError, psutil.AccessDenied):
        # Somebody else's. psutil alone would call it dead where /proc hides other users' processes.
        return True
