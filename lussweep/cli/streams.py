"""Makes every text printable on a stream of any encoding."""

from __future__ import annotations

import codecs
import io
import sys

PLAIN = {"±": "+-", "\u2026": "...", "²": "2", "\u00d7": "x", "\u2212": "-", "\u2013": "-"}
"""Characters of lussweep's own texts, and what stands for them in ASCII. Others become `?`."""


def make_printable() -> None:
    """Let standard output and error replace what their encoding lacks, in place of an error."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in lacking), error.end
