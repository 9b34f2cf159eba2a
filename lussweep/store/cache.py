"""A node's copies of artifacts from object stores, shared by the node's processes.

If the copies exceed a limit, those used longest ago are deleted. A copy that a live process has
pinned stays. A process writes its pins into a file beside a lock that it holds, so the pins of a
killed process no longer count.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from lussweep.errors import InputError
from lussweep.store.locks import NoLocksError, locked, take

DEFAULT_GB = 50.0
KEPT_SHARE = 0.9
"""Cleaning goes down to this share of the limit, so that not every new artifact needs cleaning."""


def cache_folder() -> Path:
    """$LUSSWEEP_CACHE, or ~/.cache/lussweep if that is not set. Each node has its own.

    Raises InputError if it is relative, because steps run in folders of their own.
    """
    folder = Path(os.environ.get("LUSSWEEP_CACHE") or "~/.cache/lussweep").expanduser()
    if not folder.is_absolute():
        raise InputError(f"LUSSWEEP_CACHE={folder} is relative: give an absolute path")
    return folder


def cache_bytes() -> float:
    """$LUSSWEEP_CACHE_GB in bytes. Raises InputError unless it is a positive number."""
    text = os.environ.get("LUSSWEEP_CACHE_GB") or str(DEFAULT_GB)
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not size > 0:
        raise InputError(f"LUSSWEEP_CACHE_GB={text} is not a positive number of gigabytes")
    return size * 1e9


@dataclass
class _Pins:
    """Names of the copies that this process uses, in a file beside a lock.

    The process holds the lock until it ends.
    """

    path: Path
    lock: FileLock | None
    pid: int
    names: list[str] = field(default_factory=list)

    def write(self) -> None:
        self.path.write_text("\n".join(self.names))


_PINS: dict[Path, _Pins] = {}


class ArtifactCache:
    """The copies in `root/STORE/stage/key/attempt`, from all object stores that this node reads."""

    def __init__(self) -> None:
        self.root = cache_folder() / "artifacts"
        self.limit_bytes = cache_bytes()
        for name in ("pins", "fetching"):
            (self.root / f".{name}").mkdir(parents=True, exist_ok=True)

    def pin(self, entry: Path) -> None:
        """Keeps the copy of an artifact until `in_use` ends, even if it is not there yet."""
        name = str(entry.relative_to(self.root))
        with self._locked():
            pins = self._own_pins()
            if name not in pins.names:
                pins.names.append(name)
                pins.write()
            if entry.exists():
                os.utime(entry)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Releases, at the end of the block, the copies that were pinned within it."""
        before = self._n_pinned()
        try:
            yield
        finally:
            if self._n_pinned() > before:
                with self._locked():
                    pins = self._own_pins()
                    del pins.names[before:]
                    pins.write()

    @contextmanager
    def fetching(self, entry: Path) -> Iterator[None]:
        """Lets one process of the node at a time fetch, so that the others find its copy."""
        one_of_256 = hashlib.sha256(str(entry).encode()).hexdigest()[:2]
        # Without locks, two processes may make a copy each, both whole.
        with locked(self.root / ".fetching" / one_of_256):
            yield

    def added(self, n_bytes: int) -> None:
        """Counts the bytes of a new copy. Beyond the limit, deletes what was used longest ago."""
        counter = self.root / ".bytes"
        with self._locked():
            try:
                total = int(counter.read_text()) + n_bytes
            except (OSError, ValueError):
                total = sum(size_bytes(entry) for entry in self._entries())
            if total > self.limit_bytes:
                total = self._evict()
            counter.write_text(str(total))

    def _evict(self) -> int:
        """Deletes copies down to KEPT_SHARE, but none that is pinned. Returns the bytes left."""
        pinned = self._all_pinned()
        entries = [(entry.stat().st_mtime, size_bytes(entry), entry) for entry in self._entries()]
        total = sum(size for _, size, _ in entries)
        trash = self.root / ".trash" / uuid.uuid4().hex[:8]
        trash.mkdir(parents=True)
        for i, (_, size, entry) in enumerate(sorted(entries)):
            if total <= KEPT_SHARE * self.limit_bytes:
                break
            if str(entry.relative_to(self.root)) not in pinned:
                entry.rename(trash / str(i))
                total -= size
        shutil.rmtree(trash, ignore_errors=True)
        return total

    def _entries(self) -> list[Path]:
        """The folders of all copies. A store's `.tmp` and `.work` do not count."""
        return [p for p in self.root.glob("[!.]*/[!.]*/*/[!.]*") if p.is_dir()]

    def _n_pinned(self) -> int:
        pins = _PINS.get(self.root)
        return len(pins.names) if pins and pins.pid == os.getpid() else 0

    def _own_pins(self) -> _Pins:
        """The pins of this process. After a fork the child begins with none."""
        pins = _PINS.get(self.root)
        if pins is None or pins.pid != os.getpid():
            path = self.root / ".pins" / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
            lock = None
            with suppress(NoLocksError):  # without locks, these pins count for ever
                lock = take(path.with_suffix(".lock"), wait=False)
            pins = _PINS[self.root] = _Pins(path, lock, os.getpid())
            pins.write()
        return pins

    def _all_pinned(self) -> set[str]:
        """Names that live processes have pinned. Files of dead processes are deleted."""
        pinned: set[str] = set()
        for lock in (self.root / ".pins").glob("*.lock"):
            pins = lock.with_suffix("")
            try:
                left_by_dead = take(lock, wait=False)
            except (Timeout, NoLocksError):
                with suppress(FileNotFoundError):  # a process that died before it wrote them
                    pinned.update(pins.read_text().split("\n"))
            else:
                pins.unlink(missing_ok=True)
                lock.unlink()
                left_by_dead.release()
        return pinned

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lets one process of the node at a time change the pins, the count and the copies."""
        with locked(self.root / ".lock"):
            yield


def size_bytes(folder: Path) -> int:
    """The size of all files below a folder. Other processes may write, rename and delete there."""
    n_bytes = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # gone since it was listed
            if path.is_file():
                n_bytes += path.stat().st_size
    return n_bytes
