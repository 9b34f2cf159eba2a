"""`lussweep report`: write the page of a run, and its figures and tables for a paper."""

from __future__ import annotations

from typing import Annotated

import typer

from lussweep.cli.exits import CELLS_MISSING, clear_errors
from lussweep.cli.options import DebugOption, StoreOption


def report(
    run: Annotated[str, typer.Argument(help="The folder of a run, or its URL.", metavar="RUN")],
    shareable: Annotated[
        bool, typer.Option("--shareable", help="Leave out all frames, also on the page.")
    ] = False,
    store: StoreOption = None,
    debug: DebugOption = False,
) -> None:
    """Write a run's page, and its figures and tables for a paper. Computes nothing anew."""
    with clear_errors(debug):
        from lussweep.cli.terminal import print_unwritten
        from lussweep.report.page.open import source_of
        from lussweep.report.page.write import PAGE, SHAREABLE_PAGE, write_page
        from lussweep.report.publication import FOLDER, write_publication
        from lussweep.run.mirror import work_folder
        from lussweep.store.object_store import artifact_store

        folder = work_folder(run)
        artifacts = artifact_store(store or folder.artifacts_place)
        source = source_of(folder.path, artifacts, is_shareable=shareable)
        page = write_page(source, folder.path / (SHAREABLE_PAGE if shareable else PAGE))
        written = write_publication(source.collected, folder.path)
        folder.publish()
        typer.echo(f"{folder.place}/{page.name}")
        typer.echo(f"{folder.place}/{FOLDER} ({len(written)} figures and tables)")
        print_unwritten(source.collected.failed)
        if source.collected.failed:
            raise typer.Exit(CELLS_MISSING)
