"""Turns Ray's error about a lost process or node into an outcome."""

from __future__ import annotations

from textwrap import shorten

from lussweep.backend.driver import Outcome


def lost(ref: str, message: str) -> Outcome:
    """The outcome of a lost step. `message` is Ray's error, whose last line is the reason."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    reason = lines[-1] if lines else "killed, out of memory, or it could not start"
    reason = shorten(reason, 200, placeholder=" ...")  # logs/ has the whole message
    error = f"WorkerLost: the process of this step was lost: {reason}"
    return Outcome(ref, error, message, is_lost=True)
