"""`lussweep doctor`: check whether a cluster, or this machine, is fit for a run."""

from __future__ import annotations

from typing import Annotated

import typer

from lussweep.cli.exits import OK, clear_errors
from lussweep.cli.options import (
    AddressOption,
    DebugOption,
)

PROBLEM_FOUND = 1


def doctor(
    address: AddressOption = None,
    out: Annotated[
        str | None, typer.Option(help="The run folder of the run that you plan, or its URL.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="The folder of its artifacts, or its URL.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the findings as JSON, for programs.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Check a cluster, or this machine: who gets in, versions, clocks, GPUs, room, storage."""
    with clear_errors(debug):
        from lussweep.backend.doctor import examine, is_sound, show

        findings = examine(address, [place for place in (store, out) if place])
        typer.echo(show(findings, json_))
        raise typer.Exit(OK if is_sound(findings) else PROBLEM_FOUND)
