"""What a container says of its picture's size, read without a decoder.

A decoder asks for room as its header claims: ten gigapixels are refused before one is opened.
"""

from __future__ import annotations

import mmap
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from lussweep.data.readers import h264

MAX_HEAD_BYTES = 2**20
"""Where the sizes stand: at the start, but for the index of an mp4."""
MAX_INDEX_BYTES = 2**26
"""Of an mp4's index (moov); that of an hour has some hundred kilobytes."""
MAX_BOXES = 10**5

Size = tuple[int, int]


def image_size(path: Path) -> Size | None:
    """Width and height by an image's header, or None if it is no PNG, JPEG, TIFF or BMP."""
    try:
        with warnings.catch_warnings():  # of images too large, which the caller judges
            warnings.simplefilter("ignore")
            with Image.open(path, formats=("PNG", "JPEG", "TIFF", "BMP")) as image:
                return image.size
    except Image.DecompressionBombError as error:
        # Pillow opens none of twice its own limit and says only how many pixels there are.
        n_pixels = re.search(r"\d+", str(error))
        return (int(n_pixels[0]) if n_pixels else 2**31, 1)
    except UnidentifiedImageError:
        return None
    except Exception:
        # Pillow's parsers raise whatever a broken header leads them to.
        return None


def video_sizes(file: BinaryIO, kind: str) -> list[Size]:
    """Every width and height that the container of `kind` claims.

    None of MPEG-1 streams, whose 12 bits a side stay below every limit. An H.264 stream has sizes
    of its own; what streams of other codecs claim is left to FFmpeg, which opens no picture of
    over 268 million pixels.
    """
    file.seek(0)
    found = list(_SIZES[kind](file)) if kind in _SIZES else []
    return found + (_h264_sizes(file) if kind in ("avi", "mp4") else [])


def _h264_sizes(file: BinaryIO) -> list[Size]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if not h264.is_named(content[:MAX_HEAD_BYTES] + _index(file)):
            return []
        return h264.sizes(content)


def _index(file: BinaryIO) -> bytes:
    """Of an mp4; nothing of others."""
    for name, at, size in boxes(file, file.seek(0, 2)):
        if name == b"moov":
            file.seek(at)
            return file.read(min(size, MAX_INDEX_BYTES))
    return b""


def boxes(file: BinaryIO, n_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and size of the top-level boxes of an mp4; what lies beyond the file, too."""
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
        if size < 8:  # not a box: what follows the last one
            return
        yield name, at, size
        at += size


def _gif(file: BinaryIO) -> Iterator[Size]:
    """The screen alone: a frame beyond it is cut by FFmpeg's decoder."""
    head = file.read(10)
    if len(head) == 10:
        yield struct.unpack("<HH", head[6:10])


def _avi(file: BinaryIO) -> Iterator[Size]:
    """The main header and the bitmap header of every stream."""
    head = file.read(MAX_HEAD_BYTES)
    for found in re.finditer(rb"avih.{4}", head, re.DOTALL):
        body = head[found.end() : found.end() + 40]
        if len(body) == 40:
            yield struct.unpack("<II", body[32:40])
    for found in re.finditer(rb"strf.{4}", head, re.DOTALL):
        body = head[found.end() : found.end() + 12]
        if len(body) == 12 and struct.unpack("<I", body[:4])[0] >= 40:  # else of sound
            width, height = struct.unpack("<ii", body[4:12])
            yield abs(width), abs(height)
    yield from _jpeg_sizes(head)


def _jpeg_sizes(head: bytes) -> Iterator[Size]:
    """Of the first frame of motion JPEG, whatever the container says."""
    start = head.find(b"\xff\xd8\xff") if b"MJPG" in head[:4096] else -1
    header = re.compile(rb"\xff[\xc0-\xc2]\0[\x0b\x11].{5}", re.DOTALL)
    if start >= 0 and (frame := header.search(head, start)):
        height, width = struct.unpack(">HH", frame.group()[5:9])
        yield width, height


def _mp4(file: BinaryIO) -> Iterator[Size]:
    """The track headers (16.16 fixed point) and sample entries within the index."""
    n_bytes = file.seek(0, 2)
    for name, at, size in boxes(file, n_bytes):
        if name != b"moov":
            continue
        file.seek(at)
        index = file.read(min(size, MAX_INDEX_BYTES))
        for found in re.finditer(b"tkhd(.)", index, re.DOTALL):
            width_at = found.start() + (4 + 88 if found[1] == b"\1" else 4 + 76)
            if len(index) >= width_at + 8:
                width, height = struct.unpack(">II", index[width_at : width_at + 8])
                yield width >> 16, height >> 16
        for found in re.finditer(b"stsd.{8}.{4}(.{4})", index, re.DOTALL):
            entry = index[found.end() - 4 :]
            if len(entry) >= 32 and entry[:4] in _PICTURES:
                yield struct.unpack(">HH", entry[28:32])


_PICTURES = (
    b"avc1", b"avc3", b"hvc1", b"hev1", b"av01", b"vp08", b"vp09", b"mp4v", b"jpeg", b"mjpa",
    b"mjpb", b"png ", b"rle ", b"s263", b"h263", b"SVQ1", b"SVQ3", b"cvid",
)  # fmt: skip
"""Sample entries that begin as one of a picture does; those of sound have other numbers there."""
_SIZES = {"gif": _gif, "avi": _avi, "mp4": _mp4}
