"""How commands end: exit codes, and one clear line per problem."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from lussweep.errors import InputError
from lussweep.run.lease import TakenOver
from lussweep.store.remote import StorageError

OK, CELLS_MISSING, BAD_INPUT = 0, 1, 2


@contextmanager
def clear_errors(debug: bool) -> Iterator[None]:
    """One clear line per problem, exit code 2; a traceback only with --debug."""
    try:
        yield
    except InputError as error:
        if debug:
            raise
        for problem in error.problems:
            typer.echo(f"error: {problem}", err=True)
        raise typer.Exit(BAD_INPUT) from None
    except TakenOver as error:
        if debug:
            raise
        typer.echo(str(error), err=True)
        raise typer.Exit(CELLS_MISSING) from None
    except StorageError as error:
        if debug:
            raise
        typer.echo(f"{error}: run the same command again to go on", err=True)
        raise typer.Exit(CELLS_MISSING) from None
