"""Pictures whose levels are known, and files of kinds that Pillow does not write."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Levels = np.ndarray
HEIGHT, WIDTH = 24, 256


def ramps(n: int) -> Levels:
    """Frames uint8 (n, HEIGHT, WIDTH): a ramp of all 256 levels, shifted by the frame's number,
    over four rows that hold ten times this number."""
    frames = np.empty((n, HEIGHT, WIDTH), np.uint8)
    for i in range(n):
        frames[i] = np.roll(np.arange(256), i)
        frames[i, :4] = 10 * i
    return frames


def save(path: Path, frames: Levels, **options: Any) -> Path:
    """Writes frames as the pages of one file."""
    first, *others = map(Image.fromarray, frames)
    pages: dict[str, Any] = {"save_all": True, "append_images": others} if others else {}
    first.save(path, **pages, **options)
    return path


def save_all(folder: Path, frames: Levels, suffix: str = "png", **options: Any) -> Path:
    """Writes frames as the files of a folder."""
    folder.mkdir(exist_ok=True)
    for i, frame in enumerate(frames):
        save(folder / f"frame{i}.{suffix}", frame[None], **options)
    return folder


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, packed_rows: list[bytes], depth: int, colour: int, *chunks: bytes
) -> bytes:
    """A PNG of any depth and colour type, with `chunks` before its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in packed_rows))
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_16(levels: Levels, *chunks: bytes) -> bytes:
    """A PNG of uint16 grey levels (H, W)."""
    rows = [row.astype(">u2").tobytes() for row in levels]
    return png(levels.shape[1], levels.shape[0], rows, 16, 0, *chunks)


def tiff(pages: list[tuple[bytes, dict[int, int]]], width: int, height: int) -> bytes:
    """A TIFF of uncompressed pages: their bytes, and the tags beside the usual ones."""
    content = bytearray(b"II*\0" + bytes(4))
    link_at = 4
    for pixels, more in pages:
        at = len(content)
        content += pixels + b"\0" * (len(pixels) % 2)
        tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: at, 277: 1, 278: height,
                279: len(pixels), **more}  # fmt: skip
        content[link_at : link_at + 4] = struct.pack("<I", len(content))
        content += struct.pack("<H", len(tags))
        for tag, value in sorted(tags.items()):
            content += struct.pack("<HHII", tag, 4, 1, value)
        link_at = len(content)
        content += bytes(4)
    return bytes(content)
