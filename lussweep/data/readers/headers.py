"""The picture sizes that a file's headers claim, read without a decoder.

A decoder allocates as much memory as the header claims. A picture of ten gigapixels must be
refused before a decoder opens it.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from lussweep.data.readers import h264

MAX_HEAD_BYTES = 2**20
"""Bytes at the start that hold the sizes. An mp4 has them in its index instead."""
MAX_INDEX_BYTES = 2**26
"""Bytes of an mp4's index (moov) that are read. An hour's index has some hundred kilobytes."""
MAX_BOXES = 10**5

Size = tuple[int, int]


def video_sizes(file: BinaryIO, kind: str) -> list[Size]:
    """Every width and height that a container of `kind`, and an H.264 stream in it, claims.

    MPEG-1 streams give none: their 12 bits per side stay below every limit. Sizes within streams
    of other codecs are left to FFmpeg, which refuses pictures of over 268 million pixels.
    """
    file.seek(0)
    claimed = list(_SIZES[kind](file)) if kind in _SIZES else []
    return claimed + (_h264_sizes(file) if kind in ("avi", "mp4") else [])


def _h264_sizes(file: BinaryIO) -> list[Size]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if not h264.is_named(content[:MAX_HEAD_BYTES] + _index(file)):
            return []
        return h264.sizes(content)


def _index(file: BinaryIO) -> bytes:
    """The index (moov) of an mp4; empty for other containers."""
    for name, at, size in boxes(file, file.seek(0, 2)):
        if name == b"moov":
            file.seek(at)
            return file.read(min(size, MAX_INDEX_BYTES))
    return b""


def boxes(file: BinaryIO, n_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and size of the top-level boxes of an mp4.

    The last one may end beyond the file.
    """
    at = 0
    for _ in range(MAX_BOXES):
        if at + 8 > n_bytes:
            return
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        if size == 0:  # to the end of the file
            size = n_bytes - at
        if size < 8:  # not a box: bytes after the last one
            return
        yield name, at, size
        at += size


def _gif(file: BinaryIO) -> Iterator[Size]:
    """The size of the screen. FFmpeg's decoder cuts frames to it."""
    head = file.read(10)
    if len(head) == 10:
        yield struct.unpack("<HH", head[6:10])


def _avi(file: BinaryIO) -> Iterator[Size]:
    """The sizes in the main header and in the bitmap header of every stream."""
    head = file.read(MAX_HEAD_BYTES)
    for match in re.finditer(rb"avih.{4}", head, re.DOTALL):
        body = head[match.end() : match.end() + 40]
        if len(body) == 40:
            yield struct.unpack("<II", body[32:40])
    for match in re.finditer(rb"strf.{4}", head, re.DOTALL):
        body = head[match.end() : match.end() + 12]
        if len(body) == 12 and struct.unpack("<I", body[:4])[0] >= 40:  # less: a sound stream
            width, height = struct.unpack("<ii", body[4:12])
            yield abs(width), abs(height)
    yield from _jpeg_sizes(head)


def _jpeg_sizes(head: bytes) -> Iterator[Size]:
    """The size of the first frame of motion JPEG. It may differ from the container's."""
    start = head.find(b"\xff\xd8\xff") if b"MJPG" in head[:4096] else -1
    header = re.compile(rb"\xff[\xc0-\xc2]\0[\x0b\x11].{5}", re.DOTALL)
    if start >= 0 and (frame := header.search(head, start)):
        height, width = struct.unpack(">HH", frame.group()[5:9])
        yield width, height


def _mp4(file: BinaryIO) -> Iterator[Size]:
    """The sizes in the track headers (16.16 fixed point) and sample entries of the index."""
    n_bytes = file.seek(0, 2)
    for name, at, size in boxes(file, n_bytes):
        if name != b"moov":
            continue
        file.seek(at)
        index = file.read(min(size, MAX_INDEX_BYTES))
        for match in re.finditer(b"tkhd(.)", index, re.DOTALL):
            width_at = match.start() + (4 + 88 if match[1] == b"\1" else 4 + 76)
            if len(index) >= width_at + 8:
                width, height = struct.unpack(">II", index[width_at : width_at + 8])
                yield width >> 16, height >> 16
        for match in re.finditer(b"stsd.{8}.{4}(.{4})", index, re.DOTALL):
            entry = index[match.end() - 4 :]
            if len(entry) >= 32 and entry[:4] in _PICTURES:
                yield struct.unpack(">HH", entry[28:32])


_PICTURES = (
    b"avc1", b"avc3", b"hvc1", b"hev1", b"av01", b"vp08", b"vp09", b"mp4v", b"jpeg", b"mjpa",
    b"mjpb", b"png ", b"rle ", b"s263", b"h263", b"SVQ1", b"SVQ3", b"cvid",
)  # fmt: skip
"""Codes of picture sample entries. Sound entries have other numbers in place of the size."""
_SIZES = {"gif": _gif, "avi": _avi, "mp4": _mp4}
