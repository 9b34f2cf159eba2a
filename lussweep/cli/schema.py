"""`lussweep schema`: print the JSON schema of experiment files, for editors."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lussweep.cli.exits import clear_errors
from lussweep.cli.options import DebugOption


def schema(
    plugin: Annotated[
        list[str] | None,
        typer.Option(help="An installed plugin whose parts are described, too.", metavar="NAME"),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Print a JSON schema of experiments, with which editors complete and check them."""
    with clear_errors(debug):
        from lussweep.study.plugins import load_plugins
        from lussweep.study.spec.json_schema import experiment_schema

        load_plugins(plugin or ())
        typer.echo(json.dumps(experiment_schema(), indent=1))
