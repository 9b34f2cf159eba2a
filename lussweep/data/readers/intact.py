"""Checks that an image file holds what its name says, and that its content is whole."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from lussweep.data.readers.seam import COPY_AGAIN, HEAD_BYTES, UnreadableError
from lussweep.errors import one_line

MAX_FILE_BYTES = 2**29
"""Limit of a file that is held in memory. A TIFF is not: it may be a stack of gigabytes."""
PNG = b"\x89PNG"
MAX_CHUNKS = 10**5
"""Most chunks of a PNG. A file with more was made to keep its reader busy."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEADS = (PNG, b"\xff\xd8\xff", b"BM", b"GIF8", *_TIFF)


def is_image(head: bytes) -> bool:
    """Whether these are the first bytes of an image file."""
    return head.startswith(_HEADS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def read_content(file: BinaryIO) -> bytes | None:
    """The content of an image file, or None for a TIFF, which is read page by page.

    Raises UnreadableError for an empty file, one over MAX_FILE_BYTES, and one that `name_impostor`
    knows.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head.startswith(_TIFF):
        return None
    if not head:
        raise UnreadableError(f"the file is empty: {COPY_AGAIN}")
    if not is_image(head) and (impostor := name_impostor(head)):
        raise UnreadableError(impostor)
    if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
        raise UnreadableError(f"has over {MAX_FILE_BYTES >> 20} MiB: cut it into parts")
    return file.read()


def name_impostor(head: bytes) -> str | None:
    """The kind of a file that is not an image, with the remedy; None if the kind is not known."""
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself: fetch the file with `git lfs pull`"
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "is an HTML page saved under the name of an image: download the image itself"
    if head[128:132] == b"DICM":
        return "is a DICOM file: convert its frames to PNG"
    return None


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields name and data of a PNG's chunks. Raises UnreadableError if one fails its checksum."""
    at = 8
    for _ in range(MAX_CHUNKS):
        size, name = struct.unpack(">I4s", content[at : at + 8].ljust(8, b"\0"))
        data, checksum = content[at + 8 : at + 8 + size], content[at + 8 + size : at + 12 + size]
        if len(checksum) < 4:
            raise UnreadableError(f"the PNG is truncated at {len(content)} bytes: replace it")
        if zlib.crc32(data, zlib.crc32(name)) != int.from_bytes(checksum, "big"):
            raise UnreadableError(f"the PNG is damaged at byte {at}: replace it")
        yield name, data
        if name == b"IEND":
            return
        at += 12 + size
    raise UnreadableError(f"the PNG has over {MAX_CHUNKS} chunks: save it again")


def check_jpeg(content: bytes) -> None:
    """Raises UnreadableError if FFmpeg finds the data of a JPEG damaged or cut short."""
    import av  # it loads libraries beside OpenCV's, so only where a JPEG is read

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    decoder.thread_count = 1
    try:
        pictures = [*decoder.decode(av.Packet(content)), *decoder.decode(None)]
    except av.error.FFmpegError as error:
        pictures = []
        if not isinstance(error, av.error.InvalidDataError):
            reason = one_line(error.strerror or error)
            raise UnreadableError(
                f"is a JPEG of a kind that cannot be verified ({reason}): save it as PNG"
            ) from None
    if len(pictures) != 1:
        raise UnreadableError("the JPEG is truncated or damaged: replace it")
