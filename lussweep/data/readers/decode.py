"""Grey-level frames from video files and image folders, and the problems of such files.

FFmpeg decodes what is left of a truncated file without an error, and the frame count in a header
may be an estimate. So a file's length is compared with what its container announces: boxes of
mp4 and mov, RIFF chunks of avi, blocks of gif, packets of MPEG program streams. The content
decides the kind of a file, because an .avi may hold mp4. Two kinds of cut go unseen: a fragmented
mp4 or a program stream that is cut exactly between two fragments or packets, and any cut of an
elementary or transport stream, because neither carries its length.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_SIDE = 8192
"""Most pixels per side. Larger files are refused before a frame is decoded."""
MAX_PIXELS = 2**25
"""Most pixels per frame: a decoder holds several copies of one."""
MAX_BYTES = 2**32
"""Most bytes of grey levels that one video may decode to."""

# OpenCV reads these when it loads or opens its first video. They keep it from writing to stderr.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from lussweep.data.readers.arrays import ARRAY  # noqa: E402
from lussweep.data.readers.headers import boxes, video_sizes  # noqa: E402
from lussweep.data.readers.seam import HEAD_BYTES, Reader, UnreadableError  # noqa: E402
from lussweep.data.readers.series import FOLDER, IMAGE  # noqa: E402
from lussweep.errors import InputError  # noqa: E402

if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

READERS = (FOLDER, IMAGE, ARRAY)
MAX_PARTS = 10**6
"""Most parts of a container. A file with more was made to keep its reader busy."""
COPY_AGAIN = "copy it again from its source or take it out of the manifest"
MIN_DECODED_SHARE = 0.9
"""Least share of the frames that an mp4, mov or avi announces. Edit lists and cut last frames can
leave out some."""

Frames = NDArray[np.uint8]


class _UnreadableError(Exception):
    """A problem with a video, in words that do not name the video."""


def read_frames(path: Path, stride: int = 1) -> Frames:
    """Read frames 0, stride, 2 * stride, ... as uint8 grey levels (T, H, W).

    `path` is a video (mp4, mov, avi, mpeg), a folder of images of one size in natural order, one
    image file (GIF, TIFF of several pages, ...), or a stack of numpy. Raises InputError, one line
    with the path and the remedy, if it is missing, unreadable, empty, truncated, or beyond
    MAX_SIDE, MAX_PIXELS or MAX_BYTES.
    """
    if stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride}")
    try:
        reader = _reader(path)
        if reader is None:
            return np.stack(_read_video(path, stride))
        return np.stack(_collect(frame.pixels for frame in reader.frames(path, stride)))
    except (_UnreadableError, UnreadableError, OSError, ValueError, cv2.error) as error:
        raise InputError(f"{path}: {_line(error)}") from None


def probe(path: Path) -> str | None:
    """Return the problem with a video in one line that names it, or None.

    At most one frame is decoded.
    """
    try:
        if reader := _reader(path):
            reader.check(path)
        else:
            _check_container(path)
            capture = _open(path)
            if not capture.read()[0]:
                raise _UnreadableError(f"no frame can be decoded: {COPY_AGAIN}")
    except (_UnreadableError, UnreadableError, OSError, ValueError, cv2.error) as error:
        return f"{path}: {_line(error)}"
    return None


def _reader(path: Path) -> Reader | None:
    """What reads a folder, an image or an array; None for a video."""
    head = b""
    if not path.is_dir():
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    return next((reader for reader in READERS if reader.matches(path, head)), None)


def _line(error: Exception) -> str:
    if isinstance(error, _UnreadableError | UnreadableError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "does not exist: correct the path or take it out of the manifest"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot be read ({' '.join(str(reason).split())}): {COPY_AGAIN}"


# --- decoding -----------------------------------------------------------------------------


def _read_video(path: Path, stride: int) -> list[Frames]:
    kind = _check_container(path)
    capture = _open(path)
    announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    n_decoded = 0

    def kept() -> Iterator[Frames]:
        nonlocal n_decoded
        while capture.grab():
            n_decoded += 1
            if (n_decoded - 1) % stride == 0:
                ok, image = capture.retrieve()
                if not ok:
                    raise _UnreadableError(f"frame {n_decoded - 1} cannot be decoded: {COPY_AGAIN}")
                yield np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)

    frames = _collect(kept())
    if not frames:
        raise _UnreadableError(f"no frame can be decoded: {COPY_AGAIN}")
    if kind in ("mp4", "avi") and n_decoded < MIN_DECODED_SHARE * announced - 1:
        raise _UnreadableError(
            f"{n_decoded} of {announced:.0f} frames can be decoded: {COPY_AGAIN}"
        )
    return frames


def _collect(images: Iterator[Frames]) -> list[Frames]:
    frames: list[Frames] = []
    for image in images:
        if frames and image.shape != frames[0].shape:
            sizes = f"{_size(frames[0])} and {_size(image)}"
            raise _UnreadableError(f"frame sizes differ ({sizes}): give frames of one size")
        if (len(frames) + 1) * image.size > MAX_BYTES:
            raise _UnreadableError(f"has over {MAX_BYTES >> 30} GiB of frames: cut it into parts")
        frames.append(image)
    return frames


def _size(image: Frames) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"


def _open(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise _UnreadableError(
            f"OpenCV cannot open it as a video: {COPY_AGAIN}, or convert it to mp4"
        )
    width, height = (capture.get(p) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if not (width > 0 and height > 0):
        raise _too_large(width, height)
    _check_size(width, height)
    return capture


def _check_size(width: float, height: float) -> None:
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise _too_large(width, height)


def _too_large(width: float, height: float) -> _UnreadableError:
    return _UnreadableError(
        f"its header gives {width:.0f} x {height:.0f} pixels, and 1 to {MAX_SIDE} a side are "
        f"read, {MAX_PIXELS >> 20} Mi pixels at most: scale it or take it out of the manifest"
    )


# --- containers ---------------------------------------------------------------------------


def _check_container(path: Path) -> str:
    """Return the kind of container. Raises _UnreadableError if it is unknown or truncated."""
    n_bytes = path.stat().st_size
    if n_bytes == 0:
        raise _UnreadableError(f"the file is empty: {COPY_AGAIN}")
    with path.open("rb") as file:
        kind = _kind(file.read(189))
        file.seek(0)
        if kind is None:
            raise _UnreadableError("is not an mp4, mov, avi, mpeg or gif video: convert it to mp4")
        if kind in _IS_WHOLE and not _IS_WHOLE[kind](file, n_bytes):
            raise _UnreadableError(f"the {kind} file is truncated at {n_bytes} bytes: {COPY_AGAIN}")
        for width, height in video_sizes(file, kind):
            _check_size(width, height)
    return kind


def _kind(head: bytes) -> str | None:
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"GIF8":
        return "gif"
    if head[:4] == b"\0\0\1\xba":
        return "mpeg"
    if head[:4] == b"\0\0\1\xb3" or (head[:1] == b"G" and head[188:189] == b"G"):
        return "mpeg stream"
    return None


def _mp4_is_whole(file: BinaryIO, n_bytes: int) -> bool:
    """Whether all top-level boxes end within the file, with the index (moov) among them."""
    end, has_index = 0, False
    for name, at, size in boxes(file, n_bytes):
        end = at + size
        has_index |= name == b"moov"
    return has_index and end <= n_bytes


def _avi_is_whole(file: BinaryIO, n_bytes: int) -> bool:
    """Whether the RIFF chunks end within the file, apart from a byte of padding.

    Files over 1 GiB have several chunks.
    """
    at = 0
    for _ in range(MAX_PARTS):
        file.seek(at)
        head = file.read(8)
        if head[:4] != b"RIFF" or len(head) < 8:
            break
        (size,) = struct.unpack("<I", head[4:])
        at += 8 + size
    return at <= n_bytes + 1


def _gif_is_whole(file: BinaryIO, n_bytes: int) -> bool:
    """Whether the blocks lead to the trailer."""

    def skip_colours(flags: int) -> None:
        if flags & 0x80:
            file.seek(3 << (flags & 7) + 1, 1)

    n_parts = 0

    def skip_sub_blocks() -> None:
        nonlocal n_parts
        while (size := file.read(1)) and n_parts < MAX_PARTS:
            n_parts += 1
            if size == b"\0":
                return
            file.seek(size[0], 1)

    skip_colours(file.read(13)[10:11].ljust(1, b"\0")[0])
    while block := file.read(1):
        if block == b";":
            return True
        if block == b"!":
            file.seek(1, 1)
        elif block == b",":
            skip_colours(file.read(9).ljust(9, b"\0")[8])
            file.seek(1, 1)
        else:
            return False
        skip_sub_blocks()
    return False


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


_IS_WHOLE = {
    "mp4": _mp4_is_whole,
    "avi": _avi_is_whole,
    "gif": _gif_is_whole,
    "mpeg": _mpeg_is_whole,
}
