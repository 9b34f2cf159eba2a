"""`lussweep submit`: hand a grid to a Ray cluster as a job."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lussweep.cli.exits import clear_errors
from lussweep.cli.options import DebugOption, Experiment
from lussweep.errors import InputError
from lussweep.run.arguments import experiment_text
from lussweep.store.remote import is_url
from lussweep.study.spec import load_study


def submit(
    context: typer.Context,
    experiment: Experiment,
    options: Annotated[
        list[str] | None,
        typer.Argument(help="Options of `grid`, after --, such as -- --out /shared/run."),
    ] = None,
    address: Annotated[
        str, typer.Option(help="The URL of the cluster's dashboard, which takes jobs.")
    ] = "http://127.0.0.1:8265",
    working_dir: Annotated[
        Path | None,
        typer.Option(
            help="Send this folder to the cluster. The experiment is in it.",
            show_default="the experiment alone",
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
        hint = "" if is_url(grid["out"]) else "  (where the folder is seen)"
        typer.echo(f"  lussweep status {shlex.quote(grid['out'])}{hint}")


def _parsed(context: typer.Context, experiment: str, options: Sequence[str]) -> dict[str, Any]:
    """The options as `grid` parses them, so that an error shows here and not in the job."""
    group = context.find_root().command
    assert isinstance(group, TyperGroup), "submit is one of several commands"
    arguments = [experiment, *options]
    return group.commands["grid"].make_context("grid", arguments, parent=context.parent).params


def _check_for_a_cluster(grid: dict[str, Any]) -> None:
    """Raises InputError that lists every option of `grid` that does not suit a job."""
    problems = []
    if grid["address"] is not None:
        problems.append(
            "--address after --: a job always uses its own cluster, so leave it out there"
        )
    if grid["backend"] != "ray":
        problems.append(f"--backend {grid['backend']} after --: a job of a Ray cluster uses Ray")
    out = grid["out"]
    if out is None or not (is_url(out) or Path(out).is_absolute()):
        problems.append(
            "a job's working directory is deleted when it ends: give -- --out with an absolute "
            "path that all nodes share"
        )
    if problems:
        raise InputError(problems)


@contextmanager
def _shipped(experiment: str, working_dir: Path | None) -> Iterator[tuple[Path, str]]:
    """The folder to ship, and the experiment as the job names it. Raises InputError."""
    # A name that is not a file ships with lussweep, which the cluster has installed.
    path = Path(experiment) if Path(experiment).is_file() else None
    if working_dir is not None:
        if not working_dir.is_dir():
            raise InputError(f"--working-dir {working_dir} is not a folder")
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
