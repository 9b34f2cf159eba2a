"""Writes what the driver of a run does into `driver.log` of the run folder.

The log grows over restarts. A log that cannot be written does not end a run.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lussweep.errors import one_line
from lussweep.run.events import (
    CellDone,
    RunEvent,
    Started,
    StepDone,
    StepFailed,
    StepRetried,
    Warned,
)
from lussweep.store.versions import installed_versions
from lussweep.study.coordinates import Coordinates
from lussweep.study.plan.words import stage_words

LOG_FILE = "driver.log"


class _File(logging.FileHandler):
    """Appends lines to a file. An error of a write is kept, and not raised."""

    error = ""

    def handleError(self, record: logging.LogRecord) -> None:
        self.error = one_line(str(sys.exc_info()[1]))


class DriverLog:
    """The log of one command. Its lines name no patient, because `conceal` hashes them."""

    def __init__(self, path: Path, conceal: Callable[[str], str]) -> None:
        """`conceal` replaces patients and paths in a text."""
        self.path, self.conceal = path, conceal
        self._logger = logging.Logger("driver")
        self._file: _File | None = None
        self._error = ""
        try:
            self._file = _File(path, encoding="utf-8")
        except OSError as error:
            self._error = one_line(str(error))
            return
        form = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        form.converter = time.gmtime
        self._file.setFormatter(form)
        self._logger.addHandler(self._file)

    @property
    def error(self) -> str:
        """Why a line could not be written; empty if all were."""
        return self._error or (self._file.error if self._file else "")

    def tell(self, event: RunEvent) -> None:
        """Write the line of an event."""
        self.write(*line_of(event))

    def write(self, level: int, text: str) -> None:
        """Write one line, with the time in UTC and the level."""
        if self._file:
            self._logger.log(level, "%s", self.conceal(one_line(text, limit=None)))

    def close(self) -> None:
        if self._file:
            with suppress(OSError):  # a full disk
                self._file.close()


@contextmanager
def driver_log(path: Path, conceal: Callable[[str], str]) -> Iterator[DriverLog]:
    """Open the log of a command. If an error ends the block, it is the last line."""
    log = DriverLog(path, conceal)
    version = installed_versions(["lussweep"]).get("lussweep", "of unknown version")
    host = f"pid {os.getpid()} on {platform.node()}"
    log.write(logging.INFO, f"lussweep {version}, Python {platform.python_version()}, {host}")
    try:
        yield log
    except BaseException as error:
        log.write(logging.ERROR, f"ended by {type(error).__name__}: {one_line(error, limit=None)}")
        raise
    finally:
        log.close()


def line_of(event: RunEvent) -> tuple[int, str]:
    """The level and the text of an event.

    >>> line_of(Warned(message="the disk is nearly full"))
    (30, 'the disk is nearly full')
    """
    match event:
        case Started():
            steps = ", ".join(f"{n} {stage_words(stage, n)}" for stage, n in event.n_steps.items())
            cells = f"{event.n_cells_done} of {event.n_cells} cells done"
            return logging.INFO, f"started {event.study}: {cells}; steps: {steps}"
        case StepDone():
            seconds = "" if event.seconds is None else f" in {event.seconds:.1f} s"
            rate = "" if event.images_per_s is None else f", {event.images_per_s:.0f} images/s"
            return logging.DEBUG, f"done: {event.step}{seconds}{rate}"
        case StepRetried():
            return logging.WARNING, f"tried again: {event.step}: {event.error}"
        case StepFailed():
            return logging.ERROR, f"failed: {event.step}: {event.error}"
        case CellDone():
            at = Coordinates(event.n_patients, event.replicate, event.variant, event.gan_epoch)
            cells = f"{event.n_cells_done} of {event.n_cells} cells"
            return logging.INFO, f"cell {at.name()}: AUC-ROC {auroc_text(event.auroc)} ({cells})"
        case Warned():
            return logging.WARNING, event.message
        case _:
            return logging.INFO, event.message


def auroc_text(auroc: float | None) -> str:
    """An AUC-ROC with three decimals.

    >>> auroc_text(0.9125), auroc_text(None)
    ('0.912', 'not finite')
    """
    return "not finite" if auroc is None else f"{auroc:.3f}"
