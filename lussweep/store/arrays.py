"""Reads arrays from files. It trusts no header and never unpickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lussweep.errors import InputError, one_line


def read_array(path: Path, dtype: Any, *, mapped: bool = False) -> np.ndarray:
    """Reads a stack of frames (N, S, S) of `dtype`, into memory or, if `mapped`, read-only on disk.

    Raises InputError that names the file if it holds anything else, or is shorter than its header
    says.
    """
    try:
        # Mapping compares the size that the header claims with the size of the file.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        # numpy's parser can raise any error for a broken header (TokenError, ...).
        raise InputError(
            f"cannot read the array {path} ({one_line(error)}): {_remedy(path)}"
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 3:
        held = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise InputError(
            f"{path} holds {held[:200]}, not frames of {np.dtype(dtype)}: {_remedy(path)}"
        )
    return array if mapped else np.array(array)


def _remedy(path: Path) -> str:
    return f"delete the folder {path.parent}, and it is made again"
