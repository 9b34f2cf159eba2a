"""Videos, read by FFmpeg through PyAV: every frame as a player shows it, or a refusal.

The decoder raises an error for damage, which it would otherwise conceal (`err_detect`). Frames
marked as interlaced are deinterlaced by FFmpeg's bwdif, one frame each. Display matrix (turned or
mirrored), pixels that are not square, colour range and edit lists are honoured; transparent parts
are black. Grey is the luma of a video, or the BT.601 luma of RGB.

A truncated file shows in parts that end beyond it (`containers.py`), in a packet that is cut, in an
index that points beyond the file, in fewer frames than an AVI announces, and in less time than a
Matroska file announces. Some cuts go unseen, because nothing in the file tells: between two
fragments of an mp4 or packs of a program stream, between two pictures of a transport or elementary
stream, and in a Matroska file that was written live, without a duration. Where only the decoder can
tell, `check` does not see the cut and `frames` does. Changed bytes that decode as another picture
cannot be told either: most codecs have no checksum.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lussweep.data.readers.seam import Frame, Reader


def matches(path: Path, head: bytes) -> bool:
    """True for every file: FFmpeg decides whether it is a video. Later readers are preferred."""
    return path.is_file()


def check(path: Path) -> None:
    """Raises UnreadableError if the file is no video, is truncated, or has no first frame."""
    from lussweep.data.readers.ffmpeg import opened  # loads PyAV, which only children need

    with opened(path) as source:
        for _ in source.packets():
            pass
    with opened(path) as source:
        next(source.frames(1))


def frames(path: Path, stride: int) -> Iterator[Frame]:
    """Yields every stride-th frame, in the order in which they are shown."""
    from lussweep.data.readers.ffmpeg import opened

    with opened(path) as source:
        yield from source.frames(stride)


VIDEO = Reader("video", matches, check, frames, reads_all=True)
