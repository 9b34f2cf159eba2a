"""Copies what the progress of a run shows: counts of steps, the time, and the AUC-ROCs so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from lussweep.backend.driver import Progress
from lussweep.backend.progress import time_left
from lussweep.backend.time_range import TimeRange
from lussweep.cli.summary import grid_table
from lussweep.models.training.progress import images_per_s
from lussweep.run.board import Board, Point
from lussweep.run.log import auroc_text
from lussweep.study.plan import STAGES, Plan
from lussweep.study.plan.words import stage_words

N_NAMED = 3
"""Most running steps of a stage that are named."""
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


def counted(n: int, stage: str) -> str:
    """A number and the words of a stage: `3 trials`."""
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


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
