"""Drives a run from its first step to its report. Prints nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa

from lussweep.backend.choose import How, executor_of
from lussweep.backend.driver import BackendError, Progress
from lussweep.backend.progress import time_left
from lussweep.report.write import write_interim, write_report
from lussweep.run.execute import (
    execute_data,
    execute_grid,
    is_done,
    write_failure_log,
    write_failure_logs,
)
from lussweep.run.folder import Run, check_room, claim, is_claimed
from lussweep.run.heartbeat import Heartbeat
from lussweep.run.hold import Hold, alone_in
from lussweep.run.lease import TakenOver
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.disk import room_named
from lussweep.store.remote import StorageError

INTERIM_S, INTERIM_SHARE = 60.0, 0.02
"""Interim results are written so far apart at least, and take no larger share of the time."""
INTERRUPTION = "interrupted"
Display = Callable[[Callable[[str], str]], AbstractContextManager[Callable[[Progress], None]]]
"""Takes what says how far a step is, by ref; what it opens is called with each change."""


@dataclass(frozen=True)
class RunOutcome:
    """How a command in a run folder ended."""

    tables: Mapping[str, pa.Table] | None
    """Those of the report that a command shows; None without one, because nothing was trained."""
    failures: Mapping[str, str]
    """The errors of failed steps, by ref."""
    broken: str = ""
    """Why the command ended early; empty where it did not."""

    @property
    def is_interrupted(self) -> bool:
        return self.broken == INTERRUPTION

    @property
    def is_complete(self) -> bool:
        """Whether every cell of the run has its result, and no step failed."""
        if self.tables is None or self.broken or self.failures:
            return False
        return set(self.tables["results"]["status"].to_pylist()) == {"done"}


def drive(
    run: Run,
    context: Context,
    how: How,
    skipped: Sequence[tuple[str, str, str]],
    display: Display,
    notify: Callable[[str], None],
) -> RunOutcome:
    """Run what is missing and write the report, with the folder's lease in hand.

    A signal makes it stop in order. `skipped` are videos that were left out, `display` shows the
    progress, `notify` takes a line that a user should read at once. Raises InputError for a folder
    that cannot be used, TakenOver if another command took it.
    """
    check_room(run)
    with room_named(run.folder), alone_in(run.folder, run.mirror) as hold:
        return _drive(run, context, how, skipped, display, notify, hold)


def _drive(
    run: Run,
    context: Context,
    how: How,
    skipped: Sequence[tuple[str, str, str]],
    display: Display,
    notify: Callable[[str], None],
    hold: Hold,
) -> RunOutcome:
    watch = _Watch(run, notify)
    broken = ""
    shared = [] if run.mirror else [ArtifactStore(run.folder)]
    try:
        if not is_done(run):
            _check_weights(run, context)
            with (
                executor_of(
                    run.asked, context, run.folder / "ray", how, run.study, hold.stop, shared,
                    notify,
                ) as executor,
                display(executor.told) as watch.show,
                watch.heartbeat.asking(executor.told),
            ):  # fmt: skip
                hold.stop.listen()  # Ray, once started, handles SIGTERM in its own way
                write_failure_logs(run, watch.progress)  # those of an earlier command go
                run.publish()
                execute_data(run, executor, watch.look, how.retries, hold.stop)
                claim(run)
                execute_grid(run, executor, watch, how.retries, hold.stop)
        else:
            watch.heartbeat.settle()
        claim(run)
    except KeyboardInterrupt:  # steps in hand are lost, what is done stays
        broken = INTERRUPTION
    except (BackendError, StorageError) as error:
        broken = str(error)
    if hold.lost:  # the report is the other command's now
        raise TakenOver(hold.lost)
    if broken and not is_claimed(run.folder):
        return RunOutcome(None, {}, broken)
    write_failure_logs(run, watch.progress)
    failures = {ref: o.error or "" for ref, o in watch.progress.failed.items()}
    written = write_report(run.reported(), failures, watch.progress.blocked, skipped)
    run.publish()
    return RunOutcome(written, failures, broken)


class _Watch:
    """Shows the progress, remembers it, and keeps the results so far on disk."""

    def __init__(self, run: Run, notify: Callable[[str], None]) -> None:
        self.run = run
        self.notify = notify
        self.heartbeat = Heartbeat(run, time_left)
        self.progress = Progress(run.asked)
        self.show: Callable[[Progress], None] = lambda progress: None
        self.logged: set[str] = set()
        self.next_interim = time.monotonic() + INTERIM_S

    def look(self, progress: Progress) -> None:
        """For those who watch: this terminal, and `lussweep status` elsewhere."""
        self.show(progress)
        self.heartbeat.take(progress)

    def __call__(self, progress: Progress) -> None:
        for ref in progress.failed.keys() - self.logged:
            self.run.show(write_failure_log(self.run, progress.failed[ref]))
            self.logged.add(ref)
        self.progress = progress
        self.look(progress)
        judged = any(ref.startswith("evaluate/") for ref in progress.latest)
        if judged and time.monotonic() > self.next_interim:
            started = time.monotonic()
            try:
                failures = {r: o.error or "" for r, o in progress.failed.items()}
                with room_named(self.run.folder):
                    write_interim(self.run.reported(), failures)
                    self.run.publish()
            except StorageError as error:  # the next one, or the report, makes up for it
                self.notify(f"{error}: the run goes on")
            self.next_interim = time.monotonic() + max(
                INTERIM_S, (time.monotonic() - started) / INTERIM_SHARE
            )


def _check_weights(run: Run, context: Context) -> None:
    """A wrong or missing weights file is found before anything is trained."""
    if "imagenet" in run.study.score.embedders:
        from lussweep.models.resnet import load_resnet34

        load_resnet34(context.weights)
