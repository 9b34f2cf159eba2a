"""Drives a run from its first step to its report. Prints nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pyarrow as pa

from lussweep.backend.choose import ExecutionOptions, executor_of
from lussweep.backend.driver import BackendError, Progress
from lussweep.backend.progress import time_left
from lussweep.report.reported import Reported
from lussweep.report.write import write_interim, write_report
from lussweep.run.board import Board
from lussweep.run.events import WARNING, Noted, RunEvent, Warned, ignore, noticed
from lussweep.run.execute import (
    execute_data,
    execute_grid,
    is_done,
    snapshot_pruning,
    write_failure_log,
    write_failure_logs,
)
from lussweep.run.folder import Run, check_room, claim, is_claimed
from lussweep.run.heartbeat import Heartbeat
from lussweep.run.hold import Hold, hold_folder
from lussweep.run.lease import TakenOver
from lussweep.run.log import LOG_FILE, DriverLog, driver_log
from lussweep.run.mirror import WorkFolder
from lussweep.run.notices import Notice, unwritten_notices
from lussweep.run.tally import Tally
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.disk import room_named
from lussweep.store.remote import StorageError
from lussweep.study.plan import Plan
from lussweep.study.spec import StudySpec

INTERIM_S, INTERIM_SHARE = 60.0, 0.02
"""Least seconds between two interim results, and the largest share of the run's time for them."""
INTERRUPTION = "interrupted"
Display = Callable[
    [Callable[[str], str], Board, Plan], AbstractContextManager[Callable[[Progress], None]]
]
"""Opens a display. Its arguments are a function that returns the progress text of a step, by ref,
the AUC-ROCs so far, and the plan of the command. It yields a function that takes the progress after
each change; the progress may be that of a part of the plan."""


@dataclass(frozen=True)
class RunOutcome:
    """How a command that drives a run folder ended."""

    tables: Mapping[str, pa.Table] | None
    """Tables of the report that a command shows; None if nothing was trained."""
    failures: Mapping[str, str]
    """The errors of failed steps, by ref."""
    unwritten: Mapping[str, str] = field(default_factory=dict)
    """The error of each file of the report that could not be made. It changes no exit code."""
    broken: str = ""
    """Why the command ended early; empty if it ran to its end."""

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
    reported: Reported,
    context: Context,
    options: ExecutionOptions,
    display: Display,
    notify: Callable[[str], None],
    tell: Callable[[RunEvent], None] = ignore,
) -> RunOutcome:
    """Run every missing step and write the report, while holding the folder's lease.

    Returns how the command ended. After a first signal no further steps start, and the report is
    still written. `display` shows the progress. `notify` takes a line that a user should read at
    once, `tell` the start of the run and each step and cell that ends. All of it goes to the
    driver's log as well. Raises InputError for a folder that cannot be used, and TakenOver if
    another command took the folder.
    """
    check_room(run)
    with (
        room_named(run.folder.path),
        hold_folder(run.folder) as hold,
        _log_of(run, hold) as log,
    ):

        def tell_and_log(event: RunEvent) -> None:
            log.tell(event)
            tell(event)

        def notify_and_log(line: str) -> None:
            log.tell(noticed(line))
            notify(line)

        tally = Tally(run.plan, run.store, run.conceal, tell_and_log)
        tally.begin(run.study.name, run.folder.place, run.requested)
        monitor = RunMonitor(
            run.folder, reported, _heartbeat(run), Progress(run.requested), notify_and_log, tally
        )
        broken = _execute(run, context, options, monitor, display, hold)
        if hold.lost:  # the command that took the folder writes the report
            raise TakenOver(hold.lost)
        if broken and not is_claimed(run.folder.path):
            log.tell(noticed(f"{WARNING}{broken} before anything was trained"))
            return RunOutcome(None, {}, broken=broken)
        outcome = monitor.finish(broken)
        for notice in _last_notices(outcome, tally.board):
            log.tell(notice)
        if log.error:
            notify(f"{WARNING}{LOG_FILE} lacks lines that could not be written: {log.error}")
        return outcome


@contextmanager
def _log_of(run: Run, hold: Hold) -> Iterator[DriverLog]:
    """The driver's log in the run folder. It is uploaded, unless another command has the folder."""
    path = run.folder.path / LOG_FILE
    try:
        with driver_log(path, run.conceal) as log:
            yield log
    finally:
        if not hold.lost:
            run.folder.show(path)


def _last_notices(outcome: RunOutcome, board: Board) -> list[Notice]:
    """The last lines of the log: how the command ended, and what is not written."""
    early = [Warned(message=f"ended early: {outcome.broken}")] if outcome.broken else []
    done = f"{board.n_done} of {board.n_cells} cells done"
    end = Noted(message=f"finished: {done}, {len(outcome.failures)} steps failed")
    return [*unwritten_notices(outcome.unwritten), *early, end]


