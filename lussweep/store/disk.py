"""Recognises a full disk in the errors of every library, and reports it with the folder."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lussweep.errors import InputError, one_line
from lussweep.store.remote import StorageError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SAID = (
    "No space left on device",  # Rust and Arrow
    "File too large",
    "quota exceeded",
    "PytorchStreamWriter failed writing",  # torch.save
    "unexpected pos",  # torch.save, when it closes what it could not write
)


class DiskFull(StorageError):
    """A folder has no room for what was to be written there."""


def is_no_room(error: BaseException) -> bool:
    """Whether a full disk, a quota or a limit of the process prevented a write."""
    visited: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in visited:
        visited.add(id(cause))
        text = str(cause)
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            return True
        if any(words in text for words in SAID):
            return True
        if isinstance(cause, OSError) and " requested and " in text and "written" in text:
            return True  # numpy, which gives no reason
        cause = cause.__cause__ or cause.__context__
    return False


@contextmanager
def room_named(folder: Path) -> Iterator[None]:
    """Turns an error for lack of space inside the block into DiskFull, which names the folder."""
    try:
        yield
    except (StorageError, InputError):  # they name the place already
        raise
    except Exception as error:
        if not is_no_room(error):
            raise
        raise DiskFull(f"{folder} has no room left ({one_line(error)}): free some there") from error
