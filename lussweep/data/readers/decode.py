"""Grey-level frames of any input: a video, images, or an array.

A reader of `READERS` does the work, in a child process with limits. So a file that crashes its
decoder, fills the memory or never ends is refused like any other that is damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lussweep.data.readers.arrays import ARRAY
from lussweep.data.readers.seam import (
    COPY_AGAIN,
    HEAD_BYTES,
    Reader,
    UnreadableError,
)
from lussweep.data.readers.series import FOLDER, IMAGE
from lussweep.data.readers.video import VIDEO
from lussweep.errors import InputError, one_line
from lussweep.store import buffers, child
from lussweep.study.plugins import Plugin, Registry

MAX_BYTES = 2**32
"""Most bytes of grey levels that one video may decode to."""

READERS = Registry("reader", {reader.name: reader for reader in (VIDEO, FOLDER, IMAGE, ARRAY)})
"""The readers by name. If several match an input, the last of them reads it."""

NO_FRAME = f"holds no frame: {COPY_AGAIN}"

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Loop:
    """The frames of one input, with their places in the source."""

    pixels: Frames
    """Grey levels (T, H, W)."""
    extremes: Frames
    """The greatest and the least level of each pixel (2, H, W), also over frames that the stride
    drops, if the reader decodes them."""
    indices: tuple[int, ...]
    """Number of each frame in the source, from 0."""
    seconds: tuple[float | None, ...]
    """Time of each frame since the first, or None where the source has no times."""
    end: int
    """The number of frames in the source. At most so many, if the reader leaves out those that the
    stride drops."""


def read_loop(path: Path, stride: int = 1) -> Loop:
    """Reads frames 0, stride, 2 * stride, ... of a video, of images of one size, or of an array.

    Raises InputError, one line with the path and the remedy, if it is missing, unreadable, empty,
    damaged, truncated, or beyond MAX_SIDE, MAX_PIXELS or MAX_BYTES.
    """
    if stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride}")
    buffer = buffers.take()
    answer = _in_child(path, _write_frames, stride, MAX_BYTES, out=buffer.file)
    try:
        return _loop(buffer.levels(), *answer)
    except (TypeError, ValueError):  # a file may have taken the child over
        raise InputError(f"{path}: {child.NO_ANSWER}: {COPY_AGAIN}") from None


def _loop(
    levels: NDArray[np.uint8],
    shape: Sequence[int],
    indices: Sequence[int],
    seconds: Sequence[float | None],
    end: int,
) -> Loop:
    """The frames that a child has written. Raises TypeError or ValueError if they do not fit."""
    n_frames, height, width = shape
    pixels = levels.reshape((n_frames + 2, height, width))
    if not 0 < n_frames == len(indices) == len(seconds):
        raise ValueError(f"{n_frames} frames, {len(indices)} numbers and {len(seconds)} times")
    return Loop(pixels[:-2], pixels[-2:], tuple(indices), tuple(seconds), int(end))


def read_frames(path: Path, stride: int = 1) -> Frames:
    """The grey levels (T, H, W) of `read_loop`."""
    return read_loop(path, stride).pixels


def read_times(path: Path) -> tuple[float | None, ...]:
    """The seconds of all frames since the first; None where the source has no times.

    All frames are decoded, and none is kept. Raises InputError as `read_loop` does.
    """
    return tuple(_in_child(path, _times))


def probe(path: Path) -> str | None:
    """Return the problem with an input in one line that names it, or None.

    At most one frame is decoded.
    """
    try:
        _in_child(path, _check)
    except InputError as error:
        return str(error)
    return None


def reader_plugin(path: Path) -> Plugin | None:
    """The plugin whose reader reads an input; None if lussweep's own reads it, or none does."""
    plugins = {name: plugin for name in READERS if (plugin := READERS.plugin_of(name))}
    if not plugins:
        return None  # only the child may read the file, so its first bytes are not known here
    head = _head(path)
    names = [name for name, reader in READERS.items() if reader.matches(path, head)]
    return plugins.get(names[-1]) if names else None


def _in_child(
    path: Path,
    function: Callable[..., Any],
    *args: Any,
    out: IO[bytes] | None = None,
) -> Any:
    """Runs `function(readers, path, *args)` in a child. Every problem becomes an InputError."""
    try:
        return child.call(
            path, function, tuple(READERS.values()), path, *args,
            out=out, remedy=COPY_AGAIN, errors=(UnreadableError,),
        )  # fmt: skip
    except InputError:
        raise
    except (UnreadableError, OSError, ValueError) as error:
        raise InputError(f"{path}: {_line(error)}") from None


def _line(error: Exception) -> str:
    if isinstance(error, UnreadableError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "does not exist: correct the path or take it out of the manifest"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"cannot be read ({one_line(str(reason))}): {COPY_AGAIN}"


# --- in the child -------------------------------------------------------------------------


def _check(readers: Sequence[Reader], path: Path) -> None:
    _reader_of(readers, path).check(path)


def _times(readers: Sequence[Reader], path: Path) -> list[float | None]:
    times = [frame.seconds for frame in _reader_of(readers, path).frames(path, 1)]
    if not times:
        raise UnreadableError(NO_FRAME)
    return times


def _write_frames(
    readers: Sequence[Reader], path: Path, stride: int, max_bytes: int, out: IO[bytes]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[float | None, ...], int]:
    """Writes the frames one after another, then the greatest and the least levels.

    Returns the shape of the frames, their numbers and times, and `Loop.end`.
    """
    size: tuple[int, ...] | None = None
    indices: list[int] = []
    seconds: list[float | None] = []
    brightest = darkest = np.empty(0, np.uint8)
    reader = _reader_of(readers, path)
    step, end = 1 if reader.reads_all else stride, 0
    for frame in reader.frames(path, step):
        end = frame.index + step
        if size is None:
            size, brightest, darkest = frame.pixels.shape, frame.pixels.copy(), frame.pixels.copy()
        if frame.pixels.shape != size:
            sizes = " and ".join(f"{w} x {h}" for h, w in (size, frame.pixels.shape))
            raise UnreadableError(f"frame sizes differ ({sizes}): give frames of one size")
        np.maximum(brightest, frame.pixels, out=brightest)
        np.minimum(darkest, frame.pixels, out=darkest)
        if frame.index % stride:
            continue
        if (len(indices) + 1) * frame.pixels.size > max_bytes:
            raise UnreadableError(
                f"has over {max_bytes / 2**30:.3g} GiB of frames: cut it into parts"
            )
        out.write(np.ascontiguousarray(frame.pixels).data)
        indices.append(frame.index)
        seconds.append(frame.seconds)
    if size is None:
        raise UnreadableError(NO_FRAME)
    out.write(np.stack([brightest, darkest]).data)
    return (len(indices), *size), tuple(indices), tuple(seconds), end


def _head(path: Path) -> bytes:
    """The first bytes of a file; none of a folder. A pipe or a device raises UnreadableError."""
    if path.is_dir():
        return b""
    if path.exists() and not path.is_file():  # reading it may never end
        raise UnreadableError("is neither a file nor a folder: take it out of the manifest")
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _reader_of(readers: Sequence[Reader], path: Path) -> Reader:
    """The last reader that matches. Raises UnreadableError if none does."""
    head = _head(path)
    for reader in reversed(readers):
        if reader.matches(path, head):
            return reader
    kinds = ", ".join(reader.name for reader in readers)
    raise UnreadableError(f"is of no kind that is read ({kinds}): take it out of the manifest")
