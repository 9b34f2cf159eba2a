"""Access to the small files of a run folder by name, at a path or at a URL."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from lussweep.errors import InputError
from lussweep.store.files import write_whole
from lussweep.store.remote import RemoteFolder, StorageError, is_url

MARK = ".probe-"
"""Start of the name of the file that tests whether a folder can be used."""


class Folder(Protocol):
    """A folder whose files are written whole: a reader sees the old bytes or the new ones.

    `str` gives its path or URL. Methods raise OSError, or StorageError for a URL.
    """

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, or None if there is no such file."""
        ...

    def write(self, name: str, data: bytes) -> None: ...

    def delete(self, names: Iterable[str]) -> None:
        """Deletes files. Ignores those that do not exist."""
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
    """The folder at a path or a URL."""
    return RemoteFolder(place) if is_url(place) else LocalFolder(Path(place))


@contextmanager
def marked(folder: Folder) -> Iterator[str]:
    """Puts a small file into the folder during the block. Gives its name, which is its text too.

    A process that sees the file shares the folder with this one.
    """
    mark = f"{MARK}{uuid.uuid4().hex[:8]}"
    folder.write(mark, mark.encode())
    try:
        yield mark
    finally:
        folder.delete([mark])


def check_usable(folder: Folder) -> None:
    """Raises InputError, with the remedy, unless a file can be written, read and deleted there."""
    try:
        with marked(folder) as mark:
            if folder.read(mark) != mark.encode():
                raise StorageError(f"{folder} gives back other bytes than were written")
    except StorageError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write to {folder}: {reason}; choose another --out") from None
