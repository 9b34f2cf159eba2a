"""Commands that look at runs and steer them: status, logs, cancel, submit."""

from __future__ import annotations

import json
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lussweep.cli.arguments import experiment_text, parse_coordinates
from lussweep.cli.exits import CELLS_MISSING, clear_errors
from lussweep.cli.options import DebugOption
from lussweep.errors import InputError
from lussweep.store.folders import Folder, LocalFolder, folder_at
from lussweep.store.remote import is_url
from lussweep.study.spec import load_study

OBEYED_S, LOOK_S = 10.0, 0.1
"""How long `cancel` waits for the driver, which looks every second, and how often it looks."""
REMOTE_OBEYED_S, REMOTE_LOOK_S = 20.0, 1.0
"""Of a run folder in an object store, where the driver looks every five seconds."""


RunArgument = Annotated[
    Folder, typer.Argument(parser=folder_at, metavar="RUN", help="The folder of a run, or its URL.")
]


def status(
    run: RunArgument,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    debug: DebugOption = False,
) -> None:
    """Say how far a run is, from its folder or URL alone: also from another machine."""
    with clear_errors(debug):
        from lussweep.cli.status import print_status, status_of

        found = status_of(run)
        if as_json:
            typer.echo(json.dumps(found, indent=1))
        else:
            print_status(found)


def logs(
    run: RunArgument,
    cell: Annotated[str, typer.Argument(help="Such as variant=combined,n_patients=6,replicate=1.")],
    debug: DebugOption = False,
) -> None:
    """Show every step of one cell, why some failed, and where artifacts lie."""
    with clear_errors(debug):
        from lussweep.cli.logs import cell_steps, find_cell, print_cell

        found = find_cell(run, parse_coordinates([cell], "the cell "))
        print_cell(found, cell_steps(run, found))


def cancel(run: RunArgument, debug: DebugOption = False) -> None:
    """Ask the driver of a run to stop, as Ctrl-C does: also from another machine."""
    with clear_errors(debug):
        from lussweep.run.state import ENDINGS, cancelled, driver_of, read_state, request_cancel

        driver = driver_of(run, read_state(run))
        if driver.ended is not None:
            raise InputError(f"no driver works in {run}: the last one {ENDINGS[driver.ended]}")
        request_cancel(run)
        who = f"pid {driver.pid} on {driver.host}"
        patience_s, look_s = OBEYED_S, LOOK_S
        if not isinstance(run, LocalFolder):
            patience_s, look_s = REMOTE_OBEYED_S, REMOTE_LOOK_S
        asked = time.monotonic()
        while cancelled(run) and time.monotonic() < asked + patience_s:
            time.sleep(look_s)
        if not cancelled(run):
            typer.echo(f"{who} stops: what is done stays, the same command goes on")
            return
        from lussweep.cli.status import duration

        typer.echo(
            f"{who} does not answer, and was last heard of {duration(driver.silent_s())} ago: "
            "the request stays until it does",
            err=True,
        )
        raise typer.Exit(CELLS_MISSING)


def submit(
    context: typer.Context,
    experiment: Annotated[
        str, typer.Argument(help="A YAML file, or the name of one that ships with lussweep.")
    ],
    options: Annotated[
        list[str] | None, typer.Argument(help="After --, options of `grid`: -- --out /shared/run.")
    ] = None,
    address: Annotated[
        str, typer.Option(help="The cluster's job server, its dashboard.")
    ] = "http://127.0.0.1:8265",
    working_dir: Annotated[
        Path | None,
        typer.Option(
            help="Ship this folder, with the experiment in it.", show_default="the experiment alone"
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Run `grid` as a job of a Ray cluster, which goes on when this machine is off."""
    with clear_errors(debug):
        if not address.startswith(("http://", "https://")):
            raise InputError(f"--address {address} is not of the form http://HOST:8265")
        grid = _parsed(context, experiment, options or [])
        study = load_study(
            experiment_text(experiment), overrides=grid["set_"] or [], where=experiment
        )
        _check_for_a_cluster(grid)
        from lussweep.backend.cluster.jobs import submit as submit_job

        with _shipped(experiment, working_dir) as (folder, name):
            command = ["python", "-m", "lussweep", "grid", name, *(options or [])]
            job = submit_job(address, [*command, "--address", "auto"], folder)
        typer.echo(f"job {job}: {study.name}, into {grid['out']}")
        for word in ("status", "logs --follow", "stop"):
            typer.echo(f"  ray job {word} --address {shlex.quote(address)} {job}")
        seen = "" if is_url(grid["out"]) else "  (where the folder is seen)"
        typer.echo(f"  lussweep status {shlex.quote(grid['out'])}{seen}")


COMMANDS = (status, logs, cancel, submit)


def _parsed(context: typer.Context, experiment: str, options: Sequence[str]) -> dict[str, Any]:
    """What `grid` would make of the options, so that a slip is found here and not in the job."""
    group = context.find_root().command
    assert isinstance(group, TyperGroup), "submit is one of several commands"
    arguments = [experiment, *options]
    return group.commands["grid"].make_context("grid", arguments, parent=context.parent).params


def _check_for_a_cluster(grid: dict[str, Any]) -> None:
    problems = []
    if grid["address"] is not None:
        problems.append("--address after -- is the job's own, and always auto: leave it out there")
    if grid["backend"] != "ray":
        problems.append(f"--backend {grid['backend']} after --: a job of a Ray cluster uses Ray")
    out = grid["out"]
    if out is None or not (is_url(out) or Path(out).is_absolute()):
        problems.append(
            "a job's working directory goes when it ends: give -- --out with an absolute path "
            "that all nodes share"
        )
    if problems:
        raise InputError(problems)


@contextmanager
def _shipped(experiment: str, working_dir: Path | None) -> Iterator[tuple[Path, str]]:
    """The folder to ship, and the experiment as it is named in there."""
    # What is no file ships with lussweep, which the cluster has.
    path = Path(experiment) if Path(experiment).is_file() else None
    if working_dir is not None:
        if not working_dir.is_dir():
            raise InputError(f"--working-dir {working_dir} is no folder")
        inside = path is None or path.resolve().is_relative_to(working_dir.resolve())
        if not inside:
            raise InputError(f"{experiment} is not in --working-dir {working_dir}: put it there")
        name = str(path.resolve().relative_to(working_dir.resolve())) if path else experiment
        yield working_dir, name
        return
    with tempfile.TemporaryDirectory(prefix="lussweep-submit-") as folder:
        if path is not None:
            shutil.copyfile(path, Path(folder) / path.name)
        yield Path(folder), path.name if path else experiment
