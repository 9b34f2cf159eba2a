"""Shows the progress of steps on standard error: a table on a terminal, else lines now and then."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lussweep.backend.driver import Progress
from lussweep.backend.progress import time_left
from lussweep.backend.time_range import TimeRange
from lussweep.cli.streams import write_line
from lussweep.cli.summary import grid_table
from lussweep.models.training.progress import images_per_s, rate_text, without_rate
from lussweep.run.board import Board, Point
from lussweep.run.log import auroc_text
from lussweep.study.coordinates import Coordinates
from lussweep.study.plan import STAGES, Plan
from lussweep.study.plan.words import stage_words

PICTURE_S = 0.5
"""Least seconds between two copies of the progress."""
TEXTS_S = 5.0
"""Least seconds between two readings of the progress texts, each of which may be a message."""
PLAIN_S, PLAIN_SHARE, MOST_PLAIN_S = 15.0, 0.05, 1800.0
"""Seconds between two lines, if the output is not a terminal: a share of the time so far, at least
and at most so many."""
QUIET_S = 60.0
"""Seconds after which a line is due, although no step has ended, if it says something new."""
N_NAMED = 3
"""Most running steps of a stage that are named."""
N_CELLS = 8
"""Most new cells that one line names."""

ProgressText = Callable[[str], str]
"""Returns how far a running step is, by ref, or an empty text."""


@dataclass(frozen=True)
class StageCounts:
    """The steps of one stage by state."""

    stage: str
    done: int
    running: int
    failed: int
    of: int

    @property
    def has_begun(self) -> bool:
        return bool(self.done or self.running or self.failed)


@dataclass(frozen=True)
class Picture:
    """A copy of the progress, made in the driver's thread. The display adds the time."""

    stages: Sequence[StageCounts]
    running: Mapping[str, Sequence[tuple[str, str]]]
    """By stage, the name and ref of each running step."""
    n_blocked: int
    n_cells: int
    n_cells_done: int
    cells: Table | None
    """The AUC-ROCs so far; None without cells."""
    left_s: TimeRange | None
    at_s: float

    def state(self) -> str:
        """Counts of steps and cells, without the time."""
        done, failed, n_steps = (
            sum(getattr(stage, name) for stage in self.stages) for name in ("done", "failed", "of")
        )
        parts = [f"{done}/{n_steps} steps done"]
        if self.n_cells:
            parts.append(f"{self.n_cells_done}/{self.n_cells} cells done")
        if failed:
            parts.append(f"{failed} failed, {self.n_blocked} blocked")
        return "; ".join(parts)

    def clock(self, now_s: float) -> str:
        """The time so far, and the time left if it is known and not over."""
        left_s = self.left_s.after(now_s - self.at_s) if self.left_s else None
        return f"{_clock(now_s)} elapsed{f', about {left_s} left' if left_s else ''}"


def picture_of(
    progress: Progress, board: Board, plan: Plan, elapsed_s: float, plan_elapsed_s: float
) -> Picture:
    """A picture of the progress.

    `plan` is the whole plan of the command; that of `progress` may be a part of it, such as the
    data steps. `plan_elapsed_s` are the seconds since the first step of this part.
    """
    steps = plan.steps
    done, running, failed = (
        Counter(steps[ref].stage for ref in refs)
        for refs in (progress.done, progress.running, progress.failed)
    )
    counts = plan.counts()
    names: dict[str, list[tuple[str, str]]] = {}
    for ref in progress.running:
        names.setdefault(steps[ref].stage, []).append((steps[ref].name, ref))
    return Picture(
        [
            StageCounts(stage, done[stage], running[stage], failed[stage], counts[stage])
            for stage in STAGES
            if counts[stage]
        ],
        {stage: sorted(names[stage]) for stage in STAGES if stage in names},
        len(progress.blocked),
        board.n_cells,
        board.n_done,
        cells_table(board) if board.n_cells else None,
        time_left(progress, plan_elapsed_s),
        elapsed_s,
    )


def rates_of(picture: Picture, text_of: ProgressText) -> dict[str, float]:
    """Images a second by stage, summed over running steps. Stages that do not say it are absent."""
    rates = {
        stage: [rate for _, ref in steps if (rate := images_per_s(text_of(ref))) is not None]
        for stage, steps in picture.running.items()
    }
    return {stage: sum(known) for stage, known in rates.items() if known}


