"""Prints progress, tables, failures and paths for the commands."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lussweep.backend.driver import Progress
from lussweep.backend.kept import is_kept
from lussweep.backend.progress import time_left
from lussweep.backend.time_range import TimeRange
from lussweep.cli.statistics import (
    contrast_table,
    control_lines,
    interval_line,
    known_truth_table,
    mask_lines,
    worth_lines,
    worth_table,
)
from lussweep.cli.summary import summary_table
from lussweep.report.sections.overlap import SHARED
from lussweep.report.write import outputs
from lussweep.run.lease import own_command
from lussweep.study.plan import STAGES
from lussweep.study.spec import EMBEDDERS, StudySpec

if TYPE_CHECKING:
    from lussweep.run.mirror import WorkFolder
    from lussweep.study.plan import Plan

PICTURE_S = 0.5
"""Least seconds between two copies of the progress."""
PLAIN_INTERVAL_S = 15.0
"""Least seconds between two progress lines, if the output is not a terminal."""
QUIET_S = 60.0
"""Seconds without a line, after which one is printed although no step has ended."""


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


def print_outputs(folder: WorkFolder) -> None:
    """Print the path or URL of every file of the report."""
    for path in outputs(folder.path):
        shown = f"{folder.place}/{path.relative_to(folder.path)}"
        _console().print(Text(shown), soft_wrap=True)


def print_unwritten(failed: Mapping[str, str]) -> None:
    """Print one line for each file of the report that could not be made."""
    for name, error in failed.items():
        line = f"not written: {name}: {error}: the same command again tries it again"
        _console().print(Text(line), style="red", soft_wrap=True)


def notify(line: str) -> None:
    """Print a line on standard error, because standard output holds the report."""
    typer.echo(line, err=True)


def say_again(why: str) -> None:
    """Print on standard error why a command ended, and the command that continues."""
    notify(why)
    notify(own_command())


def _console() -> Console:
    return Console(highlight=False)


# --- progress -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shown:
    """A copy of the progress as text, made in the driver's thread. The display adds the time."""

    rows: list[tuple[str, ...]]
    running: dict[str, list[tuple[str, str]]]
    """By stage, the name and ref of some running steps."""
    state: str
    left_s: TimeRange | None
    at_s: float

    def line(self, now_s: float) -> str:
        """Counts, elapsed time and time left, in one line."""
        left = f", about {self.left_s.after(now_s - self.at_s)} left" if self.left_s else ""
        return f"{self.state}; {_clock(now_s)} elapsed{left}"

    def now(self, stage: str, progress_text: Callable[[str], str]) -> str:
        """The running steps of a stage, with their progress texts."""
        parts = [(name, progress_text(ref)) for name, ref in self.running.get(stage, ())]
        return ", ".join(f"{name} ({far})" if far else name for name, far in parts)

    def table(self, now_s: float, progress_text: Callable[[str], str]) -> Table:
        table = Table(title=self.line(now_s), title_justify="left")
        for heading in ("stage", "done", "running", "failed", "of", "now"):
            table.add_column(heading, justify="left" if heading in ("stage", "now") else "right")
        for row in self.rows:
            table.add_row(*row, self.now(row[0], progress_text))
        return table

    def long_line(self, now_s: float, progress_text: Callable[[str], str]) -> str:
        """`line`, with the running steps that have a progress text."""
        parts = [pair for pairs in self.running.values() for pair in pairs]
        far = [f"{name}: {progress_text(ref)}" for name, ref in parts if progress_text(ref)]
        return "; ".join([self.line(now_s), *far])


@contextmanager
def live_progress(
    progress_text: Callable[[str], str] = lambda ref: "",
) -> Iterator[Callable[[Progress], None]]:
    """Display the progress on standard error: a table on a terminal, else a line now and then.

    Yields a function that takes the progress after each change. `progress_text` returns how far a
    running step is, by ref, or an empty text.
    """
    console = Console(stderr=True, highlight=False)
    started = time.monotonic()
    shown: list[_Shown] = []

    def elapsed() -> float:
        return time.monotonic() - started

    # By progress, because data steps and other steps are separate plans with other paces.
    began: dict[int, float] = {}

    def take(progress: Progress) -> None:
        if shown and not progress.finished and elapsed() - shown[0].at_s < PICTURE_S:
            return  # a copy counts all steps, which takes too long after each of many short ones
        since = elapsed() - began.setdefault(id(progress), elapsed())
        shown[:] = [_picture(progress, elapsed(), since)]

    if console.is_terminal:

        def draw() -> Table | str:
            return shown[0].table(elapsed(), progress_text) if shown else ""

        # Redrawn twice a second, so that the clock runs during a step of hours.
        with Live(console=console, get_renderable=draw, refresh_per_second=2, transient=True):
            yield take
        return
    printed = [-PLAIN_INTERVAL_S]
    ended = threading.Event()

    def say() -> None:
        printed[0] = elapsed()
        console.print(shown[0].long_line(elapsed(), progress_text), soft_wrap=True)

    def on_change(progress: Progress) -> None:
        take(progress)
        if progress.finished or elapsed() - printed[0] >= PLAIN_INTERVAL_S:
            say()

    def say_now_and_then() -> None:
        while not ended.wait(QUIET_S):
            if shown and elapsed() - printed[0] >= QUIET_S:
                say()

    beside = threading.Thread(target=say_now_and_then, name="progress", daemon=True)
    beside.start()
    try:
        yield on_change
    finally:
        ended.set()
        beside.join()


def _picture(progress: Progress, elapsed_s: float, plan_elapsed_s: float) -> _Shown:
    steps = progress.plan.steps
    counts = {
        "done": Counter(steps[ref].stage for ref in progress.done),
        "running": Counter(steps[ref].stage for ref in progress.running),
        "failed": Counter(steps[ref].stage for ref in progress.failed),
        "of": progress.plan.counts(),
    }
    rows: list[tuple[str, ...]] = []
    running: dict[str, list[tuple[str, str]]] = {}
    for stage in STAGES:
        if counts["of"][stage]:
            named = [(steps[r].name, r) for r in progress.running if steps[r].stage == stage]
            running[stage] = sorted(named)[:3]
            rows.append((stage, *(str(counter[stage]) for counter in counts.values())))
    parts = [f"{len(progress.done)}/{len(steps)} steps done"]
    if progress.failed:
        parts.append(f"{len(progress.failed)} failed, {len(progress.blocked)} blocked")
    if progress.running:
        running_stages = [f"{n} {stage}" for stage, n in counts["running"].items()]
        parts.append("running " + ", ".join(running_stages))
    left_s = time_left(progress, plan_elapsed_s)
    return _Shown(rows, running, "; ".join(parts), left_s, elapsed_s)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
