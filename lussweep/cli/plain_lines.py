"""Shows the progress of a run as plain lines, now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from lussweep.cli.picture import N_NAMED, Picture, ProgressText, counted, rates_of
from lussweep.models.training.progress import rate_text
from lussweep.run.board import Board
from lussweep.run.log import auroc_text
from lussweep.study.coordinates import Coordinates

PLAIN_S, PLAIN_SHARE, MOST_PLAIN_S = 15.0, 0.05, 1800.0
"""Seconds between two lines, if the output is not a terminal: a share of the time so far, at least
and at most so many."""
N_CELLS = 8
"""Most new cells that one line names."""


def plain_line(picture: Picture, text_of: ProgressText) -> str:
    """Counts, running stages and how far some steps are, without the time."""
    rates = rates_of(picture, text_of)
    parts = [picture.state()]
    running = []
    for stage, steps in picture.running.items():
        rate = f" at {rate_text(rates[stage])} images/s" if stage in rates else ""
        running.append(f"{counted(len(steps), stage)}{rate}")
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
