"""Arrays in files: no header is believed, and nothing is ever unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lussweep.errors import InputError, one_line


def read_array(path: Path, dtype: Any, *, mapped: bool = False) -> np.ndarray:
    """A stack of frames (N, S, S) of `dtype`, in memory or `mapped` from the file, read-only.

    Raises InputError naming the file if it is no such array, or shorter than it says.
    """
    try:
        # Mapped first: the size that the header claims is compared with the file's.
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        # numpy's parser of the header raises whatever a broken one leads it to (TokenError, ...).
        raise InputError(
            f"cannot read the array {path} ({one_line(error)}): {_remedy(path)}"
        ) from None
    if not isinstance(found, np.ndarray) or found.dtype != dtype or found.ndim != 3:
        held = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else "an archive"
        raise InputError(
            f"{path} holds {held[:200]}, not frames of {np.dtype(dtype)}: {_remedy(path)}"
        )
    return found if mapped else np.array(found)


def _remedy(path: Path) -> str:
    return f"delete the folder {path.parent}, and it is made again"
