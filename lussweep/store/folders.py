"""Run folders as others look into them: a few small files by name, at a path or at a URL."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from lussweep.store.files import write_whole
from lussweep.store.remote import RemoteFolder, is_url


class Folder(Protocol):
    """Written whole, so that a reader sees the old bytes or the new ones. Its text names it.

    Raises OSError, or StorageError from a URL.
    """

    def read(self, name: str) -> bytes | None:
        """None where there is no such file."""
        ...

    def write(self, name: str, data: bytes) -> None: ...

    def delete(self, names: Iterable[str]) -> None:
        """Those that are not there are gone already."""
        ...


class LocalFolder:
    """A folder on this machine, or mounted here."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        write_whole(self.path / name, data, shared=True)

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)


def folder_at(place: str) -> Folder:
    return RemoteFolder(place) if is_url(place) else LocalFolder(Path(place))
