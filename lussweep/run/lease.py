"""Keeps two drivers out of one run folder, with a lease that its owner renews every few seconds.

Two drivers would not damage artifacts, which are written whole. They would do every step twice,
though, and overwrite each other's report. The lease is one small text. It lies in a file, or in an
object store that can write conditionally (if-none-match, if-match).
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
"""Age in seconds at which a heartbeat shows that its driver is gone."""


class TakenOver(RuntimeError):
    """Another command has taken the run folder. The artifacts of this one stay."""


class LeaseFile(Protocol):
    """A text that several processes read and write, with atomic create and compare-and-replace."""

    def read(self) -> str | None:
        """The text; None if there is none."""
        ...

    def create(self, text: str) -> bool:
        """Write `text` if there is none. Returns whether it was written."""
        ...

    def replace(self, current: str, text: str | None) -> bool:
        """Replace `current` by `text`, or remove it if `text` is None.

        Changes nothing if the text is no longer `current`. Returns whether it was replaced.
        """
        ...


class LocalLeaseFile:
    """A lease file in a folder."""

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

    def replace(self, current: str, text: str | None) -> bool:
        with locked(self.lock):  # so that no other process writes after the comparison
            if self.read() != current:
                return False
            if text is None:
                self.path.unlink()
                return True
            write_whole(self.path, text, shared=True)
        return True


class RemoteLeaseFile:
    """A lease file in an object store that supports conditional writes."""

    def __init__(self, folder: str) -> None:
        self.url = f"{folder.rstrip('/')}/{LEASE_FILE}"

    def read(self) -> str | None:
        stored = read_with_version(self.url)
        return None if stored is None else stored[0].decode()

    def create(self, text: str) -> bool:
        return create_if_absent(self.url, text.encode())

    def replace(self, current: str, text: str | None) -> bool:
        """As `LeaseFile.replace`, but writes NOBODY to remove: S3 has no conditional delete."""
        stored = read_with_version(self.url)
        if stored is None or stored[0].decode() != current:
            return False
        return replace_if_unchanged(self.url, (text or NOBODY).encode(), stored[1])


def lease_file(folder: Path, url: str | None) -> LeaseFile:
    """The lease file of a run folder.

    It lies at the folder's URL if that object store supports conditional writes. Otherwise it lies
    in the local `folder`, and keeps out only commands of this machine.
    """
    return (
        RemoteLeaseFile(url) if url and can_replace_conditionally(url) else LocalLeaseFile(folder)
    )


@dataclass(frozen=True)
class Owner:
    """The holder of a lease: the fields of the lease's text."""

    host: str
    processes: str
    """Identifies the boot and namespace of `pid`, because containers may share a host name."""
    pid: int
    command: str
    started_at: float
    """Start of this lease in Unix seconds. With the process id it makes owners distinct."""
    beat_at: float
    """The latest renewal, in Unix seconds."""

    @classmethod
    def this(cls) -> Owner:
        """This process, as the owner of a lease that starts now."""
        now = time.time()
        return cls(socket.gethostname(), _process_space(), os.getpid(), own_command(), now, now)

    @classmethod
    def read(cls, text: str) -> Owner | None:
        """The owner in a lease's text; None if an interrupted write has left no owner."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def text(self) -> str:
        return json.dumps(asdict(self))

    def is_gone(self) -> bool:
        """Whether the owner has not renewed the lease for STALE_S, or its process has ended."""
        if time.time() - self.beat_at > STALE_S:
            return True
        return self.processes == _process_space() and not _is_alive(self.pid)

    def __str__(self) -> str:
        age = max(0, round(time.time() - self.beat_at))
        return f"process {self.pid} on {self.host} (`{self.command}`, seen {age} s ago)"


@contextmanager
def held(file: LeaseFile, place: str, on_lost: Callable[[str], None]) -> Iterator[None]:
    """Hold a lease inside this block, and give it back at its end.

    `place` is what the user calls the folder. Raises InputError if another driver holds the lease.
    `on_lost` is called in a thread, with the reason, if another driver takes the lease. It may take
    it if this process was suspended, or could not reach the lease, for more than STALE_S.
    """
    owner = _take(file, place)
    texts = [owner.text()]
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            text = replace(owner, beat_at=time.time()).text()
            try:
                is_ours = file.replace(texts[0], text)
                if not is_ours:  # an earlier renewal may have succeeded and still raised an error
                    current = file.read() or ""
                    holder = Owner.read(current)
                    if holder is not None and replace(holder, beat_at=owner.beat_at) == owner:
                        texts[0] = current
                        continue
            except (OSError, StorageError):  # tried again at the next renewal
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
        with suppress(OSError, StorageError):  # if this fails, the lease expires after STALE_S
            file.replace(texts[0], None)


def _take(file: LeaseFile, place: str) -> Owner:
    """Become the owner of a lease. Raises InputError while another driver holds it."""
    while True:
        owner = Owner.this()
        if file.create(owner.text()):
            return owner
        current = file.read()
        if current is None:  # given back since `create` failed
            continue
        holder = Owner.read(current)
        if holder is not None and not holder.is_gone():
            raise InputError(
                f"{place} is in use by {holder}: wait for it, stop it with "
                f"`kill {holder.pid}` on {holder.host}, or choose another --out"
            )
        if file.replace(current, owner.text()):
            return owner


def own_command() -> str:
    """The command line of this process, quoted for a shell."""
    return shlex.join(["lussweep", *sys.argv[1:]])


def _process_space() -> str:
    """A text that is the same for all processes whose ids can be compared with ours.

    It names the boot and the process namespace. psutil offers neither: its boot time changes when
    the clock is set.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname()


def _is_alive(pid: int) -> bool:
    """Whether a process runs. A zombie does not: its parent has only not collected it yet."""
    try:
        os.kill(pid, 0)
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
    except (PermissionError, psutil.AccessDenied):
        # It runs as another user. psutil alone would miss it where /proc hides such processes.
        return True