def _heartbeat(run: Run) -> Heartbeat:
    return Heartbeat(
        run.study.name, run.folder, run.store, run.plan, run.requested, run.conceal, time_left
    )


def _execute(
    run: Run,
    context: Context,
    options: ExecutionOptions,
    monitor: RunMonitor,
    display: Display,
    hold: Hold,
) -> str:
    """Execute every missing step. Returns why that ended early, empty if it did not."""
    try:
        if is_done(run.requested, run.store):
            monitor.heartbeat.settle()
        else:
            _check_weights(run.study, context)
            shared = [] if run.folder.mirror else [ArtifactStore(run.folder.path)]
            with (
                executor_of(
                    run.requested, context, run.folder.path / "ray", options, hold.stop, shared,
                    monitor.notify,
                ) as executor,
                display(
                    executor.progress_text, monitor.tally.board, run.requested
                ) as monitor.show,
                monitor.heartbeat.asking(executor.progress_text),
            ):  # fmt: skip
                monitor.tally.progress_text = executor.progress_text
                hold.stop.listen()  # Ray has set its own handler of SIGTERM when it started
                monitor.begin()
                execute_data(
                    run.requested, run.store, executor, monitor.look, options.retries, hold.stop
                )
                claim(run)
                pruning = snapshot_pruning(run)
                execute_grid(
                    run.requested, run.store, executor, monitor, pruning, options.retries, hold.stop
                )
        claim(run)
    except KeyboardInterrupt:  # the running steps are lost, the finished ones stay
        return INTERRUPTION
    except (BackendError, StorageError) as error:
        return str(error)
    return ""


class RunMonitor:
    """Shows the progress of a run, remembers it, and writes interim results."""

    def __init__(
        self,
        folder: WorkFolder,
        reported: Reported,
        heartbeat: Heartbeat,
        progress: Progress,
        notify: Callable[[str], None],
        tally: Tally,
    ) -> None:
        """`progress` is the state before the first step of this command."""
        self.folder = folder
        self.reported = reported
        self.heartbeat = heartbeat
        self.progress = progress
        self.notify = notify
        self.tally = tally
        self.show: Callable[[Progress], None] = lambda progress: None
        self.logged: set[str] = set()
        self.next_interim = time.monotonic() + INTERIM_S

    def begin(self) -> None:
        """Delete the logs of an earlier command's failures."""
        self._write_failure_logs()
        self.folder.publish()

    def look(self, progress: Progress) -> None:
        """Tell what has ended, show the progress, and pass it on to `lussweep status`."""
        self.tally.take(progress)
        self.show(progress)
        self.heartbeat.take(progress)

    def __call__(self, progress: Progress) -> None:
        """Show the progress, log new failures, and write interim results if they are due."""
        for ref in progress.failed.keys() - self.logged:
            outcome, redact = progress.failed[ref], self.reported.redact
            self.folder.show(write_failure_log(self.folder.path, progress.plan, outcome, redact))
            self.logged.add(ref)
        self.progress = progress
        self.look(progress)
        judged = any(ref.startswith("evaluate/") for ref in progress.latest)
        if judged and time.monotonic() > self.next_interim:
            started = time.monotonic()
            try:
                with room_named(self.folder.path):
                    write_interim(self.reported, self._failures())
                    self.folder.publish()
            except StorageError as error:  # the next interim results or the report replace them
                self.notify(f"{WARNING}{error}: the run goes on")
            self.next_interim = time.monotonic() + max(
                INTERIM_S, (time.monotonic() - started) / INTERIM_SHARE
            )

    def finish(self, broken: str) -> RunOutcome:
        """Write the logs of failed steps and the report. `broken` says why the run ended early."""
        self._write_failure_logs()
        failures = self._failures()
        report = write_report(self.reported, failures, self.progress.blocked)
        self.folder.publish()
        return RunOutcome(report.tables, failures, report.failed, broken)

    def _write_failure_logs(self) -> None:
        write_failure_logs(self.folder.path, self.progress, self.reported.redact)

    def _failures(self) -> dict[str, str]:
        """The errors of failed steps, by ref."""
        return {ref: outcome.error or "" for ref, outcome in self.progress.failed.items()}


def _check_weights(study: StudySpec, context: Context) -> None:
    """Raises InputError for a wrong or missing weights file, before anything is trained."""
    if study.score.needs_weights:
        from lussweep.models.resnet import load_resnet34

        load_resnet34(context.weights)
