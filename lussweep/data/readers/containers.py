"""Checks of a container that FFmpeg does not make: sizes that it ignores, and a missing end.

FFmpeg believes the size in an mp4's track header, ignores the one in an AVI's main header, and
reads an MPEG program stream that is cut between two pictures without an error. All other checks are
FFmpeg's own (`ffmpeg.py`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lussweep.data.readers.seam import COPY_AGAIN, UnreadableError, check_size

MAX_INDEX_BYTES = 2**26
"""Bytes of an mp4's index (moov) that are read. An hour's index has some hundred kilobytes."""
MAX_PARTS = 10**6
"""Most parts of a container. A file with more was made to keep its reader busy."""


UNKNOWN_BYTES = 2**32 - 1
"""The size in an AVI that was written to a pipe."""


def check_container(path: Path, head: bytes) -> None:
    """Raises UnreadableError for an mp4, mov, avi or mpeg that is cut, or claims too much."""
    n_bytes = path.stat().st_size
    if head[:4] == b"RIFF" and head[24:28] == b"avih" and len(head) >= 72:
        check_size(*struct.unpack_from("<II", head, 64))
        riff_bytes = int.from_bytes(head[4:8], "little")
        if riff_bytes != UNKNOWN_BYTES and 8 + riff_bytes > n_bytes + 1:  # a byte of padding
            raise truncated("avi", n_bytes)
    with path.open("rb") as file:
        if head[:4] == b"\0\0\1\xba" and not _mpeg_is_whole(file, n_bytes):
            raise truncated("mpeg", n_bytes)
        if head[4:8] in _FIRST_BOXES:
            _check_mp4(file, n_bytes)


def truncated(kind: str, n_bytes: int) -> UnreadableError:
    """The error for a file of this kind that ends too early."""
    return UnreadableError(f"the {kind} file is truncated at {n_bytes} bytes: {COPY_AGAIN}")


_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"uuid")


def _check_mp4(file: BinaryIO, n_bytes: int) -> None:
    """All top-level boxes end within the file, an index is among them, and its sizes are sane."""
    end, has_index = 0, False
    for name, at, size in _boxes(file, n_bytes):
        end = at + size
        if name == b"moov":
            has_index = True
            file.seek(at)
            for width, height in _mp4_sizes(file.read(min(size, MAX_INDEX_BYTES))):
                check_size(width, height)
    if end > n_bytes or not has_index:
        raise truncated("mp4", n_bytes)


def _boxes(file: BinaryIO, n_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields name, start and size of the top-level boxes. The last may end beyond the file."""
    at = 0
    for _ in range(MAX_PARTS):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        size, name = struct.unpack_from(">I4s", head)
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size == 0:  # to the end of the file
            size = n_bytes - at
        if size < 8:  # not a box: bytes after the last one
            return
        yield name, at, size
        at += size


def _mp4_sizes(index: bytes) -> Iterator[tuple[int, int]]:
    """The sizes in the track headers (16.16 fixed point) and sample entries of an index."""
    for match in re.finditer(b"tkhd(.)", index, re.DOTALL):
        width_at = match.start() + (4 + 88 if match[1] == b"\1" else 4 + 76)
        if len(index) >= width_at + 8:
            width, height = struct.unpack_from(">II", index, width_at)
            if width and height:  # a track of sound has none
                yield width >> 16, height >> 16
    for match in re.finditer(b"vmhd.*?stsd.{16}", index, re.DOTALL):
        if len(index) >= match.end() + 28:
            yield struct.unpack_from(">HH", index, match.end() + 24)


def _mpeg_is_whole(file: BinaryIO, n_bytes: int) -> bool:
    """Whether the packets of the program stream end within the file.

    The check ends at a damaged packet.
    """
    at = 0
    for _ in range(MAX_PARTS):
        if at + 6 > n_bytes:
            break
        file.seek(at)
        head = file.read(14)
        if head[:3] != b"\0\0\1" or head[3] == 0xB9:
            return True
        if head[3] != 0xBA:
            at += 6 + int.from_bytes(head[4:6], "big")
        elif len(head) > 4 and head[4] >> 6 == 1:  # MPEG-2 pack header, with stuffing
            at += 14 + (head[13] & 7 if len(head) == 14 else 0)
        else:
            at += 12
    return at <= n_bytes
