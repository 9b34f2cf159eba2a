"""Defines the command line, one file per command. Heavy imports wait until a command needs them."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from lussweep.cli.cancel import cancel
from lussweep.cli.compare import compare
from lussweep.cli.doctor import doctor
from lussweep.cli.examples import epilog
from lussweep.cli.exits import full_disk_is_one_line
from lussweep.cli.export_synthetic import export_synthetic
from lussweep.cli.grid import grid
from lussweep.cli.ingest import ingest
from lussweep.cli.init import init
from lussweep.cli.logs import logs
from lussweep.cli.plan import plan
from lussweep.cli.preview import preview
from lussweep.cli.report import report
from lussweep.cli.schema import schema
from lussweep.cli.show import show
from lussweep.cli.status import status
from lussweep.cli.streams import make_printable
from lussweep.cli.submit import submit
from lussweep.store.versions import installed_versions

app = typer.Typer(
    help="How much are synthetic images worth? A sweep over patients, replicates and variants.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        version = installed_versions(["lussweep"]).get("lussweep")
        unknown = "lussweep, version unknown: it is not installed"
        typer.echo(f"lussweep {version}" if version else unknown)
        raise typer.Exit


@app.callback()
def every_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Prepare what every command needs, whatever the environment says."""
    os.environ["MPLBACKEND"] = "agg"  # a notebook's may not be installed, and a desktop's needs one
    make_printable()


for command in (
    grid, plan, init, preview, ingest, export_synthetic, report, compare, show, doctor, status,
    logs, cancel, submit, schema,
):  # fmt: skip
    name = command.__name__.replace("_", "-")
    app.command(name, epilog=epilog(name))(command)


def main() -> Any:
    """Run the command that sys.argv names."""
    with full_disk_is_one_line():
        return app()
