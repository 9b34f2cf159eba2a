"""`lussweep compare`: print how two runs differ in their settings and in their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lussweep.cli.exits import CELLS_MISSING, clear_errors
from lussweep.cli.options import DebugOption

if TYPE_CHECKING:
    from lussweep.report.compare import ComparedCells, Comparison


def compare(
    run_a: Annotated[str, typer.Argument(help="The folder of a run, or its URL.", metavar="RUN_A")],
    run_b: Annotated[str, typer.Argument(help="That of the other.", metavar="RUN_B")],
    debug: DebugOption = False,
) -> None:
    """Compare two runs: settings that differ, and AUC-ROC by cell on the same patients."""
    with clear_errors(debug):
        from lussweep.report.compare import compare as compare_runs
        from lussweep.report.compare import read_compared
        from lussweep.run.mirror import work_folder

        a, b = (read_compared(work_folder(place).path) for place in (run_a, run_b))
        comparison = compare_runs(a, b)
        print_comparison(comparison, run_a, run_b)
        if comparison.holdout:
            raise typer.Exit(CELLS_MISSING)


def print_comparison(comparison: Comparison, run_a: str, run_b: str) -> None:
    """Print the settings that differ, then a row for each patient count and variant."""
    console = Console(highlight=False)
    for name, run in (("A", run_a), ("B", run_b)):
        console.print(Text(f"{name}: {run}"), soft_wrap=True)
    if comparison.settings:
        table = Table(title="Settings that differ", title_justify="left")
        for heading in ("setting", "A", "B"):
            table.add_column(heading, overflow="fold")
        for setting in comparison.settings:
            table.add_row(*map(Text, setting))
        console.print(table)
    else:
        console.print("The settings are the same.")
    if comparison.holdout:
        line = (
            f"WARNING: the holdout differs ({comparison.holdout}), so no difference of AUC-ROC is "
            "given: it would compare patients, not runs"
        )
        console.print(Text(line), style="red", soft_wrap=True)
    console.print(_cells(comparison))
    if any(cells.contrast is not None for cells in comparison.cells):
        console.print(
            f"AUC-ROC over {comparison.level.replace('_', ' ')}s, mean over the replicates that "
            "both runs have. [low, high]: 95 % for other trainings and other holdout patients; "
            "with (patients): for other holdout patients alone, for these trained models.",
            soft_wrap=True,
            markup=False,
        )


def _cells(comparison: Comparison) -> Table:
    table = Table(title="AUC-ROC by patient count and variant", title_justify="left")
    with_epoch = any(cells.gan_epoch is not None for cells in comparison.cells)
    headings = ["n", "variant", *(["GAN\nepoch"] if with_epoch else [])]
    for heading in (*headings, "repli-\ncates", "A", "B", "B less A"):
        table.add_column(heading, justify="left" if heading in ("variant", "B less A") else "right")
    for cells in comparison.cells:
        place = [str(cells.n_patients), cells.variant]
        epoch = [str(cells.gan_epoch or "-")] if with_epoch else []
        table.add_row(*map(Text, (*place, *epoch, *_texts(cells))))
    return table


def _texts(cells: ComparedCells) -> tuple[str, str, str, str]:
    """The number of replicates, both AUC-ROCs, and the difference with its interval."""
    contrast = cells.contrast
    if contrast is None:
        means = ("" if mean is None else f"{mean:.3f}" for mean in (cells.auroc_a, cells.auroc_b))
        return f"{cells.n_a}, {cells.n_b}", *means, cells.reason
    effect = contrast.effect
    text = f"{effect.difference:+.3f}"
    if contrast.interval is not None:
        text += f" [{contrast.interval.low:+.3f}, {contrast.interval.high:+.3f}]"
    elif contrast.conditional is not None:
        low, high = contrast.conditional
        text += f" [{low:+.3f}, {high:+.3f}] (patients)"
    elif contrast.withheld:
        text += f", without an interval: {contrast.withheld}"
    return (
        str(len(effect.replicates)),
        f"{effect.reference_auroc:.3f}",
        f"{effect.auroc:.3f}",
        text,
    )
