"""Memory that a child fills and its parent reads. It is used for one file after another.

The kernel has to find, empty and map each page of new memory. For the frames of a video that takes
a quarter of the time of decoding, so the pages are kept for the next video.
"""

from __future__ import annotations

import mmap
import os
import weakref

import numpy as np
from numpy.typing import NDArray

from lussweep.store import child

MAX_KEPT_BYTES = 2**28
"""A buffer that has grown beyond this is freed after its use."""


class Buffer:
    """A file in memory that a child writes to, and its pages in this process."""

    def __init__(self) -> None:
        self.file = child.scratch()
        self.pages: mmap.mmap | None = None
        self.owner = os.getpid()

    def levels(self) -> NDArray[np.uint8]:
        """What a child has just written: as many bytes as its position in the file says.

        The buffer belongs to the array. When the array and its views are freed, `take` may give
        the buffer away again.
        """
        n_bytes = os.lseek(self.file.fileno(), 0, os.SEEK_CUR)
        size = os.fstat(self.file.fileno()).st_size
        if self.pages is None or len(self.pages) < n_bytes <= size:
            flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)  # all pages will be read
            self.pages = mmap.mmap(self.file.fileno(), 0, flags)
        levels = np.frombuffer(self.pages, np.uint8, n_bytes)
        weakref.finalize(levels, _give_back, self).atexit = False
        return levels


_idle: list[Buffer] = []


def take() -> Buffer:
    """A buffer that nothing else uses. It may still hold bytes of an earlier file."""
    try:
        return _idle.pop()
    except IndexError:
        return Buffer()


def _give_back(buffer: Buffer) -> None:
    """Keeps a buffer for the next file. Another process keeps its own."""
    is_small = buffer.pages is not None and len(buffer.pages) <= MAX_KEPT_BYTES
    if is_small and buffer.owner == os.getpid() and len(_idle) < child.MAX_IDLE:
        _idle.append(buffer)


os.register_at_fork(after_in_child=_idle.clear)