# --- on a terminal ------------------------------------------------------------------------


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
    done = [_counted(s.of, s.stage) for s in picture.stages if s.done == s.of]
    waiting = [_counted(s.of, s.stage) for s in picture.stages if not s.has_begun]
    parts: list[Table | Text] = [Text(f"{picture.state()}; {picture.clock(now_s)}", style="bold")]
    if under_way:
        parts.append(table)
    for word, stages in (("done", done), ("waiting", waiting)):
        if stages:
            parts.append(Text(f"{word}: {', '.join(stages)}", style="dim"))
    if picture.cells:
        parts.append(picture.cells)
    return Group(*parts)


def _counted(n: int, stage: str) -> str:
    return f"{n} {stage_words(stage, n)}"


def cells_table(board: Board) -> Table:
    """The mean AUC-ROC of each patient count and variant over the replicates that are done."""
    lines: dict[tuple[int, int], dict[str, Point]] = {}
    for (n_patients, epoch, variant), point in sorted(board.points.items()):
        lines.setdefault((n_patients, epoch), {})[variant] = point
    title = "AUC-ROC so far, by frame"
    return grid_table(
        title, lines, board.variants, board.epoch_is_axis, lambda point, wide: point_text(point)
    )


def point_text(point: Point) -> str:
    """The mean so far, and how many cells are done: `0.912 (2/3)`.

    >>> point_text(Point(n_cells=3, n_done=2, n_judged=2, total=1.8))
    '0.900 (2/3)'
    >>> point_text(Point(n_cells=3)), point_text(Point(n_cells=3, n_failed=1))
    ('-', '- 1 failed')
    """
    mean = "-" if point.mean is None else auroc_text(point.mean)
    counts = f"({point.n_done}/{point.n_cells})" if 0 < point.n_done < point.n_cells else ""
    failed = f"{point.n_failed} failed" if point.n_failed else ""
    return " ".join(filter(None, (mean, counts, failed)))


# --- as plain lines -----------------------------------------------------------------------


def plain_line(picture: Picture, text_of: ProgressText) -> str:
    """Counts, running stages and how far some steps are, without the time."""
    rates = rates_of(picture, text_of)
    parts = [picture.state()]
    running = []
    for stage, steps in picture.running.items():
        rate = f" at {rate_text(rates[stage])} images/s" if stage in rates else ""
        running.append(f"{_counted(len(steps), stage)}{rate}")
    if running:
        parts.append(f"running {', '.join(running)}")
    shown = [pair for steps in picture.running.values() for pair in steps[:N_NAMED]]
    parts += [f"{name}: {text_of(ref)}" for name, ref in shown if text_of(ref)]
    return "; ".join(parts)


def judged_line(cells: Sequence[tuple[Coordinates, float | None]]) -> str:
    """The AUC-ROCs of cells that are new.

    >>> judged_line([(Coordinates(6, 1, "baseline"), 0.9125)])
    'AUC-ROC: n=6 r=1 baseline 0.912'
    """
    named = [f"{at.name()} {auroc_text(auroc)}" for at, auroc in cells[:N_CELLS]]
    more = [f"and {len(cells) - N_CELLS} more"] if len(cells) > N_CELLS else []
    return f"AUC-ROC: {', '.join([*named, *more])}"


def pause_s(elapsed_s: float) -> float:
    """Least seconds between two lines after so many seconds.

    >>> pause_s(60), pause_s(3600), pause_s(86400)
    (15.0, 180.0, 1800.0)
    """
    return min(max(PLAIN_S, PLAIN_SHARE * elapsed_s), MOST_PLAIN_S)


class PlainLines:
    """Prints a line when it is due and says something new."""

    def __init__(self, say: Callable[[str], object], text_of: ProgressText, board: Board) -> None:
        self.say, self.text_of, self.board = say, text_of, board
        self._last, self._said_at_s = "", -MOST_PLAIN_S
        self._n_told = len(board.judged)
        self._lock = threading.Lock()

    def is_due(self, now_s: float, least_s: float = 0.0) -> bool:
        """Whether the last line was said long enough ago."""
        return now_s - self._said_at_s >= max(pause_s(now_s), least_s)

    def take(self, picture: Picture, now_s: float) -> None:
        """Print the state, unless it was printed last, and the cells that are new."""
        with self._lock:
            line = plain_line(picture, self.text_of)
            if line != self._last:
                self._last, self._said_at_s = line, now_s
                self.say(f"{line}; {picture.clock(now_s)}")
            new = self.board.judged[self._n_told :]
            if new:
                self._n_told += len(new)
                self.say(judged_line(new))


# --- the display --------------------------------------------------------------------------


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


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
