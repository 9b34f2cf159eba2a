"""Lets each file of a report fail alone: the others are written, and the failure has a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lussweep.errors import LeakageError, one_line
from lussweep.store.disk import is_no_room
from lussweep.store.remote import StorageError


@contextmanager
def alone(name: str, failed: dict[str, str], redact: Callable[[str], str] = str) -> Iterator[None]:
    """Puts an error inside the block into `failed`, under the name of what could not be made.

    Three errors concern every file, and are raised: a full disk, a store that cannot be reached,
    and a leak.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (StorageError, LeakageError)) or is_no_room(error):
            raise
        failed[name] = redact(f"{type(error).__name__}: {one_line(error)}")
