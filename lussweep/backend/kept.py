"""Whether what a command prints is kept by a cluster, whose other users may read it."""

from __future__ import annotations

import os

KEPT = "LUSSWEEP_OUTPUT_IS_KEPT"
"""Set where what is printed goes to a log of somebody else's: patients are hashed there too."""


def is_kept() -> bool:
    return os.environ.get(KEPT, "") not in ("", "0")
