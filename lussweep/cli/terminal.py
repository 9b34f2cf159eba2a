"""Prints tables, failures, paths and notices for the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.console import Console
from rich.text import Text

from lussweep.backend.kept import is_kept
from lussweep.cli.statistics import (
    contrast_table,
    control_lines,
    interval_line,
    known_truth_table,
    mask_lines,
    worth_lines,
    worth_table,
)
from lussweep.cli.streams import write_line
from lussweep.cli.summary import summary_table
from lussweep.report.sections.overlap import SHARED
from lussweep.report.write import outputs
from lussweep.run.events import WARNING, Warned
from lussweep.run.lease import own_command
from lussweep.run.notices import unwritten_notices
from lussweep.study.spec import EMBEDDERS, StudySpec

if TYPE_CHECKING:
    from lussweep.run.mirror import WorkFolder
    from lussweep.run.notices import Notice
    from lussweep.study.plan import Plan


def print_summary(written: Mapping[str, pa.Table], study: StudySpec, source: str) -> None:
    """Print the data, the table of AUC-ROCs, and the embedders that scored the GANs."""
    console, results, means = _console(), written["results"], written["means"]
    console.print(Text(f"{study.name} on {source}"), soft_wrap=True)
    console.print(summary_table(results, means))
    if any(row["auroc"] is not None for row in means.to_pylist()):
        console.print(summary_table(results, means, by_patient=True))
    console.print(interval_line(results), soft_wrap=True)
    used = [name for name in results["score_embedder"].unique().to_pylist() if name]
    for name in used:
        has_seen = name in EMBEDDERS and EMBEDDERS[name].has_seen
        marked = " (it has seen all training patients)" if has_seen else ""
        console.print(f"GANs scored in {name} features{marked}.", soft_wrap=True)


def print_statistics(written: Mapping[str, pa.Table]) -> None:
    """Print contrasts and worths with their intervals, then controls and variants of known worth.

    `written` holds the tables of a report by name.
    """
    contrasts = written["contrasts"].to_pylist()
    if any(row["difference"] is not None for row in contrasts):
        _console().print(contrast_table(contrasts))
        if any(row["low"] is not None for row in contrasts):
            _console().print(
                "Intervals and p-values cover other trainings and other patients. Intervals "
                "for these trained models: conditional_low and conditional_high in "
                "contrasts.parquet.",
                soft_wrap=True,
            )
        shared = [row["cohort_overlap"] for row in contrasts if row["cohort_overlap"]]
        if shared and max(shared) > SHARED:
            _console().print(
                f"Replicates share up to {100 * max(shared):.0f} % of their training patients: "
                "intervals are for cohorts of this pool.",
                soft_wrap=True,
            )
        if any(row["status"] != "done" for row in contrasts):
            _console().print("The column reason of contrasts.parquet says why some are not given.")
    worth = worth_table(written["worth"])
    if worth.row_count:
        _console().print(worth)
    lines = worth_lines(written["worth"], written["multiplier"])
    for line in lines + control_lines(written["controls"]):
        _console().print(Text(line), soft_wrap=True)
    for line in mask_lines(written["controls"]):
        _console().print(Text(line), style="red", soft_wrap=True)
    known = known_truth_table(written["known_truth"])
    if known.row_count:
        _console().print(known)


def print_failures(plan: Plan, failures: Mapping[str, str], conceal: Callable[[str], str]) -> None:
    """Print one line for each failed step.

    The line names patients, unless the output is kept: `conceal` then hashes them.
    """
    for ref, error in failures.items():
        line = f"failed: {plan.steps[ref].name}: {error}"
        shown = conceal(line) if is_kept() else line
        _console().print(Text(shown), style="red", soft_wrap=True)


def places_of(folder: WorkFolder) -> list[str]:
    """The path or URL of every file of the report."""
    return [f"{folder.place}/{path.relative_to(folder.path)}" for path in outputs(folder.path)]


def print_outputs(folder: WorkFolder) -> None:
    """Print the path or URL of every file of the report."""
    for place in places_of(folder):
        _console().print(Text(place), soft_wrap=True)


def print_notices(notices: Iterable[Notice]) -> None:
    """Print what a user must know, one line each. Warnings say that they are."""
    for notice in notices:
        if isinstance(notice, Warned):
            line = f"{WARNING}{notice.message}"
            _console().print(Text(line), style="yellow", soft_wrap=True)
        else:
            _console().print(Text(notice.message), soft_wrap=True)


def print_unwritten(failed: Mapping[str, str]) -> None:
    """Print one line for each file of the report that could not be made."""
    for notice in unwritten_notices(failed):
        _console().print(Text(notice.message), style="red", soft_wrap=True)


def notify(line: str) -> None:
    """Print a line on standard error, because standard output holds the report."""
    write_line(line, err=True)


def say_again(why: str) -> None:
    """Print on standard error why a command ended, and the command that continues."""
    notify(why)
    notify(own_command())


def _console() -> Console:
    return Console(highlight=False)
