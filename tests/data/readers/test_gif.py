"""GIFs written block by block, composed as the standard says, on black."""

import struct
from pathlib import Path

import numpy as np

from lussweep.data.readers.decode import read_frames

COLOURS = [90, 200, 40, 255]
"""The palette. What no image covers must be 0, which is none of them."""


def packed(indices: np.ndarray) -> bytes:
    """Codes of 3 bits, with a clear code before each, so that they never grow."""
    codes = [code for index in indices.ravel() for code in (4, int(index))] + [5]
    bits = "".join(f"{code:03b}" for code in reversed(codes))
    content = int(bits, 2).to_bytes(-(-len(bits) // 8), "little")
    blocks = [content[i : i + 255] for i in range(0, len(content), 255)]
    return b"\2" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def image(
    indices: list, at: tuple[int, int] = (0, 0), disposal: int = 0, transparent: int | None = None
) -> bytes:
    pixels = np.array(indices)
    flags = disposal << 2 | (transparent is not None)
    control = b"!\xf9\4" + struct.pack("<BHBB", flags, 4, transparent or 0, 0)
    size = struct.pack("<HHHHB", *at, pixels.shape[1], pixels.shape[0], 0)
    return control + b"," + size + packed(pixels)


def gif(*images: bytes, size: tuple[int, int] = (3, 2)) -> bytes:
    palette = b"".join(bytes([level] * 3) for level in COLOURS)
    return b"GIF89a" + struct.pack("<HHBBB", *size, 0x81, 1, 0) + palette + b"".join(images) + b";"


def frames_of(tmp_path: Path, *images: bytes) -> list:
    (tmp_path / "a.gif").write_bytes(gif(*images))
    return read_frames(tmp_path / "a.gif").tolist()


FULL = [[0, 1, 2], [2, 1, 0]]
SHOWN = [[90, 200, 40], [40, 200, 90]]


def test_an_image_that_covers_a_part_lies_on_black(tmp_path: Path) -> None:
    assert frames_of(tmp_path, image([[3]], at=(1, 0))) == [[[0, 255, 0], [0, 0, 0]]]


def test_a_later_image_lies_on_the_one_before(tmp_path: Path) -> None:
    for disposal in (0, 1):
        found = frames_of(tmp_path, image(FULL, disposal=disposal), image([[3]], at=(2, 1)))
        assert found == [SHOWN, [[90, 200, 40], [40, 200, 255]]]


def test_a_cleared_image_leaves_black(tmp_path: Path) -> None:
    found = frames_of(tmp_path, image(FULL, disposal=2), image([[3]], at=(2, 1)))
    assert found == [SHOWN, [[0, 0, 0], [0, 0, 255]]]


def test_a_restored_image_leaves_what_was_there(tmp_path: Path) -> None:
    found = frames_of(
        tmp_path,
        image(FULL),
        image([[3, 3]], at=(0, 0), disposal=3),
        image([[3]], at=(2, 1)),
    )
    assert found == [SHOWN, [[255, 255, 40], [40, 200, 90]], [[90, 200, 40], [40, 200, 255]]]


def test_transparent_pixels_show_what_was_there_or_black(tmp_path: Path) -> None:
    first = image(FULL, transparent=1)
    assert frames_of(tmp_path, first, image([[3, 0]], transparent=0)) == [
        [[90, 0, 40], [40, 0, 90]],
        [[255, 0, 40], [40, 0, 90]],
    ]


def test_an_image_beyond_the_screen_is_cut(tmp_path: Path) -> None:
    found = frames_of(tmp_path, image([[3, 3, 3], [3, 3, 3]], at=(2, 1)))
    assert found == [[[0, 0, 0], [0, 0, 255]]]
