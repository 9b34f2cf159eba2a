"""Reads stacks of frames that numpy wrote: .npy and .npz files of uint8 levels."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray

from lussweep.data.readers.seam import COPY_AGAIN, Frame, Reader, UnreadableError, check_size
from lussweep.errors import one_line

NPY = b"\x93NUMPY"
ZIP = b"PK\x03\x04"
MEMBER = "frames"
"""The array that is read from an .npz of several."""

_REMEDY = "save uint8 levels of shape (T, H, W), or (T, H, W, 3) for red, green and blue"


def _matches(path: Path, head: bytes) -> bool:
    return head.startswith(NPY) or (head.startswith(ZIP) and path.suffix.lower() == ".npz")


def check(path: Path) -> None:
    """Raises UnreadableError if the first frame of a stack cannot be read."""
    next(frames(path, 1), None)


def frames(path: Path, stride: int) -> Iterator[Frame]:
    """Yields frames 0, stride, 2 * stride, ... of a stack, one at a time.

    The stack is uint8 (T, H, W), (T, H, W, 1) or (T, H, W, 3), red first. Colour becomes grey by
    its BT.601 luma. A .npz holds one array, or one that is called `frames`. Raises UnreadableError
    for anything else, with the remedy.
    """
    try:
        with path.open("rb") as file:
            is_archive = file.read(len(ZIP)) == ZIP
        stack = _archived(path, stride) if is_archive else _mapped(path, stride)
        for index, levels in stack:
            yield Frame(index, None, _grey(levels))
    except (UnreadableError, MemoryError):  # of memory the child says which limit was broken
        raise
    except Exception as error:
        # The parsers of numpy and zipfile can raise any error for a broken file.
        raise UnreadableError(
            f"is not a whole array of levels ({one_line(error)}): {_REMEDY}, or {COPY_AGAIN}"
        ) from None


ARRAY = Reader("array", _matches, check, frames, reads_all=True)


def _mapped(path: Path, stride: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    with path.open("rb") as file:
        shape, _, dtype = _read_header(file)
    _check_stack(dtype, shape)
    # Mapping compares the size that the header claims with that of the file, and reads no more
    # than is asked for.
    stack = np.load(path, mmap_mode="r", allow_pickle=False)
    for index in range(0, len(stack), stride):
        yield index, np.array(stack[index])


def _archived(path: Path, stride: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames of one member, unpacked one by one, because its header may claim any size."""
    with zipfile.ZipFile(path) as archive:
        arrays = [name for name in archive.namelist() if name.endswith(".npy")]
        chosen = arrays if len(arrays) == 1 else [n for n in arrays if n == f"{MEMBER}.npy"]
        if len(chosen) != 1:
            names = ", ".join(name.removesuffix(".npy") for name in arrays[:5])
            raise UnreadableError(
                f"holds {len(arrays)} arrays ({names}): give it one, or call one {MEMBER}"
            )
        with archive.open(chosen[0]) as member:
            shape, is_by_columns, dtype = _read_header(member)
            _check_stack(dtype, shape)
            if is_by_columns:
                raise UnreadableError("is stored by columns: save it again in C order")
            n_bytes = int(np.prod(shape[1:], dtype=np.int64))
            for index in range(shape[0]):
                content = member.read(n_bytes)
                if len(content) < n_bytes:
                    raise UnreadableError(f"ends within frame {index}: {COPY_AGAIN}")
                if index % stride == 0:
                    yield index, np.frombuffer(content, np.uint8).reshape(shape[1:])


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)


def _check_stack(dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Raises UnreadableError unless an array is a stack of frames of uint8 levels."""
    is_stack = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    # A colour picture (H, W, 3) has three axes too, but no frame is 3 or 4 pixels wide.
    if dtype != np.uint8 or not is_stack or (len(shape) == 3 and shape[2] <= 4):
        raise UnreadableError(f"holds {dtype} of shape {shape}: {_REMEDY}"[:300])
    if shape[0] == 0:
        raise UnreadableError(f"holds no frame (shape {shape}): {COPY_AGAIN}")
    check_size(shape[2], shape[1])


def _grey(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey levels (H, W) of one frame (H, W), (H, W, 1) or (H, W, 3)."""
    if levels.ndim == 3 and levels.shape[2] == 3:
        rgb = np.ascontiguousarray(levels)
        return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    return np.ascontiguousarray(levels.reshape(levels.shape[:2]))
