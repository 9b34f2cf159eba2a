"""Suggests the closest valid name for a typo."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error message: the known word closest to `word`, or else all known words."""
    options = list(known)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if close:
        return f": did you mean {close[0]}?"
    return f": known are {', '.join(options)}" if options else ""
