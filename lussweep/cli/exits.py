"""Ends commands: exit codes, and one line for each problem."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from lussweep.cli.streams import drop, write_line
from lussweep.errors import InputError, printable
from lussweep.run.lease import TakenOver
from lussweep.store.remote import StorageError

OK, CELLS_MISSING, BAD_INPUT = 0, 1, 2
REMEDIES = {
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EACCES: "choose another place, or ask for permission",
    errno.EPERM: "choose another place, or ask for permission",
    errno.EROFS: "choose another place",
    errno.ENOSPC: "free some space, or choose another place",
    errno.EDQUOT: "free some space, or choose another place",
}
"""What to do about errors of the file system that a user can mend. Others are raised."""


def _say(problem: str) -> None:
    write_line(printable(problem), err=True)


@contextmanager
def clear_errors(debug: bool, say: Callable[[str], None] = _say) -> Iterator[None]:
    """Turn known errors inside this block into one line each, which `say` takes, and an exit code.

    An InputError gives BAD_INPUT, and so does a file of REMEDIES; a lost folder or an unreachable
    store gives CELLS_MISSING. With `debug` the errors are raised with their traceback instead.
    """
    try:
        yield
    except InputError as error:
        if debug:
            raise
        for problem in error.problems:
            say(f"error: {problem}")
        raise typer.Exit(BAD_INPUT) from None
    except TakenOver as error:
        if debug:
            raise
        say(str(error))
        raise typer.Exit(CELLS_MISSING) from None
    except StorageError as error:
        if debug:
            raise
        say(f"{error}: run the same command again to go on")
        raise typer.Exit(CELLS_MISSING) from None
    except OSError as error:
        if debug or error.filename is None or error.errno not in REMEDIES:
            raise
        say(f"error: {error.filename}: {error.strerror}: {REMEDIES[error.errno]}")
        raise typer.Exit(BAD_INPUT) from None


@contextmanager
def full_disk_is_one_line() -> Iterator[None]:
    """End with one line if standard output, or a file that is open, lies on a full disk.

    Python names no file then.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        drop(sys.stdout)
        _say(f"error: cannot write the output: {error.strerror}: free some space")
        raise SystemExit(BAD_INPUT) from None
