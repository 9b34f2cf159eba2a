"""Tells whether a cluster keeps what a command prints, where other users may read it."""

from __future__ import annotations

import os

KEPT = "LUSSWEEP_OUTPUT_IS_KEPT"
"""Environment variable that is set in jobs. Their output goes to a log, so patients are hashed."""


def is_kept() -> bool:
    """Whether the output of this process is kept."""
    return os.environ.get(KEPT, "") not in ("", "0")
