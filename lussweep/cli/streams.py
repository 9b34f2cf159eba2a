"""Writes on standard output and error, whatever their encoding, and also if they are broken."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import typer

from lussweep.errors import one_line

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


def write_line(line: str, *, err: bool = False) -> OSError | None:
    """Write a line at once on standard output, or on standard error with `err`.

    Returns the error that prevented it, such as a full disk or a reader that has left, in place of
    raising it: training goes on without its messages. Later lines of that stream are dropped.
    """
    try:
        typer.echo(line, err=err)
    except OSError as error:
        drop(sys.stderr if err else sys.stdout)
        return error
    return None


@contextmanager
def may_break() -> Iterator[None]:
    """Around texts for standard output, so that an error there ends nothing.

    What cannot be written, because the disk is full or the reader has left, is dropped. Standard
    error says why. The block must do nothing but print.
    """
    try:
        yield
        sys.stdout.flush()
    except (OSError, SystemExit) as error:  # rich ends the program if the reader has left
        drop(sys.stdout)
        why = one_line(error) if isinstance(error, OSError) else "nobody reads it any more"
        write_line(f"warning: standard output cannot be written: {why}", err=True)


def drop(stream: TextIO) -> None:
    """Send what is written on the stream to nowhere.

    Python would meet the error again when it flushes the stream at its end.
    """
    with suppress(OSError):  # a stream that is no file of the system has nothing to redirect
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
