"""Steps whose process or node went: what Ray knows of it, in one line."""

from __future__ import annotations

from textwrap import shorten

from lussweep.backend.driver import Outcome


def lost(ref: str, told: str) -> Outcome:
    """The outcome of a step that could not report one; `told` is Ray's error, its reason last."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    reason = lines[-1] if lines else "killed, out of memory, or it could not start"
    reason = shorten(reason, 200, placeholder=" ...")  # logs/ has all of it
    error = f"WorkerLost: the process of this step was lost: {reason}"
    return Outcome(ref, error, told, is_lost=True)
