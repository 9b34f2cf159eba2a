"""The seam of input formats: what reads the frames of one kind of file or folder.

A new format is one module with a `Reader`, and one line in `READERS` of `decode.py`. The functions
of a reader run in a child process with limits on memory and time (`store/child.py`), so they are
functions of a module, not closures. They may trust nothing in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_SIDE = 8192
"""Most pixels per side. Larger files are refused before a frame is decoded."""
MAX_PIXELS = 2**25
"""Most pixels per frame: a decoder holds several copies of one."""
HEAD_BYTES = 4096
"""Bytes of a file's beginning that `Reader.matches` is given."""
COPY_AGAIN = "copy it again from its source or take it out of the manifest"


class UnreadableError(Exception):
    """A problem with an input and its remedy, in words that do not name the input."""


@dataclass(frozen=True)
class Frame:
    """One frame, with its place in the source."""

    index: int
    """Number of the frame in the source, from 0. Frames that the stride drops count."""
    seconds: float | None
    """Time since the first frame, or None if the source has no times (a folder of images)."""
    pixels: NDArray[np.uint8]
    """Grey levels (H, W)."""


@dataclass(frozen=True)
class Reader:
    """Reads one kind of input: a file, or a folder that stands for one video."""

    name: str
    """The kind in a message: "video", "folder of images"."""
    matches: Callable[[Path, bytes], bool]
    """Whether this reader is responsible for a path. The first HEAD_BYTES bytes of a file are
    given, or b"" for a folder. It says which kind the input is, not that it is sound."""
    check: Callable[[Path], None]
    """Raises UnreadableError if the input cannot be read. Decodes one frame at most."""
    frames: Callable[[Path, int], Iterator[Frame]]
    """Yields frames 0, stride, 2 * stride, ... in their order, one at a time. Raises
    UnreadableError if the input is damaged, truncated, or beyond MAX_SIDE or MAX_PIXELS. The
    caller checks that there is a frame, that all have one size, and how many bytes they take."""
    reads_all: bool = False
    """Whether `frames` is called with stride 1, and the caller drops frames. The sector is then
    sought in the whole video. True for readers that decode dropped frames too, or cheaply could."""


def check_size(width: float, height: float) -> None:
    """Raises UnreadableError for a picture that has no pixels, or too many to be decoded."""
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise UnreadableError(
            f"its header gives {width:.0f} x {height:.0f} pixels, and 1 to {MAX_SIDE} a side are "
            f"read, {MAX_PIXELS >> 20} Mi pixels at most: scale it or take it out of the manifest"
        )
