"""Reads the frames of a GIF as grey levels, composed as a browser shows them, on black.

Pillow decodes each image of the file by itself. Composing is done here: Pillow fills what no image
has covered, or what was cleared, with a colour of the palette in some files.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lussweep.data.readers.seam import COPY_AGAIN, UnreadableError, check_size

HEADER_BYTES = 13
MAX_PARTS = 10**6
"""Most parts of a file. A file with more was made to keep its reader busy."""

Levels = NDArray[np.uint8]


@dataclass
class _Image:
    """One image of the file: where it belongs on the screen, and how it gives way."""

    left: int
    top: int
    width: int
    height: int
    is_interlaced: bool
    colours: bytes
    """Three bytes a colour."""
    data: bytes
    """The size of a code, then the sub-blocks with their end."""
    transparent: int | None = None
    disposal: int = 0
    seconds: float = 0.0


def frames(content: bytes) -> Iterator[tuple[Levels, float]]:
    """Yields each frame's grey levels, uint8 (H, W), and the seconds for which it is shown.

    Raises UnreadableError for a file that is truncated, damaged, empty or too large.
    """
    if len(content) < HEADER_BYTES:
        raise _truncated(content)
    width, height = struct.unpack("<HH", content[6:10])
    check_size(width, height)
    screen = np.zeros((height, width), np.uint8)
    # All images are found before the first is decoded, so that a cut file gives no frame.
    for image in list(_images(content)):
        area = (
            slice(image.top, image.top + image.height),
            slice(image.left, image.left + image.width),
        )
        before = screen[area].copy()
        indices = _indices(image)[: before.shape[0], : before.shape[1]]
        levels = _levels(image.colours)[indices]
        if image.transparent is not None:
            levels = np.where(indices == image.transparent, before, levels)
        screen[area] = levels
        yield screen.copy(), image.seconds
        if image.disposal == 2:
            screen[area] = 0
        elif image.disposal == 3:
            screen[area] = before


def _levels(colours: bytes) -> Levels:
    """The luma of all 256 colours. Those beyond the palette are black."""
    palette = np.frombuffer(colours.ljust(768, b"\0"), np.uint8).reshape(1, 256, 3)
    levels: Levels = cv2.cvtColor(palette, cv2.COLOR_RGB2GRAY)[0]
    return levels


def _indices(image: _Image) -> Levels:
    """The colour numbers (H, W) of one image, decoded as a GIF of its own."""
    check_size(image.width, image.height)
    size_of_palette = (len(image.colours) // 3).bit_length() - 2
    alone = b"".join((
        b"GIF89a", struct.pack("<HHBBB", image.width, image.height, 0x80 | size_of_palette, 0, 0),
        image.colours,
        b",", struct.pack("<HHHHB", 0, 0, image.width, image.height, 64 * image.is_interlaced),
        image.data, b";",
    ))  # fmt: skip
    with Image.open(io.BytesIO(alone), formats=["GIF"]) as decoded:
        return np.array(decoded, np.uint8)


def _images(content: bytes) -> Iterator[_Image]:
    """Yields the images of the file. Raises UnreadableError unless its blocks lead to its end."""
    at = 0
    n_parts = 0

    def take(n_bytes: int) -> bytes:
        nonlocal at
        if at + n_bytes > len(content):
            raise _truncated(content)
        at += n_bytes
        return content[at - n_bytes : at]

    def colours(flags: int) -> bytes:
        return take(3 << (flags & 7) + 1) if flags & 0x80 else b""

    def sub_blocks() -> bytes:
        nonlocal n_parts
        begin = at
        while size := take(1)[0]:
            n_parts += 1
            if n_parts > MAX_PARTS:
                raise _truncated(content)
            take(size)
        return content[begin:at]

    global_colours = colours(take(HEADER_BYTES)[10])
    transparent, disposal, seconds = None, 0, 0.0
    n_images = 0
    while (block := take(1)) != b";":
        if block == b"!":
            label, blocks = take(1), sub_blocks()
            if label == b"\xf9" and len(blocks) >= 6:
                flags, hundredths, index = struct.unpack("<BHB", blocks[1:5])
                transparent = index if flags & 1 else None
                disposal, seconds = flags >> 2 & 7, hundredths / 100
        elif block == b",":
            left, top, width, height, flags = struct.unpack("<HHHHB", take(9))
            palette = colours(flags) or global_colours
            if not palette:
                raise UnreadableError("a frame of the gif has no palette: convert it to mp4")
            size_of_code = take(1)
            yield _Image(
                left, top, width, height, bool(flags & 64), palette, size_of_code + sub_blocks(),
                transparent, disposal, seconds,
            )  # fmt: skip
            n_images += 1
            transparent, disposal, seconds = None, 0, 0.0
        else:
            raise UnreadableError(f"the gif file is damaged at byte {at - 1}: {COPY_AGAIN}")
    if not n_images:
        raise UnreadableError(f"no frame can be decoded: {COPY_AGAIN}")


def _truncated(content: bytes) -> UnreadableError:
    return UnreadableError(
        f"the gif file is truncated at {len(content)} bytes, or has over {MAX_PARTS} parts: "
        f"{COPY_AGAIN}"
    )
