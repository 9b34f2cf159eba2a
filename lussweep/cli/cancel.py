"""`lussweep cancel`: ask the driver of a run to stop."""

from __future__ import annotations

import time

import typer

from lussweep.cli.exits import CELLS_MISSING, clear_errors
from lussweep.cli.options import DebugOption, RunArgument
from lussweep.cli.status import duration
from lussweep.errors import InputError
from lussweep.run.state import ENDINGS, cancelled, driver_of, read_state, request_cancel
from lussweep.store.folders import LocalFolder, folder_at

OBEYED_S, LOOK_S = 10.0, 0.1
"""Seconds that `cancel` waits for the driver, and seconds between two checks. A driver looks for
the request every second."""
REMOTE_OBEYED_S, REMOTE_LOOK_S = 20.0, 1.0
"""The same for a run folder in an object store, where the driver looks every five seconds."""


def cancel(run: RunArgument, debug: DebugOption = False) -> None:
    """Ask a driver to stop, as Ctrl-C does. Works on any machine that sees the run folder."""
    with clear_errors(debug):
        folder = folder_at(run)
        driver = driver_of(folder, read_state(folder))
        if driver.ended is not None:
            raise InputError(f"no driver works in {run}: the last one {ENDINGS[driver.ended]}")
        request_cancel(folder)
        who = f"pid {driver.pid} on {driver.host}"
        patience_s, look_s = OBEYED_S, LOOK_S
        if not isinstance(folder, LocalFolder):
            patience_s, look_s = REMOTE_OBEYED_S, REMOTE_LOOK_S
        deadline = time.monotonic() + patience_s
        while cancelled(folder) and time.monotonic() < deadline:
            time.sleep(look_s)
        if not cancelled(folder):
            typer.echo(f"{who} stops: finished steps are kept, the same command goes on")
            return
        typer.echo(
            f"{who} does not answer; its last report was {duration(driver.silent_s())} ago: "
            "the request stays until it answers",
            err=True,
        )
        raise typer.Exit(CELLS_MISSING)
