"""Ends commands: exit codes, and one line for each problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from lussweep.errors import InputError
from lussweep.run.lease import TakenOver
from lussweep.store.remote import StorageError

OK, CELLS_MISSING, BAD_INPUT = 0, 1, 2


def _say(problem: str) -> None:
    typer.echo(problem, err=True)


@contextmanager
def clear_errors(debug: bool, say: Callable[[str], None] = _say) -> Iterator[None]:
    """Turn known errors inside this block into one line each, which `say` takes, and an exit code.

    An InputError gives BAD_INPUT; a lost folder or an unreachable store gives CELLS_MISSING. With
    `debug` the errors are raised with their traceback instead.
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
