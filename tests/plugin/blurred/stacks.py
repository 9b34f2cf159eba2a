"""A reader: stacks of frames in compressed NumPy files."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lussweep.data.readers.seam import Frame, Reader, UnreadableError


def matches(path: Path, head: bytes) -> bool:
    return path.name.endswith(".npy.gz") and head.startswith(b"\x1f\x8b")


def check(path: Path) -> None:
    next(frames(path, 1))


def frames(path: Path, stride: int) -> Iterator[Frame]:
    try:
        with gzip.open(path) as file:
            stack_THW = np.load(file, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise UnreadableError(f"is no stack of frames ({error}): save it again") from None
    if stack_THW.dtype != np.uint8 or stack_THW.ndim != 3:
        raise UnreadableError("holds no uint8 array of shape (T, H, W): convert it")
    for index in range(0, len(stack_THW), stride):
        yield Frame(index, None, stack_THW[index])


STACKS = Reader("compressed stack", matches, check, frames)
