"""Shows the progress of steps on standard error: a table on a terminal, else lines now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lussweep.backend.driver import Progress
from lussweep.cli.picture import (
    N_NAMED,
    Picture,
    ProgressText,
    counted,
    picture_of,
    rates_of,
)
from lussweep.cli.plain_lines import PlainLines
from lussweep.cli.streams import write_line
from lussweep.models.training.progress import rate_text, without_rate
from lussweep.run.board import Board
from lussweep.study.plan import Plan
from lussweep.study.plan.words import stage_words

PICTURE_S = 0.5
"""Least seconds between two copies of the progress."""
TEXTS_S = 5.0
"""Least seconds between two readings of the progress texts, each of which may be a message."""
QUIET_S = 60.0
"""Seconds after which a line is due, although no step has ended, if it says something new."""


def live_view(picture: Picture, now_s: float, text_of: ProgressText) -> Group:
    """The stages that run, the others in two lines, and the AUC-ROCs so far."""
    rates = rates_of(picture, text_of)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    has_failed = any(stage.failed for stage in picture.stages)
    for heading in ("done", *(["failed"] if has_failed else []), "running", "images/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("now")  # rich shortens first what may wrap; its texts are cut instead
    under_way = [s for s in picture.stages if s.has_begun and (s.done < s.of or s.running)]
    for stage in under_way:
        named = [
            f"{name} ({without_rate(text_of(ref))})" if text_of(ref) else name
            for name, ref in picture.running.get(stage.stage, ())[:N_NAMED]
        ]
        table.add_row(
            stage_words(stage.stage),
            f"{stage.done}/{stage.of}",
            *([str(stage.failed or "")] if has_failed else []),
            str(stage.running or ""),
            rate_text(rates[stage.stage]) if stage.stage in rates else "",
            Text(", ".join(named), no_wrap=True, overflow="crop"),
        )
    done = [counted(s.of, s.stage) for s in picture.stages if s.done == s.of]
    waiting = [counted(s.of, s.stage) for s in picture.stages if not s.has_begun]
    parts: list[Table | Text] = [Text(f"{picture.state()}; {picture.clock(now_s)}", style="bold")]
    if under_way:
        parts.append(table)
    for word, stages in (("done", done), ("waiting", waiting)):
        if stages:
            parts.append(Text(f"{word}: {', '.join(stages)}", style="dim"))
    if picture.cells:
        parts.append(picture.cells)
    return Group(*parts)


class _Texts:
    """Progress texts by ref, each read at most every TEXTS_S."""

    def __init__(self, read: ProgressText) -> None:
        self.read = read
        self._known: dict[str, tuple[float, str]] = {}

    def __call__(self, ref: str) -> str:
        now = time.monotonic()
        read_at, text = self._known.get(ref, (-TEXTS_S, ""))
        if now - read_at >= TEXTS_S:
            text = self.read(ref)
            self._known[ref] = (now, text)
        return text


@contextmanager
def live_progress(
    progress_text: ProgressText = lambda ref: "",
    board: Board | None = None,
    plan: Plan | None = None,
) -> Iterator[Callable[[Progress], None]]:
    """Display the progress on standard error: a table on a terminal, else a line now and then.

    Yields a function that takes the progress after each change. `board` holds the AUC-ROCs so far.
    `plan` is the whole plan, if only a part of it may run at a time.
    """
    console = Console(stderr=True, highlight=False)
    text_of, cells = _Texts(progress_text), board or Board()
    started = time.monotonic()
    shown: list[Picture] = []

    def elapsed() -> float:
        return time.monotonic() - started

    # By progress, because data steps and other steps are separate plans with other paces.
    began: dict[int, float] = {}

    def take(progress: Progress) -> None:
        is_due = progress.finished or id(progress) not in began
        if shown and not is_due and elapsed() - shown[0].at_s < PICTURE_S:
            return  # a copy counts all steps, which takes too long after each of many short ones
        since = elapsed() - began.setdefault(id(progress), elapsed())
        shown[:] = [picture_of(progress, cells, plan or progress.plan, elapsed(), since)]

    if console.is_terminal:

        def draw() -> Group | str:
            return live_view(shown[0], elapsed(), text_of) if shown else ""

        # Redrawn twice a second, so that the clock runs during a step of hours.
        with Live(console=console, get_renderable=draw, refresh_per_second=2, transient=True):
            yield take
        return
    lines = PlainLines(lambda line: write_line(line, err=True), text_of, cells)
    ended = threading.Event()

    def on_change(progress: Progress) -> None:
        take(progress)
        if progress.finished or lines.is_due(elapsed()):
            lines.take(shown[0], elapsed())

    def say_now_and_then() -> None:
        while not ended.wait(QUIET_S):
            if shown and lines.is_due(elapsed(), QUIET_S):
                lines.take(shown[0], elapsed())

    beside = threading.Thread(target=say_now_and_then, name="progress", daemon=True)
    beside.start()
    try:
        yield on_change
    finally:
        ended.set()
        beside.join()
