"""`lussweep report`: write the page of a run, and its figures and tables for a paper."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from time import sleep, strftime
from typing import TYPE_CHECKING, Annotated

import typer

from lussweep.cli.exits import CELLS_MISSING, clear_errors
from lussweep.cli.options import DebugOption, StoreOption
from lussweep.errors import InputError

if TYPE_CHECKING:
    from lussweep.report.page.seam import PageSource
    from lussweep.report.page.write import Content
    from lussweep.run.mirror import WorkFolder

EVERY_S = 30
GONE = (
    "the driver of the run is silent and may be gone: run its `lussweep grid` command again to go "
    "on, or press Ctrl-C to keep the page as it is"
)


def report(
    run: Annotated[str, typer.Argument(help="The folder of a run, or its URL.", metavar="RUN")],
    shareable: Annotated[
        bool, typer.Option("--shareable", help="Leave out all frames, also on the page.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Renew report-watched.html in the run folder until the run has ended. The page "
            "loads itself again in a browser.",
        ),
    ] = False,
    every: Annotated[
        int | None,
        typer.Option(
            help=f"Seconds between two looks of --watch (by default {EVERY_S}).",
            min=1,
            metavar="SECONDS",
        ),
    ] = None,
    store: StoreOption = None,
    debug: DebugOption = False,
) -> None:
    """Write a run's page, and its figures and tables for a paper. Computes nothing anew."""
    with clear_errors(debug):
        if every is not None and not watch:
            raise InputError("--every says how often --watch looks: give --watch too")
        is_whole = True
        if watch:
            watched = Watched(run, store, every or EVERY_S, shareable)
            try:
                watched.follow()
            except KeyboardInterrupt:
                typer.echo("stopped")
                return
            finally:
                watched.close()
            is_whole = watched.is_whole
        failed = _write(run, store, shareable)
        if failed or not is_whole:
            raise typer.Exit(CELLS_MISSING)


def _write(run: str, store: str | None, is_shareable: bool) -> bool:
    """Writes the page and the publication of a run. Returns whether a part could not be made."""
    from lussweep.cli.terminal import print_unwritten
    from lussweep.report.page.write import PAGE, SHAREABLE_PAGE, write_page
    from lussweep.report.publication import FOLDER, write_publication

    folder = _folder(run)
    source = _source(folder, store, is_shareable)
    page = write_page(source, folder.path / (SHAREABLE_PAGE if is_shareable else PAGE))
    written = write_publication(source.collected, folder.path)
    folder.publish()
    typer.echo(f"{folder.place}/{page.name}")
    typer.echo(f"{folder.place}/{FOLDER} ({len(written)} figures and tables)")
    print_unwritten(source.collected.failed)
    return bool(source.collected.failed)


def _folder(run: str) -> WorkFolder:
    from lussweep.run.mirror import work_folder

    return work_folder(run)


def _source(folder: WorkFolder, store: str | None, is_shareable: bool) -> PageSource:
    from lussweep.report.page.open import source_of
    from lussweep.store.object_store import artifact_store

    artifacts = artifact_store(store or folder.artifacts_place)
    return source_of(folder.path, artifacts, is_shareable=is_shareable)


class Watched:
    """A page that is renewed while a run goes on.

    It is a file of its own, because the driver of the run writes the other one. In a run folder in
    an object store it lies in the local copy.
    """

    def __init__(self, run: str, store: str | None, every_s: int, is_shareable: bool) -> None:
        self.run = run
        self.store = store
        self.every_s = every_s
        self.is_shareable = is_shareable
        self.page: Path | None = None
        self.content: Content | None = None
        self.versions: dict[str, tuple[int, int]] = {}
        """Size and time of each table that the content is of."""
        self.said = ""
        """The last line."""
        self.is_whole = False
        """Whether every cell is done."""

    def follow(self) -> None:
        """Renew the page until the driver of the run has ended. Raises InputError if there is none.

        A table that is being replaced is read again at the next look.
        """
        from lussweep.run.status import has_ended, is_abandoned

        while True:
            folder = _folder(self.run)
            ended = has_ended(folder.seen_by_others)  # before the tables are read
            self._look(folder, ended)
            if ended:
                return
            if is_abandoned(folder.seen_by_others):
                self._say(GONE)
            sleep(self.every_s)

    def _look(self, folder: WorkFolder, ended: bool) -> None:
        """Renew the page if a table has changed. While nothing can be shown, say why."""
        from lussweep.report.page.write import WATCHED_PAGE, content_before

        now = {path.name: _version(path) for path in folder.path.glob("*.parquet")}
        if self.page is None:
            self.page = folder.path / WATCHED_PAGE
            self._say(f"{self.page} is renewed until the run has ended, or until Ctrl-C")
        elif now == self.versions:
            return
        try:
            self._renew(folder)
        except (InputError, OSError) as error:
            if ended:
                raise
            self._say(f"not renewed: {error}")
            if self.content is None:
                self.content = content_before(folder.path.name)
                self._write(is_refreshed=True)
        else:
            self.versions = now

    def _renew(self, folder: WorkFolder) -> None:
        """Write the page from the tables that are there."""
        from lussweep.cli.terminal import print_unwritten
        from lussweep.report.page.write import content_of

        source = _source(folder, self.store, self.is_shareable)
        self.content = content_of(source)
        self._write(is_refreshed=True)
        statuses = Counter(row["status"] for row in source.rows("results"))
        self.is_whole = set(statuses) == {"done"}
        self._say(f"{_clock()} {statuses['done']} of {statuses.total()} cells are done")
        print_unwritten(source.collected.failed)

    def close(self) -> None:
        """Write the page once more, so that it no longer loads itself again."""
        if self.content is not None:
            self._write(is_refreshed=False)

    def _write(self, *, is_refreshed: bool) -> None:
        from lussweep.report.page.write import page_text
        from lussweep.store.files import write_whole

        assert self.page is not None and self.content is not None
        refresh_s = self.every_s if is_refreshed else None
        write_whole(self.page, page_text(self.content, refresh_s, _clock()), shared=True)

    def _say(self, line: str) -> None:
        """Print a line, unless it is the last one again."""
        if line != self.said:
            typer.echo(line)
        self.said = line


def _version(path: Path) -> tuple[int, int]:
    """The size and the time of a file; zeros if it has been removed."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _clock() -> str:
    return strftime("%Y-%m-%d %H:%M:%S")
