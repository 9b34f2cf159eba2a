"""`lussweep export-synthetic`: write synthetic frames of a run folder to another folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lussweep.cli.exits import clear_errors
from lussweep.cli.options import (
    DebugOption,
    StoreOption,
)
from lussweep.errors import InputError

if TYPE_CHECKING:
    from lussweep.report.export import Kind


def export_synthetic(
    run: Annotated[str, typer.Argument(help="The folder of a run, or its URL.")],
    out: Annotated[Path, typer.Option(help="Folder to write to: OUT/n_patients/replicate/class.")],
    n_patients: Annotated[int | None, typer.Option(help="Export this patient count only.")] = None,
    replicate: Annotated[int | None, typer.Option(help="Export this replicate only.")] = None,
    label: Annotated[
        str | None, typer.Option("--class", help="Export this class only: pos or neg.")
    ] = None,
    gan: Annotated[
        str | None,
        typer.Option(help="Export this GAN only: a name in column gan of memorisation.parquet."),
    ] = None,
    gan_epoch: Annotated[int | None, typer.Option(help="Export this epoch only.")] = None,
    format_: Annotated[str, typer.Option("--format", help="png or parquet.")] = "png",
    allow_unjudged: Annotated[
        bool,
        typer.Option(
            "--allow-unjudged", help="Export sets, too, that the release gate cannot judge."
        ),
    ] = False,
    store: StoreOption = None,
    debug: DebugOption = False,
) -> None:
    """Write synthetic frames with their memorisation card, unless the release gate refuses."""
    with clear_errors(debug):
        kind = _kind(format_)
        options = {
            "n_patients": n_patients, "replicate": replicate, "class": label, "gan": gan,
            "gan_epoch": gan_epoch,
        }  # fmt: skip
        chosen = {name: value for name, value in options.items() if value is not None}
        for folder in export_sets(run, out, kind, chosen, store, allow_unjudged=allow_unjudged):
            typer.echo(str(folder))


def export_sets(
    run: Path | str,
    out: Path,
    kind: Kind,
    chosen: Mapping[str, Any],
    store: Path | str | None = None,
    *,
    allow_unjudged: bool = False,
) -> list[Path]:
    """Export the synthetic sets that `chosen` selects from `run`, a folder or URL.

    Returns the new folders. `chosen` maps columns of memorisation.parquet to values. `store` holds
    the artifacts if the run folder does not. Raises InputError if there is no run, if no set is
    selected, or if the release gate refuses. It does so, too, if the gate cannot judge a set,
    unless `allow_unjudged` is given.
    """
    from lussweep.report.release import Origin, matching_sets, release
    from lussweep.report.run_folder import EXPERIMENT_FILE
    from lussweep.run.mirror import work_folder
    from lussweep.store.object_store import artifact_store

    artifacts = artifact_store(store or f"{str(run).rstrip('/')}/artifacts")
    folder = work_folder(str(run)).path
    sets = matching_sets(folder, chosen, artifacts)
    origin = Origin.read(folder / EXPERIMENT_FILE)
    return release(sets, origin, artifacts, out, kind, allow_unjudged=allow_unjudged)


def _kind(text: str) -> Kind:
    if text == "png":
        return "png"
    if text == "parquet":
        return "parquet"
    raise InputError(f"--format {text} is neither png nor parquet: give one of these")
