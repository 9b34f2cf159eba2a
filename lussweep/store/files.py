"""Writes files and folders whole: each has another name until it is complete. Digests files.

A reader sees the old content or the new, never half of it, even if the writer is killed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(
    path: Path, *, shared: bool = False, durable: bool = False, private: bool = False
) -> Iterator[Path]:
    """Gives a path to write to. The file there replaces `path` if the block raises no error.

    Makes the folder of `path`. After an error, the half-written file is deleted. The file of a
    killed process is overwritten by the next one, because the other name is always the same.
    With `shared`, each process writes under a name of its own. Use it if several processes may
    write `path` at the same time. With `durable`, the function waits until the disk holds the
    bytes, so that a power cut cannot leave an empty file. With `private`, only the user may read
    the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = _beside(path, shared)
    try:
        if private:
            scratch.unlink(missing_ok=True)
            scratch.touch(0o600, exist_ok=False)
        yield scratch
        if durable:
            with scratch.open("r+b") as file:
                os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_whole(
    path: Path, data: bytes | str, *, shared: bool = False, private: bool = False
) -> None:
    """Writes bytes, or text as UTF-8, through `whole_file`."""
    with whole_file(path, shared=shared, private=private) as scratch:
        scratch.write_bytes(data.encode() if isinstance(data, str) else data)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(path: Path) -> None:
    """Deletes a file, or a folder with all that it holds."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Gives an empty folder to fill. It is renamed to `path` if the block raises no error.

    `path` may be an empty folder by then. If it holds files, nothing is overwritten and OSError is
    raised.
    """
    scratch = _beside(path, shared)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        scratch.replace(path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _beside(path: Path, shared: bool) -> Path:
    """The other name: hidden, in the same folder, so that renaming stays on one file system."""
    mark = f".{uuid.uuid4().hex[:8]}" if shared else ""
    return path.with_name(f".{path.name}{mark}.partial")
