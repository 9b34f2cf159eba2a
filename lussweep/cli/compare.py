"""`lussweep compare`: show how two runs differ in their settings and in their results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lussweep.cli.exits import CELLS_MISSING, clear_errors
from lussweep.cli.options import DebugOption
from lussweep.errors import InputError

if TYPE_CHECKING:
    from lussweep.report.compare_page import TextTable


def compare(
    run_a: Annotated[str, typer.Argument(help="The folder of a run, or its URL.", metavar="RUN_A")],
    run_b: Annotated[str, typer.Argument(help="That of the other.", metavar="RUN_B")],
    html: Annotated[
        Path | None, typer.Option(help="Write a page, too.", metavar="FILE", show_default="none")
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Compare two runs: settings that differ, and AUC-ROC by cell on the same patients."""
    with clear_errors(debug):
        from lussweep.report.compare import compare as compare_runs
        from lussweep.report.compare import read_compared
        from lussweep.report.compare_page import (
            cells_table,
            comparison_page,
            settings_table,
            warning,
        )
        from lussweep.run.mirror import work_folder
        from lussweep.store.files import write_whole

        if html is not None and html.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"--html {html} is not an HTML page: give a name that ends in .html")
        a, b = (read_compared(work_folder(place).path) for place in (run_a, run_b))
        comparison = compare_runs(a, b)
        for name, run in (("A", run_a), ("B", run_b)):
            _say(f"{name}: {run}")
        _print_table(settings_table(comparison))
        _say(warning(comparison), "red")
        _print_table(cells_table(comparison))
        if html is not None:
            try:
                write_whole(html, comparison_page(comparison, run_a, run_b))
            except OSError as error:
                raise InputError(f"cannot write {html}: {error.strerror}: choose another") from None
            _say(f"page: {html}")
        if comparison.holdout:
            raise typer.Exit(CELLS_MISSING)


def _print_table(given: TextTable) -> None:
    if given.rows:
        table = Table(title=given.title, title_justify="left")
        for heading in given.headings:  # the interval then fits a line of 80 columns
            table.add_column(heading.replace("replicates", "repli-\ncates"), overflow="fold")
        for row in given.rows:
            table.add_row(*map(Text, row))
        Console(highlight=False).print(table)
    _say(given.note)


def _say(line: str, style: str = "") -> None:
    if line:
        Console(highlight=False).print(Text(line), style=style, soft_wrap=True)
